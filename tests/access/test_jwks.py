from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest

from service.access.jwks import GIVE_UP_SECONDS, OLD_SECONDS, KeySet, key_set, parse_keys
from service.access.refusals import KeysUnreachable, Unauthenticated
from tests.access.issuer import ED_KEY, RSA_KEY, SECRET, Issuer, jwk, running_issuer


class Published:
    """What can be read, and how often it was."""

    def __init__(self, *keys: dict) -> None:
        self.keys = list(keys)
        self.asked = 0
        self.broken = False
        self.now = 1000.0

    async def read(self) -> bytes:
        self.asked += 1
        await asyncio.sleep(0)
        if self.broken:
            raise OSError("no route to host")
        return json.dumps({"keys": self.keys}).encode()

    def set(self) -> KeySet:
        return KeySet(self.read, refresh_seconds=30, clock=lambda: self.now)


async def reason_of(keys: KeySet, key_id: str | None) -> str:
    with pytest.raises(Unauthenticated) as refused:
        await keys.find(key_id)
    return refused.value.reason


async def test_keys_are_found_by_their_ids_and_read_once():
    published = Published(jwk(RSA_KEY, "r"), jwk(ED_KEY, "e"))
    keys = published.set()
    found = await asyncio.gather(*(keys.find(key_id) for key_id in ("r", "e") * 10))
    assert [key.algorithm for key in found] == ["RS256", "EdDSA"] * 10
    assert published.asked == 1


async def test_a_single_key_needs_no_id():
    assert (await Published(jwk(RSA_KEY, "r")).set().find(None)).algorithm == "RS256"
    assert await reason_of(Published(jwk(RSA_KEY, "r"), jwk(ED_KEY, "e")).set(), None) == "unknown"


async def test_a_key_that_is_new_is_read_but_made_up_ids_ask_no_oftener_than_allowed():
    published = Published(jwk(RSA_KEY, "old"))
    keys = published.set()
    await keys.find("old")
    published.keys.append(jwk(ED_KEY, "new"))
    published.now += 31
    assert (await keys.find("new")).algorithm == "EdDSA"
    for turn in range(50):
        assert await reason_of(keys, f"made-up-{turn}") == "unknown"
    assert published.asked == 2


async def test_without_any_keys_nobody_can_tell():
    published = Published()
    published.broken = True
    keys = published.set()
    with pytest.raises(KeysUnreachable):
        await keys.find("r")
    published.broken, published.keys = False, [jwk(RSA_KEY, "r")]
    with pytest.raises(KeysUnreachable):  # it has just been tried
        await keys.find("r")
    published.now += 6
    assert (await keys.find("r")).algorithm == "RS256"


async def test_known_keys_stay_good_while_the_issuer_is_away_but_not_for_ever():
    published = Published(jwk(RSA_KEY, "r"))
    keys = published.set()
    await keys.find("r")
    published.broken = True
    published.now += OLD_SECONDS + 1
    assert (await keys.find("r")).algorithm == "RS256"
    published.now += GIVE_UP_SECONDS
    with pytest.raises(KeysUnreachable):
        await keys.find("r")
    await keys.close()


async def test_a_withdrawn_key_is_forgotten_without_making_anybody_wait():
    published = Published(jwk(RSA_KEY, "r"))
    keys = published.set()
    await keys.find("r")
    published.keys = [jwk(ED_KEY, "e")]
    published.now += OLD_SECONDS + 1
    await keys.find("r")
    for _ in range(5):
        await asyncio.sleep(0)
    assert await reason_of(keys, "r") == "unknown"


@pytest.mark.parametrize(
    "entry",
    [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "a"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": "a"},
        {"kty": "RSA", "kid": "a"},
        {"kty": "what"},
        {},
        "text",
        7,
        jwk(RSA_KEY, "a", use="enc"),
        jwk(RSA_KEY, "a", alg="PS256"),
        jwk(RSA_KEY, "a", alg="HS256"),
        {**jwk(RSA_KEY), "kid": ["a"]},
    ],
)
def test_keys_of_other_kinds_and_purposes_are_passed_over(entry):
    assert list(parse_keys(json.dumps({"keys": [entry, jwk(ED_KEY, "e")]}).encode())) == ["e", None]


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"keys": {}}', b"\xff"])
def test_what_is_no_list_of_keys_is_refused(content):
    with pytest.raises(ValueError):
        parse_keys(content)


def test_an_address_that_others_could_forge_is_refused():
    with pytest.raises(ValueError, match="https"):
        key_set("http://issuer.example/jwks.json", 30)


async def test_keys_come_from_a_file(tmp_path):
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": [jwk(ED_KEY, "e")]}))
    assert (await key_set(str(path), 30).find("e")).algorithm == "EdDSA"


@pytest.fixture
def issuer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Issuer]:
    """It is waited for: what a slow machine does to it is not asked here."""
    monkeypatch.setattr("service.access.jwks.TIME_LIMIT_SECONDS", 60.0)
    with running_issuer() as running:
        yield running


async def test_keys_come_over_http_and_an_issuer_that_fails_is_not_the_caller_s_fault(issuer):
    issuer.keys = [jwk(RSA_KEY, "r")]
    good = key_set(issuer.address, 30)
    assert (await good.find("r")).algorithm == "RS256"
    await good.close()
    issuer.status = 500
    broken = key_set(issuer.address, 30)
    with pytest.raises(KeysUnreachable):
        await broken.find("r")
    await broken.close()


async def test_an_endless_answer_is_not_read_to_its_end(issuer):
    issuer.keys = [{"kty": "what", "x": SECRET * 20_000}]
    keys = key_set(issuer.address, 30)
    with pytest.raises(KeysUnreachable):
        await keys.find("r")
    await keys.close()
