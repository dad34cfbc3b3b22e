"""Removes what has been kept long enough, again and again while a gateway runs."""

from __future__ import annotations

import asyncio
import logging
import random

from service.clock import WallClock
from service.database import DatabaseError
from service.history.history import History

INTERVAL_SECONDS = 3600.0
FIRST_SECONDS = 10.0
"""The first sweep comes soon after the start, for services that never run for long."""
DAY_SECONDS = 86_400.0

log = logging.getLogger(__name__)


class Retention:
    """When what is removed. Zero days keep for ever."""

    def __init__(
        self,
        history: History,
        history_days: float,
        audit_days: float,
        clock: WallClock,
    ) -> None:
        self._history = history
        self._history_days = history_days
        self._audit_days = audit_days
        self._clock = clock

    async def run(self) -> None:
        """Sweep until cancelled; a database that does not answer is asked again the next time."""
        seconds = FIRST_SECONDS
        while True:
            # Several processes share a database: they need not all come at once.
            await asyncio.sleep(seconds * random.uniform(0.9, 1.1))
            seconds = INTERVAL_SECONDS
            try:
                await self.sweep()
            except DatabaseError as error:
                log.warning("nothing was swept: %s", error)
            except Exception:  # whatever it was, the next sweep may pass
                log.exception("the sweep failed")

    async def sweep(self) -> int:
        """Remove what is too old; how many analyses that were. Raises `DatabaseError`.

        After the clock jumped nothing is removed: a wrong clock must not empty a history, and somebody has until the
        next sweep to set it right.
        """
        if self._clock.jumped():
            log.warning("the clock jumped; what has become too old by that is removed at the next sweep")
            return 0
        now = self._clock.now()
        removed = 0
        if self._history_days:
            removed = await self._history.sweep(now - DAY_SECONDS * self._history_days)
        if self._audit_days:
            await self._history.sweep_audit(now - DAY_SECONDS * self._audit_days)
        return removed
