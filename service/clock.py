"""When the wall clock can be believed: what is removed for its age must not go because somebody set the clock."""

from __future__ import annotations

import time
from collections.abc import Callable

JUMP_SECONDS = 600.0
"""A wall clock that moved by more than this against the steady one since the last look has jumped."""
RESPITE_SECONDS = 3000.0
"""After a jump somebody has so long to set the clock right; a little less than from one hourly sweep to the next."""


class WallClock:
    """The time of day, beside a clock that only goes on."""

    def __init__(self, clock: Callable[[], float] = time.time, steady: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._steady = steady
        self._offset = clock() - steady()
        self._jumped = float("-inf")

    def now(self) -> float:
        """Unix time in seconds."""
        return self._clock()

    def jumped(self, within_seconds: float = RESPITE_SECONDS) -> bool:
        """Whether it has jumped within the last seconds that really passed, as far as anybody looked."""
        before, self._offset = self._offset, self._clock() - self._steady()
        if abs(self._offset - before) > JUMP_SECONDS:
            self._jumped = self._steady()
        return self._steady() - self._jumped < within_seconds
