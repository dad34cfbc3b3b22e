"""By which names the service may be asked.

A page of a stranger can point its own name at a loopback address (DNS rebinding): to the browser the service is then a
part of that page, which may read whatever it answers. What gives it away is the `Host` header.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from service.access.addresses import parse

KNOWN = 256
"""So many names that were asked by are remembered, good or bad."""


class Hosts:
    """The names that are answered to: exact ones, and with a dot in front all below."""

    def __init__(self, names: Iterable[str], *, strangers_cannot_own: bool = False) -> None:
        """`strangers_cannot_own`: names besides that nobody can point here from outside are good as well."""
        given = [name.lower() for name in names]
        self._names = frozenset(name.removeprefix(".") for name in given)
        self._below = tuple(name for name in given if name.startswith("."))
        self._private = strangers_cannot_own
        self.knows = lru_cache(KNOWN)(self._knows)
        """Whether a `Host` header is one of these."""

    def _knows(self, host: bytes) -> bool:
        name = _without_port(host.decode("latin-1").strip().lower()).removesuffix(".")
        return name in self._names or name.endswith(self._below) or (self._private and _is_private(name))


def _is_private(name: str) -> bool:
    """An address, a name without a dot (of a container, of a machine near by), or one of this machine itself."""
    return parse(name) is not None or "." not in name or name.endswith(".localhost")


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
