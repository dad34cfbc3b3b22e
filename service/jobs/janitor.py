"""What has to be looked after now and then: jobs that were lost on the way, results whose time is over, orphans."""

from __future__ import annotations

import asyncio
import logging
import time

from service.jobs.folders import JobFolders
from service.jobs.queue import JobQueue
from service.jobs.store import JobStore
from service.settings import Settings

LOST_AFTER_SECONDS = 5.0
"""A job that waits for longer in the database, while the queue is empty, has been lost by the queue."""
ORPHAN_AFTER_SECONDS = 60.0
"""A folder this old without a job in the database was left by a gateway that died while taking it in."""

log = logging.getLogger(__name__)


class Janitor:
    """Looks after the jobs of one database, queue and folder; several may, at the same time."""

    def __init__(self, settings: Settings, store: JobStore, queue: JobQueue, folders: JobFolders) -> None:
        self._keep_seconds = 3600 * settings.job_hours
        self._store = store
        self._queue = queue
        self._folders = folders

    async def requeue(self) -> int:
        """Put jobs into the queue again that nobody works on; how many. Raises `DatabaseError` and `QueueGone`."""
        stranded = await self._store.stranded(time.time() - LOST_AFTER_SECONDS)
        if not stranded:
            return 0
        still_in_queue = await asyncio.to_thread(self._queue.size) > 0
        lost = [job for job, state in stranded if state == "running" or not still_in_queue]
        for job in lost:
            await self._store.requeue(job)
            await asyncio.to_thread(self._queue.put, job)
        if lost:
            log.info("stranded jobs queued again", extra={"fields": {"jobs": len(lost)}})
        return len(lost)

    async def sweep(self) -> None:
        """Remove what was kept long enough, later the rows that say so, and orphans. Raises `DatabaseError`."""
        now = time.time()
        await asyncio.to_thread(self._folders.remove_abandoned)
        for job in await self._store.expired(now):
            await asyncio.to_thread(self._folders.remove, job)
        await self._store.forget(await self._store.expired(now - self._keep_seconds))
        found = await asyncio.to_thread(self._folders.jobs, ORPHAN_AFTER_SECONDS)
        known = await self._store.known(found)
        for job in found:
            if known.get(job, "cancelled") in ("cancelled", "failed"):
                await asyncio.to_thread(self._folders.remove, job)
