from __future__ import annotations

import logging
from typing import Any

import pytest
from pydantic import SecretStr

from service.access.configured import build_door, warn_if_open
from service.access.key_ring import KeyFile, new_key
from service.access.policy import UNMATCHED
from service.access.refusals import ForeignHost, RateLimited, Unauthenticated
from service.settings import Settings, describe
from tests.access.issuer import ED_KEY, SECRET, pem, token
from tests.access.scopes import scope_of


async def allowed(settings: Settings, asks: int, **headers: str) -> int:
    """How many of so many requests a door lets in."""
    door = build_door(settings)
    for count in range(asks):
        try:
            if door.guarded:
                await door.admit(scope_of(**headers), "/v1/text")
        except RateLimited:
            return count
    return asks


async def test_by_default_everybody_may_ask_this_machine_as_often_as_they_like():
    door = build_door(Settings())
    assert not door.guarded
    assert await allowed(Settings(), 150) == 150


async def test_what_others_reach_is_limited_by_default():
    assert await allowed(Settings(host="0.0.0.0"), 150) == 100
    assert await allowed(Settings(host="0.0.0.0", rate_limit="off"), 150) == 150
    assert await allowed(Settings(rate_limit="7/minute"), 150) == 7


@pytest.mark.parametrize(("host", "auth", "lines"), [("0.0.0.0", "off", 1), ("127.0.0.1", "off", 0), ("::", "both", 0)])
def test_a_service_that_lets_in_everybody_from_anywhere_says_so_once(host, auth, lines, caplog):
    logger = logging.getLogger("service.access.configured")
    logger.addHandler(caplog.handler)
    try:
        warn_if_open(Settings(host=host, auth=auth))
    finally:
        logger.removeHandler(caplog.handler)
    said = {record.getMessage() for record in caplog.records}
    assert len(said) == lines
    assert all("ACCESS CONTROL IS OFF" in line and host in line for line in said)


async def test_both_kinds_of_credentials_are_told_apart(tmp_path):
    file = KeyFile(tmp_path / "keys.json")
    key, record = new_key("shop", ["analyze"])
    file.add(record)
    settings = Settings(auth="both", api_keys_file=file.path, jwt_secret=SecretStr(SECRET))
    door = build_door(settings)
    good = token(iss=None, aud=None)
    for headers, name in (
        ({"authorization": f"Bearer {key}"}, "key:shop"),
        ({"x_api_key": key}, "key:shop"),
        ({"authorization": f"Bearer {good}"}, "jwt:alice"),
    ):
        assert (await door.admit(scope_of(**headers), UNMATCHED)).caller.name == name
    with pytest.raises(Unauthenticated):
        await door.admit(scope_of(x_api_key=good), UNMATCHED)


@pytest.mark.parametrize("auth", ["api_key", "jwt"])
async def test_one_kind_does_not_stand_for_the_other(auth, tmp_path):
    key, record = new_key("shop", ["analyze"])
    KeyFile(tmp_path / "keys.json").add(record)
    settings = Settings(auth=auth, api_keys_file=tmp_path / "keys.json", jwt_secret=SecretStr(SECRET))
    other = token(iss=None, aud=None) if auth == "api_key" else key
    with pytest.raises(Unauthenticated):
        await build_door(settings).admit(scope_of(authorization=f"Bearer {other}"), UNMATCHED)


async def test_a_key_and_a_subject_of_one_name_are_two_callers(tmp_path):
    key, record = new_key("alice", ["analyze"])
    KeyFile(tmp_path / "keys.json").add(record)
    door = build_door(Settings(auth="both", api_keys_file=tmp_path / "keys.json", jwt_secret=SecretStr(SECRET)))
    by_key = await door.admit(scope_of(authorization=f"Bearer {key}"), "/v1/text")
    by_token = await door.admit(scope_of(authorization=f"Bearer {token(iss=None, aud=None)}"), "/v1/text")
    assert by_key.caller.name != by_token.caller.name


