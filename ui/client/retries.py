"""When a request is sent again, and how long to wait before: exponential back-off with full jitter.

Full jitter (Brooker 2015, "Exponential Backoff And Jitter"): a wait between nothing and the step, so that many clients
that failed together do not come back together.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ui.problems import Problem, ServiceError, Unreachable

REFUSED = frozenset({429, 503})
"""The service did not take the request on: asking again does nothing twice."""


@dataclass(frozen=True)
class Retries:
    """At most `attempts` requests, the last of them begun within `total_seconds` of the first."""

    attempts: int = 4
    total_seconds: float = 60.0
    first_seconds: float = 0.5
    longest_seconds: float = 10.0
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)
    chance: Callable[[], float] = field(default=random.random, repr=False)

    def begin(self) -> Tries:
        """The first attempt begins now."""
        return Tries(self, self.clock())


NO_RETRIES = Retries(attempts=1)
"""Every failure is raised at once."""


@dataclass
class Tries:
    """The attempts at one request."""

    rules: Retries
    began: float
    made: int = 1

    def pause(self, failure: ServiceError, *, again_is_safe: bool) -> float | None:
        """How many seconds to wait before the next attempt; None if there is to be none."""
        if self.made >= self.rules.attempts or not _helps(failure, again_is_safe):
            return None
        step = min(self.rules.longest_seconds, self.rules.first_seconds * 2 ** (self.made - 1))
        asked = failure.retry_after_seconds if isinstance(failure, Problem) else None
        pause = (asked or 0.0) + self.rules.chance() * step
        if self.rules.clock() - self.began + pause > self.rules.total_seconds:
            return None
        self.made += 1
        return pause


def _helps(failure: ServiceError, again_is_safe: bool) -> bool:
    """A refusal or a connection that never came about may be tried again; what broke off only if that is safe."""
    if isinstance(failure, Problem):
        return failure.status in REFUSED
    return isinstance(failure, Unreachable) and (again_is_safe or not failure.sent)
