"""What a gateway does with jobs: takes them in, says how they are, calls them off, hands results out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.database import Database
from service.database.errors import DatabaseError
from service.jobs import KeyReused, QueueFull, QueueGone
from service.jobs.folders import JobFolders
from service.jobs.queue import JobQueue
from service.jobs.store import ENDED, Counts, Event, Job, JobStore
from service.observability import metrics
from service.observability.readings import Waiting
from service.pipelines.analyze import ulid
from service.settings import Settings

ALIVE_SECONDS = 15.0
"""A worker that has not been heard of for so long is taken for dead."""
POLL_SECONDS = 0.25
"""So often the database is asked for news of a job while somebody listens."""
COUNT_SECONDS = 1.0


class QueueUnwell(Exception):
    """Jobs cannot be taken, or nobody works on them."""


@dataclass(frozen=True)
class Wish:
    """What a caller wants done: as a job without an identifier, and the files that go with it."""

    owner: str
    kind: Any
    request: Mapping[str, Any]
    digest: str
    unit: Any
    idempotency_key: str | None = None


class Jobs:
    """The jobs, as a gateway process sees them. Methods raise `DatabaseError` where the database does not answer."""

    def __init__(self, settings: Settings, database: Database) -> None:
        """Touches nothing yet: database, queue and folder are made when the first job comes."""
        folder = settings.jobs_folder or settings.state_folder / "jobs"
        self.folders = JobFolders(folder, settings.min_free_bytes)
        self.store = JobStore(database)
        self._database = database
        self._settings = settings
        self._queue: JobQueue | None = None
        self._counts = Counts()
        self._counted = float("-inf")

    @property
    def queue(self) -> JobQueue:
        """The queue, opened when it is first asked for. Raises `QueueGone`."""
        if self._queue is None:
            self._queue = open_queue(self._settings)
        return self._queue

    async def admit(self, body_bytes: int) -> None:
        """Before a body is read. Raises `NoSpace`, `QueueFull` and `QueueGone`."""
        await asyncio.to_thread(self.folders.open)
        await asyncio.to_thread(self.folders.check_space, body_bytes)
        waiting = (await self.store.counts(ALIVE_SECONDS)).queued
        if waiting >= self._settings.max_queued_jobs:
            raise QueueFull(f"{waiting:,} jobs wait already, which is the limit; try again later.")
        await self._queue_size()

    async def take_in(self, wish: Wish, files: Path) -> Job:
        """Make a job of a wish and its files, which are in a folder of their own; the same key gives the same job.

        Raises `KeyReused`, `QueueGone` and `NoSpace`.
        """
        if wish.idempotency_key is not None and (earlier := await self._earlier(wish)) is not None:
            return earlier
        now = time.time()
        job = Job(ulid(), **_fields(wish), state="queued", created=now, queued=now)
        await asyncio.to_thread(self.folders.take_in, job.id, files)
        try:
            taken = await self.store.add(job)
            if taken:
                await self._put(job)
        except BaseException:
            await self._undo(job.id)
            raise
        if taken:
            return job
        await asyncio.to_thread(self.folders.remove, job.id)
        earlier = await self._earlier(wish)
        if earlier is None:  # it was deleted in this moment
            raise QueueGone("The job with this idempotency key has just been deleted; send it again.")
        return earlier

    async def find(self, identifier: str, owner: str) -> Job | None:
        """A job of an owner."""
        return await self.store.find(identifier, owner) if self._database.exists else None

    async def newest(self, owner: str, before: str | None, limit: int) -> list[Job]:
        """The jobs of an owner, newest first."""
        return await self.store.of_owner(owner, before, limit) if self._database.exists else []

    async def delete(self, job: Job) -> int:
        """Call a job off if it is not over, else forget it; its media and result are removed either way.

        The number of the audit row that says so; rows go together with it or not at all. Raises `OSError` where files
        stay: then it can be deleted again.
        """
        audit = await self.store.cancel(job.id, 3600 * self._settings.job_hours)
        if audit is not None:
            metrics.job_ended(job.kind, "cancelled", time.time() - (job.started or job.created))
        await asyncio.to_thread(self.folders.remove, job.id)
        if audit is None:
            audit = await self.store.remove(job.id, job.owner)
        await self._database.forget()
        return audit

    async def forget_owner(self, owner: str) -> int:
        """Delete all jobs of an owner; how many that were."""
        deleted = 0
        while self._database.exists and (jobs := await self.store.of_owner(owner, None, 100)):
            for job in jobs:
                await self.delete(job)
            await self.store.forget([job.id for job in jobs])
            deleted += len(jobs)
        return deleted

    async def events(self, job: str, after: int, stop: Callable[[], bool]) -> AsyncGenerator[Event | None, None]:
        """What happens to a job after the event of this number, until its end or `stop`; None while nothing does."""
        while not stop():
            events = await self.store.events(job, after)
            for event in events:
                after = event.number
                yield event
            if any(event.name in ENDED for event in events):
                return
            if not events:
                found = await self.store.known([job])
                if found.get(job, "cancelled") in ENDED and not await self.store.events(job, after):
                    return
                yield None
                await asyncio.sleep(POLL_SECONDS)

    async def waiting(self) -> Waiting | None:
        """How many jobs wait and who works on them, for metrics; None where that cannot be told."""
        try:
            counts = await self._look()
        except DatabaseError:
            return None
        oldest = max(0.0, time.time() - counts.oldest_queued) if counts.oldest_queued else 0.0
        return Waiting(counts.queued, counts.running, counts.workers, oldest)

    async def check(self) -> None:
        """Raises `QueueUnwell` or `QueueGone` where jobs cannot be taken, or wait and nobody works on them."""
        try:
            counts = await self._look()
        except DatabaseError as error:
            raise QueueUnwell("The database of the jobs does not answer.") from error
        if self._settings.queue_url is not None or self._queue is not None:
            await self._queue_size()
        if counts.queued and not counts.workers:
            raise QueueUnwell(f"{counts.queued} jobs wait, and no worker is alive.")
        if counts.queued >= self._settings.max_queued_jobs:
            raise QueueUnwell(f"{counts.queued} jobs wait, which is the limit.")

    async def _look(self) -> Counts:
        if not self._database.exists:
            return Counts()
        if time.monotonic() - self._counted > COUNT_SECONDS:
            self._counts = await self.store.counts(ALIVE_SECONDS)
            self._counted = time.monotonic()
        return self._counts

    async def _queue_size(self) -> int:
        return await asyncio.to_thread(self.queue.size)

    async def _undo(self, job: str) -> None:
        """Leave nothing of a job; a client that left may have been taken in all the same."""
        try:
            await asyncio.to_thread(self.folders.remove, job)
        finally:
            await self.store.forget([job])

    async def _put(self, job: Job) -> None:
        try:
            await asyncio.to_thread(lambda: self.queue.put(job.id))
        except QueueGone:
            await self.store.forget([job.id])
            raise

    async def _earlier(self, wish: Wish) -> Job | None:
        assert wish.idempotency_key is not None
        earlier = await self.store.find_by_key(wish.owner, wish.idempotency_key)
        if earlier is not None and earlier.digest != wish.digest:
            raise KeyReused("This Idempotency-Key was used with another body; use a new key for a new request.")
        return earlier


def open_queue(settings: Settings) -> JobQueue:
    """The queue that the settings name. Raises `QueueGone`."""
    settings.state_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    url = settings.queue_url.get_secret_value() if settings.queue_url else ""
    return JobQueue(url, settings.state_folder)


def _fields(wish: Wish) -> dict[str, Any]:
    fields = {name: getattr(wish, name) for name in ("owner", "kind", "request", "digest", "unit", "idempotency_key")}
    return {**fields, "request": dict(wish.request)}
