"""How a worker takes a job on, holds it while it works, and lets go of it: finished, failed, called off or parked.

A job is held twice: by a lease in the database, which others see and which ends by itself, and by a lock on its folder,
which the system drops when the process dies. So two workers never write in one folder, whatever the clocks say.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any

from service.database.errors import DatabaseError
from service.domain.analysis import Analysis
from service.history.history import keep_once
from service.jobs import JobLost, NoSpace, QueueGone
from service.jobs.folders import JobFolders
from service.jobs.progress import Progress
from service.jobs.queue import JobQueue
from service.jobs.store import Job, JobStore, State
from service.jobs.texts import Refuse
from service.jobs.toolbox import Toolbox
from service.jobs.work import Work
from service.media import DecodersBusy
from service.observability import metrics
from service.runners import ModelUnavailable, Overloaded
from service.runners.profile import WrongProfile
from service.settings import Settings

LOOK_SECONDS = 0.5
"""So often a worker looks whether its job is still wanted, and says how far it is."""
MAX_ATTEMPTS = 5
"""So often a job may end its worker without a part of it getting done, before it is given up."""
RowProblem = Callable[[Exception, Job], Mapping[str, Any]]

_TRANSIENT = (NoSpace, DatabaseError, DecodersBusy, ModelUnavailable, Overloaded, WrongProfile)
"""What may be over in a while, and says nothing about the job: it is tried again for as long as results are kept."""

log = logging.getLogger(__name__)


class Taken(Exception):
    """The job was called off, or is another worker's by now."""