@pytest.mark.parametrize(
    ("settings", "hint"),
    [
        ({"auth": "api_key"}, "SENTIMENT_API_KEYS_FILE"),
        ({"auth": "jwt"}, "SENTIMENT_JWT_SECRET"),
        ({"auth": "jwt", "jwt_secret": "short"}, "32 bytes"),
        ({"auth": "jwt", "jwt_secret": SECRET, "jwt_jwks": "https://a.example"}, "one of"),
        ({"auth": "jwt", "jwt_jwks": "https://a.example/jwks.json"}, "ISSUER"),
        ({"auth": "jwt", "jwt_jwks": "http://a.example/", "jwt_issuer": "a", "jwt_audience": "b"}, "https"),
        ({"auth": "api_key", "api_keys": "{}"}, "list of API keys"),
        ({"rate_limit": "often"}, "like 60/minute"),
        ({"trusted_proxies": "10.0.0.0/99"}, "10.0.0.0/99"),
    ],
)
def test_what_can_t_be_met_stops_the_service_before_it_starts(settings, hint):
    with pytest.raises(ValueError) as refused:
        build_door(Settings(**settings))
    assert hint in str(refused.value)
    assert SECRET not in str(refused.value)


async def test_a_public_key_in_a_file_is_enough_to_read_tokens(tmp_path):
    path = tmp_path / "issuer.pem"
    path.write_bytes(pem(ED_KEY))
    door = build_door(Settings(auth="jwt", jwt_public_key=path))
    admission = await door.admit(scope_of(authorization=f"Bearer {token('EdDSA', iss=None, aud=None)}"), "/v1/text")
    assert admission.caller.name == "jwt:alice"


def test_settings_are_printed_without_secrets(monkeypatch):
    from service.settings import load_settings

    monkeypatch.setenv("SENTIMENT_JWT_SECRET", SECRET)
    monkeypatch.setenv("SENTIMENT_LIMITS_URL", "redis://:password-of-redis@host/0")
    load_settings.cache_clear()
    try:
        printed = describe()
    finally:
        load_settings.cache_clear()
    assert "SENTIMENT_JWT_SECRET" in printed
    assert SECRET not in printed and "password-of-redis" not in printed


def asked_by(name: str, **settings: Any) -> bool:
    """Whether a service with these settings answers to a name."""
    scope = {"type": "http", "method": "GET", "headers": [(b"host", name.encode())]}
    try:
        build_door(Settings(**settings)).check_page(scope)
    except ForeignHost:
        return False
    return True


@pytest.mark.parametrize(
    "says_so",
    [
        {"host": "0.0.0.0"},
        {"trusted_proxies": "127.0.0.1"},
        {"allowed_hosts": "*"},
        {"allowed_hosts": "sentiment.example"},
        {"allowed_hosts": "localhost, .EXAMPLE"},
        {"auth": "api_key", "api_keys": SecretStr("[]")},
    ],
)
def test_any_name_will_do_where_it_is_no_danger_or_an_operator_says_so(says_so):
    assert not asked_by("sentiment.example")
    assert asked_by("sentiment.example:443", **says_so)


def test_where_names_are_listed_no_other_names_will_do():
    for name in ("example", "notexample", "example.org", "instances", "", "10.1.2.3.example", "localhost.example"):
        assert asked_by(name, allowed_hosts="example,.below.example") is (name == "example")
    assert asked_by("api.below.example", allowed_hosts=".below.example")
    assert not asked_by("below.example.evil", allowed_hosts=".below.example")


@pytest.mark.parametrize(
    "place", ["127.0.0.1:8000", "10.1.2.3:8000", "[::1]:8000", "[fd00::2]", "localhost:8000", "app.localhost"]
)
def test_probes_that_ask_an_address_need_not_be_listed(place):
    assert asked_by(place, host="0.0.0.0", allowed_hosts="sentiment.example")
