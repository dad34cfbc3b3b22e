"""How far a serving process is in its life, what it is busy with, and how it comes to an end without dropping anything.

running ─▶ leaving ─▶ (gone)       a successor answers already: no new connections, those that are open end politely
running ─▶ stopping ─▶ refusing ─▶ (gone)       the service ends: /readyz says so, then new requests hear a 503
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from typing import Literal, Protocol

Phase = Literal["running", "leaving", "stopping", "refusing"]
TICK_SECONDS = 0.05


class Work(Protocol):
    """Something that is being answered."""

    def stop(self) -> None:
        """Answer now that the service is shutting down."""
        ...


class Lifecycle:
    """The life of one process; everything happens in its event loop."""

    def __init__(self) -> None:
        self.phase: Phase = "running"
        self.answered = 0
        """Requests so far."""
        self._busy: set[Work] = set()
        self._ending = asyncio.Event()

    @property
    def ending(self) -> asyncio.Event:
        """Set when what may go on for long (streams, events) should say good-bye."""
        return self._ending

    @property
    def refuses(self) -> bool:
        """Whether new requests are answered with `shutting_down`."""
        return self.phase == "refusing"

    @property
    def stops(self) -> bool:
        """Whether the service is about to end: it is not ready any more."""
        return self.phase in ("stopping", "refusing")

    @property
    def closes_connections(self) -> bool:
        """Whether each answer is the last on its connection."""
        return self.phase in ("leaving", "refusing")

    @property
    def busy(self) -> bool:
        """Whether something is being answered."""
        return bool(self._busy)

    def enter(self, work: Work) -> None:
        """A request begins."""
        self._busy.add(work)

    def exit(self, work: Work) -> None:
        """A request has ended."""
        self._busy.discard(work)
        self.answered += 1

    async def stop(self, delay_seconds: float, grace_seconds: float, hurry: Callable[[], bool]) -> None:
        """Come to an end: go on for `delay_seconds`, then refuse what is new, finish what runs, and refuse the rest.

        As soon as `hurry()` is true nothing is waited for any more.
        """
        self.phase = "stopping"
        await _until(hurry, delay_seconds)
        self.phase = "refusing"
        self._ending.set()
        await _until(lambda: not self._busy or hurry(), grace_seconds)
        self.stop_rest()
        await _until(lambda: not self._busy, 1.0)

    async def leave(self, connections: Collection[object], idle_seconds: float, busy_seconds: float) -> None:
        """Come to an end beside a successor that takes what is new.

        An open connection may bring one more request, which is answered as its last; connections that stay silent for
        `idle_seconds` are given up, and what still runs after `busy_seconds` is told to end.
        """
        self.phase = "leaving"
        await _until(lambda: not connections, idle_seconds)
        await _until(lambda: not self._busy, max(0.0, busy_seconds - idle_seconds))
        self._ending.set()
        await _until(lambda: not self._busy, idle_seconds)
        self.stop_rest()

    def stop_rest(self) -> None:
        """Answer at once what is still running."""
        for work in tuple(self._busy):
            work.stop()


async def _until(done: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not done() and time.monotonic() < deadline:
        await asyncio.sleep(TICK_SECONDS)