class Workshop:
    """One worker."""

    def __init__(
        self,
        settings: Settings,
        store: JobStore,
        queue: JobQueue,
        folders: JobFolders,
        *,
        problem: RowProblem,
    ) -> None:
        """`problem` makes the Problem of an error for a job."""
        self.name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self.toolbox = Toolbox(settings)
        self._settings = settings
        self._store = store
        self._queue = queue
        self._folders = folders
        self._problem = problem
        self._park_at: float | None = None

    def park(self, grace_seconds: float) -> None:
        """Take nothing more on; give back what is being worked on after its present part, or after the grace."""
        self._park_at = time.monotonic() + grace_seconds

    async def work(self, identifier: str) -> None:
        """Work on a job, if it waits for somebody."""
        if self._park_at is not None:
            return  # it stays queued in the database, and is found there
        try:
            with self._folders.lock(identifier) as locked:
                if locked:  # else it is found again when whoever holds it lets go without having done it
                    await self._take_on(identifier)
        except JobLost as error:
            job = await self._claimed(identifier)
            if job is not None:
                await self._end(job, "failed", error)

    async def _take_on(self, identifier: str) -> None:
        """Work on a job whose folder is held."""
        job = await self._claimed(identifier)
        if job is None:
            return
        metrics.job_began(time.time() - job.queued)
        log.info("job begun", extra={"fields": {"job": job.id, "kind": job.kind, "attempt": job.attempts}})
        await self._hold(job)

    async def _claimed(self, identifier: str) -> Job | None:
        return await self._store.claim(identifier, self.name, self._settings.job_lease_seconds)

    async def _hold(self, job: Job) -> None:
        """Work, and let go however it ends."""
        try:
            if job.attempts > MAX_ATTEMPTS:
                raise JobLost(f"The job ended its worker {MAX_ATTEMPTS} times; send it again.")
            progress = await self._watched(job)
        except Taken:
            await self._clear_up(job)
        except asyncio.CancelledError:
            await self._give_back(job, at_once=True)
        except _TRANSIENT as error:
            log.warning("job put back", extra={"fields": {"job": job.id, "why": str(error)}})
            if time.time() - job.created > 3600 * self._settings.job_hours:
                await self._end(job, "failed", error)
            else:
                await self._give_back(job, at_once=False)
        except FileNotFoundError as error:
            lost = JobLost("The files of the job went while it was worked on; send it again.")
            await self._end(job, "failed", error if self._folders.of(job.id).exists() else lost)
        except Exception as error:  # whatever a job's input brings up, its owner must hear of it
            await self._end(job, "failed", error)
        else:
            # Before the state: a worker that dies in between leaves a result to be found, and nothing to be removed.
            await self._tidy(self._folders.keep_result, job)
            await self._end(job, "done", progress=progress)

    async def _watched(self, job: Job) -> Progress:
        """Run the work beside a look, twice a second, at whether it is still wanted. Raises `Taken` if not."""
        async with self.toolbox.open() as tools:
            refuse: Refuse = lambda error: self._problem(error, job)  # noqa: E731
            work = Work(
                job,
                self._folders,
                tools,
                refuse=refuse,
                tell=lambda part: self._kept(work, part),
                store=lambda analysis: self._store_once(job, analysis),
            )
            running = asyncio.create_task(work.run())
            looking = asyncio.create_task(self._look(work))
            try:
                await asyncio.wait((running, looking), return_when=asyncio.FIRST_COMPLETED)
                if running.done():
                    running.result()
                else:
                    looking.result()
            finally:
                for task in (running, looking):
                    task.cancel()
                await asyncio.gather(running, looking, return_exceptions=True)
            return Progress(work.progress.done, work.progress.done)

    async def _look(self, work: Work) -> None:
        """Raises `Taken`, `CancelledError` when the grace is over, `DatabaseError` when the lease is lost with it."""
        renewed = time.monotonic()
        lease = self._settings.job_lease_seconds
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if self._park_at is not None and time.monotonic() > self._park_at:
                raise asyncio.CancelledError
            try:
                held = await self._store.renew(work.job.id, self.name, lease, work.progress)
            except DatabaseError:
                if time.monotonic() - renewed > lease:
                    raise
                continue
            if not held:
                raise Taken
            renewed = time.monotonic()

    async def _kept(self, work: Work, part: Mapping[str, Any]) -> None:
        """A part is safe: tell of it, and stop here if the worker is to end."""
        if not await self._store.end_part(work.job.id, self.name, work.progress, part):
            raise Taken
        if self._park_at is not None:
            raise asyncio.CancelledError

    async def _store_once(self, job: Job, analysis: Analysis) -> None:
        """In one transaction with the look whether the job is still wanted: what is erased does not come back."""
        if not await self._store.while_held(job.id, self.name, lambda to: keep_once(to, analysis, job.owner)):
            raise Taken

    async def _end(
        self, job: Job, state: State, error: Exception | None = None, progress: Progress | None = None
    ) -> None:
        problem = None if error is None else self._problem(error, job)
        keep = 3600 * self._settings.job_hours
        if not await self._store.end(job.id, self.name, state, keep, progress=progress, problem=problem):
            await self._clear_up(job)
            return
        metrics.job_ended(job.kind, state, time.time() - (job.started or job.created))
        if problem is not None:
            log.info("job failed", extra={"fields": {"job": job.id, "code": problem["code"]}})
            if problem["code"] == "internal" and not isinstance(error, JobLost):
                log.error("unforeseen error in a job", exc_info=error, extra={"fields": {"job": job.id}})
            await self._tidy(self._folders.remove, job)

    async def _clear_up(self, job: Job) -> None:
        """Remove what is left of a job that was called off; another worker's is left alone."""
        found = await self._store.find(job.id)
        if found is None or found.state == "cancelled":
            await self._tidy(self._folders.remove, job)

    async def _tidy(self, how: Callable[[str], None], job: Job) -> None:
        """Remove files of a job; what stays is removed when its time is over, if not before."""
        try:
            await asyncio.to_thread(how, job.id)
        except OSError as error:
            log.error("files of a job cannot be removed: %s", error, extra={"fields": {"job": job.id}})

    async def _give_back(self, job: Job, *, at_once: bool) -> None:
        """Put it back. Unless it may go on `at_once`, whoever looks for stranded jobs finds it in some seconds."""
        try:
            if await self._store.give_back(job.id, self.name) and at_once:
                await asyncio.to_thread(self._queue.put, job.id)
        except (DatabaseError, QueueGone) as error:
            log.warning("a job could not be put back: %s", error, extra={"fields": {"job": job.id}})
