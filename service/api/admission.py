"""How many requests are worked on at once: a rush is taken in, but a queue that stays is not.

Refusing by how long a queue has stood, rather than by how long it is, follows CoDel (Nichols & Jacobson 2012): a burst
passes, and under lasting overload whoever is answered is answered soon.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from service.api.problems import ProblemError

RUSH_SECONDS = 1.5
"""So long may more than the steady number be taken in."""
CALM_SECONDS = 1.0
"""So long nobody must have found every place taken before there may be another rush."""


class AdmissionControl:
    """A place for each request that is worked on: `with control: …`. Raises `overloaded` where there is none."""

    def __init__(self, steady: int, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Up to `steady` at any time, and up to `most` for a short while after a calm one."""
        self.open = 0
        self._steady = steady
        self._most = most
        self._clock = clock
        self._last_full = float("-inf")
        self._rush_ends = float("-inf")

    def check(self) -> None:
        """Refuse at once who would be refused anyway, before his request is read. Raises `overloaded`."""
        if self.open < self._steady:
            return
        now = self._clock()
        if now - self._last_full > CALM_SECONDS:
            self._rush_ends = now + RUSH_SECONDS
        self._last_full = now
        if self.open >= self._most or now > self._rush_ends:
            raise ProblemError("overloaded", "Too many texts are being read already; try again in a moment.")

    def __enter__(self) -> None:
        self.check()
        self.open += 1

    def __exit__(self, *_: object) -> None:
        self.open -= 1
