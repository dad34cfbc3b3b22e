"""What has to be looked after now and then: jobs that were lost on the way, results whose time is over, orphans."""

from __future__ import annotations

import asyncio
import logging
import socket
import time

import psutil

from service.jobs.folders import JobFolders
from service.jobs.queue import JobQueue
from service.jobs.store import Job, JobStore
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
        lost = [job for job in await self._store.unfinished() if _is_lost(job)]
        if any(job.state == "queued" for job in lost) and await asyncio.to_thread(self._queue.size):
            lost = [job for job in lost if job.state == "running"]
        for job in lost:
            await self._store.requeue(job)
            await asyncio.to_thread(self._queue.put, job.id)
        if lost:
            log.info("stranded jobs queued again", extra={"fields": {"jobs": len(lost)}})
        return len(lost)

    async def sweep(self) -> None:
        """Remove what was kept long enough, later the rows that say so, and orphans. Raises `DatabaseError`."""
        now = time.time()
        await asyncio.to_thread(self._folders.remove_abandoned)
        expired = await self._store.expired(now)
        for job in expired:
            await asyncio.to_thread(self._folders.remove, job)
        if expired:
            await self._store.blank(expired)
        await self._store.forget(await self._store.expired(now - self._keep_seconds))
        found = await asyncio.to_thread(self._folders.jobs, ORPHAN_AFTER_SECONDS)
        known = await self._store.known(found)
        for job in found:
            if known.get(job, "cancelled") in ("cancelled", "failed"):
                await asyncio.to_thread(self._folders.remove, job)


def _is_lost(job: Job) -> bool:
    """Whether nobody works on it, or it waits for so long that the queue must have lost it, unless that is full."""
    if job.state == "queued":
        return job.queued < time.time() - LOST_AFTER_SECONDS
    return job.lease_until < time.time() or _is_dead(job.worker or "")


def _is_dead(worker: str) -> bool:
    """Whether a worker is known to be dead: it was one of this machine. Others are told by their leases."""
    host, _, rest = worker.partition(":")
    return host == socket.gethostname() and not psutil.pid_exists(int(rest.partition(":")[0]))
