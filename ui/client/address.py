"""Where the service is, and who asks: given, or read from the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

import httpx

from ui.problems import UnsafeAddress

DEFAULT_URL = "http://127.0.0.1:8000"
URL_VARIABLE, KEY_VARIABLE, PLAIN_VARIABLE = "SENTIMENT_API_URL", "SENTIMENT_API_KEY", "SENTIMENT_ALLOW_PLAIN_HTTP"
CONNECT_SECONDS = 5.0
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Address:
    """A service and how to reach it. Its key is in no `repr`, no log line and no error."""

    url: str
    timeout_seconds: float
    secret: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return self.url

    def settings(self) -> dict[str, Any]:
        """What both clients of httpx are made with; a proxy of the environment can't reach this machine's loopback."""
        return {
            "trust_env": httpx.URL(self.url).host not in LOOPBACK,
            "base_url": self.url,
            "headers": {"Authorization": f"Bearer {self.secret}"} if self.secret else {},
            "timeout": httpx.Timeout(self.timeout_seconds, connect=CONNECT_SECONDS),
        }


def address(
    url: str | None, api_key: str | None, token: str | None, timeout_seconds: float, allow_plain_http: bool | None
) -> Address:
    """What is given, else what the environment says.

    Raises `UnsafeAddress` if a key or token would cross a network unencrypted, or the address carries a password.
    """
    if api_key and token:
        raise ValueError("Give api_key or token, not both.")
    url = url or os.environ.get(URL_VARIABLE) or DEFAULT_URL
    secret = api_key or token or os.environ.get(KEY_VARIABLE) or None
    parsed = httpx.URL(url)
    if parsed.userinfo:
        raise UnsafeAddress("The address must not carry a name or password; give a key with api_key or token.")
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise UnsafeAddress("The address must be like https://sentiment.example.org or http://127.0.0.1:8000.")
    plain_is_fine = _plain_is_fine() if allow_plain_http is None else allow_plain_http
    if secret and parsed.scheme == "http" and parsed.host not in LOOPBACK and not plain_is_fine:
        raise UnsafeAddress(
            f"A key would go to {parsed.host} unencrypted: use https, or set {PLAIN_VARIABLE}=1 in a private network."
        )
    return Address(url, timeout_seconds, secret)


def _plain_is_fine() -> bool:
    return os.environ.get(PLAIN_VARIABLE, "").lower() in ("1", "true", "yes")
