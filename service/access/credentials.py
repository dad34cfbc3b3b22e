"""What a request or a WebSocket handshake carries to say who asks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from starlette.types import Scope

from service.access.refusals import Unauthenticated

SUBPROTOCOL = "bearer."
"""Browsers can't set headers of a WebSocket: they offer the subprotocol `bearer.<token>`, and another to be chosen."""

MAX_CHARACTERS = 8192

_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*")  # RFC 6750, section 2.1


@dataclass(frozen=True)
class Credential:
    """A key or a token; `is_key` if it was sent where only keys are."""

    secret: str = field(repr=False)
    is_key: bool


def credential_of(scope: Scope) -> Credential | None:
    """What the scope carries, None if nothing. Raises `Unauthenticated` if it can't be read or there are several."""
    found = list(_found(scope))
    if len(found) > 1:
        raise Unauthenticated("malformed", "Send one key or token, not several.")
    return found[0] if found else None


def _found(scope: Scope) -> Iterator[Credential]:
    for name, value in scope["headers"]:
        if name == b"authorization":
            yield Credential(_bearer(value.decode("latin-1")), is_key=False)
        elif name == b"x-api-key":
            yield Credential(_token(value.decode("latin-1").strip()), is_key=True)
    for offered in scope.get("subprotocols", ()):
        if offered.startswith(SUBPROTOCOL):
            yield Credential(_token(offered.removeprefix(SUBPROTOCOL)), is_key=False)


def _bearer(value: str) -> str:
    scheme, _, token = value.strip().partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthenticated("malformed", "The Authorization header must be: Bearer, a space, and a key or token.")
    return _token(token.strip())


def _token(value: str) -> str:
    if len(value) > MAX_CHARACTERS or not _TOKEN.fullmatch(value):
        raise Unauthenticated("malformed", "This is neither a key nor a token of this service.")
    return value
