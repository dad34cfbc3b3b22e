"""What has to be looked after now and then: jobs that were lost on the way, results whose time is over, orphans."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterable

from service.clock import JUMP_SECONDS, WallClock
from service.jobs.folders import JobFolders
from service.jobs.queue import JobQueue
from service.jobs.store import JobStore, Unfinished
from service.settings import Settings

LOST_AFTER_SECONDS = 5.0
"""A job that waits for longer in the database, and is not in the queue, has been lost by it or was put back."""
ORPHAN_AFTER_SECONDS = 60.0
"""A folder this old without a job in the database was left by a gateway that died while taking it in."""

log = logging.getLogger(__name__)


class Janitor:
    """Looks after the jobs of one database, queue and folder; several may, at the same time."""

    def __init__(
        self,
        settings: Settings,
        store: JobStore,
        queue: JobQueue,
        folders: JobFolders,
        clock: WallClock | None = None,
    ) -> None:
        self._keep_seconds = 3600 * settings.job_hours
        self._lease_seconds = settings.job_lease_seconds
        self._store = store
        self._queue = queue
        self._folders = folders
        self._clock = clock or WallClock.of(settings)

    async def requeue(self) -> int:
        """Put jobs into the queue again that nobody works on; how many. Raises `DatabaseError` and `QueueGone`."""
        jobs = await self._store.unfinished()
        lost = await asyncio.to_thread(self._lost, jobs)
        for job in lost:
            await self._store.requeue(job)
            await asyncio.to_thread(self._queue.put, job.id)
        if lost:
            log.info("stranded jobs queued again", extra={"fields": {"jobs": len(lost)}})
        return len(lost)

    async def sweep(self) -> None:
        """Remove what was kept long enough, later the rows that say so, and orphans. Raises `DatabaseError`.

        After the clock jumped nothing is removed for its age until somebody had the time to set it right.
        """
        await asyncio.to_thread(self._folders.remove_abandoned)
        if self._clock.jumped():
            log.warning("the clock jumped; what has become too old by that is removed later")
            return
        await asyncio.to_thread(self._folders.remove_foreign)
        now = self._clock.now()
        while expired := await self._store.expired(now, blank=False):
            removed = await asyncio.to_thread(self._removed, expired)
            await self._store.blank(removed)
            if len(removed) < len(expired):
                break
        while forgotten := await self._store.expired(now - self._keep_seconds, blank=True):
            await self._store.forget(forgotten)
        found = await asyncio.to_thread(self._folders.jobs, now - ORPHAN_AFTER_SECONDS)
        known = await self._store.known(found)
        orphans = [job for job in found if known.get(job, "cancelled") in ("cancelled", "failed")]
        await asyncio.to_thread(self._removed, orphans)

    def _removed(self, jobs: Iterable[str]) -> list[str]:
        """Remove the folders of jobs; those that are gone now. What stays is logged, and tried again next time."""
        removed = []
        for job in jobs:
            try:
                self._folders.remove(job)
            except OSError as error:
                log.error("the files of a job cannot be removed: %s", error, extra={"fields": {"job": job}})
            else:
                removed.append(job)
        return removed

    def _lost(self, jobs: Iterable[Unfinished]) -> list[Unfinished]:
        """Those that nobody works on, and that the queue does not hold either, blocking. Raises `QueueGone`."""
        now, jumped = self._clock.now(), self._clock.jumped(self._lease_seconds)
        waiting = [job for job in jobs if job.state == "queued" and abs(now - job.queued) > LOST_AFTER_SECONDS]
        held = self._queue.waiting() if waiting else set()
        lost = [job for job in waiting if job.id not in held]
        running = [job for job in jobs if job.state == "running"]
        return lost + [job for job in running if not self._is_held(job, now, jumped)]

    def _is_held(self, job: Unfinished, now: float, jumped: bool) -> bool:
        """Whether its worker lives: one of this machine is told by its lock, however slow it is; others by leases.

        A lease that ends far ahead was given before the clock was set back.
        """
        if (job.worker or "").partition(":")[0] == socket.gethostname():
            return self._folders.is_locked(job.id)
        return jumped or now <= job.lease_until <= now + self._lease_seconds + JUMP_SECONDS
