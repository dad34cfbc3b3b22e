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
    """The names that are answered to: exact ones, with a dot in front all below, and those that nobody can point here.

    Probes and Prometheus ask by an address, programs of this machine by `localhost`; neither is a name to be rebound.
    """

    def __init__(self, names: Iterable[str], *, strangers_cannot_own: bool = False) -> None:
        """`strangers_cannot_own`: names of the network near by, which have no dot, are good as well."""
        given = [name.lower() for name in names]
        self._names = frozenset(name.removeprefix(".") for name in given)
        self._below = tuple(name for name in given if name.startswith("."))
        self._private = strangers_cannot_own
        self.knows = lru_cache(KNOWN)(self._knows)
        """Whether a `Host` header is one of these."""

    def _knows(self, host: bytes) -> bool:
        name = _without_port(host.decode("latin-1").strip().lower()).removesuffix(".")
        if name in self._names or name.endswith(self._below) or _is_fixed(name):
            return True
        return self._private and "." not in name  # of a container, of a machine near by


def _is_fixed(name: str) -> bool:
    """Whether no name server has a say in where it leads: an address, or a name of this machine itself."""
    return name == "localhost" or name.endswith(".localhost") or parse(name) is not None


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
