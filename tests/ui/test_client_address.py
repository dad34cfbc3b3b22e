"""Whom the client asks and with which key; where that key never shows."""

from __future__ import annotations

import logging

import httpx
import pytest

from ui.client import NO_RETRIES, AsyncClient, Client, ServiceError, UnsafeAddress

KEY = "sk-very-secret"


def asked_with(**settings: str | bool | None) -> httpx.Request:
    asked: list[httpx.Request] = []

    def remember(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json={"status": "healthy"})

    with Client(transport=httpx.MockTransport(remember), **settings) as client:  # type: ignore[arg-type]
        client.health()
    return asked[0]


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SENTIMENT_API_URL", "SENTIMENT_API_KEY", "SENTIMENT_ALLOW_PLAIN_HTTP"):
        monkeypatch.delenv(name, raising=False)


def test_a_key_or_a_token_goes_out_as_a_bearer() -> None:
    for given in ("api_key", "token"):
        assert asked_with(**{given: KEY}).headers["authorization"] == f"Bearer {KEY}"
    with pytest.raises(ValueError, match="not both"):
        Client(api_key=KEY, token=KEY)


def test_without_either_the_environment_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    assert str(asked_with().url) == "http://127.0.0.1:8000/health"
    assert "authorization" not in asked_with().headers
    monkeypatch.setenv("SENTIMENT_API_URL", "https://sentiment.example.org/base")
    monkeypatch.setenv("SENTIMENT_API_KEY", KEY)
    asked = asked_with()
    assert str(asked.url) == "https://sentiment.example.org/base/health"
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert asked_with(token="other").headers["authorization"] == "Bearer other"


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_key_does_not_cross_a_network_in_the_open(kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnsafeAddress, match="unencrypted") as caught:
        kind("http://sentiment.example.org", api_key=KEY)
    assert KEY not in str(caught.value)
    kind("http://sentiment.example.org")
    kind("http://sentiment.example.org", api_key=KEY, allow_plain_http=True)
    kind("https://sentiment.example.org", api_key=KEY)
    kind("http://localhost:8000", api_key=KEY)
    monkeypatch.setenv("SENTIMENT_ALLOW_PLAIN_HTTP", "1")
    kind("http://service:8000", api_key=KEY)


@pytest.mark.parametrize("address", ["http://me:word@127.0.0.1:8000", "ftp://127.0.0.1", "127.0.0.1:8000", "https://"])
def test_an_address_that_is_none_or_holds_a_password_is_refused(address: str) -> None:
    with pytest.raises(UnsafeAddress) as caught:
        Client(address)
    assert "word" not in str(caught.value).replace("password", "")


def test_a_key_is_in_no_repr_no_log_line_and_no_error(caplog: pytest.LogCaptureFixture) -> None:
    def broken(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no", request=request)

    caplog.set_level(logging.DEBUG)
    client = Client(api_key=KEY, transport=httpx.MockTransport(broken), retries=NO_RETRIES)
    with pytest.raises(ServiceError) as caught:
        client.text("Hello")
    shown = [repr(client), str(caught.value), repr(caught.value), repr(caught.value.__cause__), caplog.text]
    assert repr(client) == "Client('http://127.0.0.1:8000')"
    assert KEY not in "".join([*shown, repr(client.jobs._line.manners)])
