"""Who asks: what a key or token says of its holder."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any

SCOPES = ("analyze", "history", "admin")
"""What a caller may be allowed; `admin` includes the others."""


@dataclass(frozen=True)
class Caller:
    """One client. What it keeps (jobs, history) belongs to its `name`, and no other caller sees it."""

    name: str
    """`key:<name of the key>` or `jwt:<subject>`: the prefix keeps one kind from posing as the other."""
    scopes: frozenset[str]
    tag: str = ""
    """What log lines call it: the key's id, or a digest of the token's subject. Empty if nobody is known."""
    rate: str | None = None
    """How often it may ask, as `60/minute`; None for what everybody may."""

    def may(self, scope: str) -> bool:
        """Whether the caller has this scope."""
        return scope in self.scopes or "admin" in self.scopes


ANYONE = Caller("anyone", frozenset(SCOPES))
"""Everybody, while access control is off."""

NOBODY = Caller("nobody", frozenset())
"""Who asks for an open page while access control is on: known by nothing, allowed nothing more."""


def caller_of(scope: MutableMapping[str, Any]) -> Caller:
    """The caller of an ASGI scope; whoever checks credentials put it there."""
    return scope.get("caller", ANYONE)
