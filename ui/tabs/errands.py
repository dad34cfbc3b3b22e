"""The jobs that open pages wait for: called off with their button or with their page, and removed when read."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ui.client import AsyncClient, Problem, ServiceError

log = logging.getLogger(__name__)

Place = tuple[str, str]
"""An open page, and the tab in it."""


class Errands:
    """Which job is waited for where. Nothing of a job stays with the service once its page has the answer."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._running: dict[Place, str] = {}

    @asynccontextmanager
    async def under_way(self, place: Place, job: str) -> AsyncIterator[None]:
        """While somebody waits for a job; in the end it is removed, whatever became of it."""
        self._running[place] = job
        try:
            yield
        finally:
            self._running.pop(place, None)
            await self._remove(job)

    async def cancel(self, place: Place) -> None:
        """Call off what runs in a place, if something does."""
        job = self._running.get(place)
        if job is not None:
            await self._remove(job)

    async def leave(self, session: str) -> None:
        """A page was closed: call off what runs in it."""
        for place in [place for place in self._running if place[0] == session]:
            await self.cancel(place)

    async def _remove(self, job: str) -> None:
        """One that is gone already was called off; one that cannot be reached goes when its time is over."""
        try:
            await self._client.jobs.cancel(job)
        except ServiceError as error:
            if not isinstance(error, Problem) or error.status != 404:
                log.warning("Job %s could not be removed: %s", job, error)
