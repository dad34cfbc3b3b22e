"""The job worker: takes jobs from the queue and works on them. `python -m service.worker` starts one.

It loads its models with its first job, stands back behind the processes that answer requests, and on SIGTERM finishes
the part that it is at; whoever starts next goes on from there.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from huey.consumer import Consumer
from prometheus_client import REGISTRY, start_http_server

from service.api.problems import problem_of
from service.database import Database, DatabaseError
from service.jobs import QueueGone
from service.jobs.folders import JobFolders
from service.jobs.intake import Jobs
from service.jobs.janitor import Janitor
from service.jobs.store import Job
from service.jobs.workshop import Workshop
from service.observability import logs
from service.observability.usage import Usage
from service.settings import Settings, load_settings

ALIVE_EVERY_SECONDS = 2.0
REQUEUE_EVERY_SECONDS = 2.0
SWEEP_EVERY_SECONDS = 30.0
FORGET_WORKERS_SECONDS = 3600.0

log = logging.getLogger("service.worker")


class QuietConsumer(Consumer):
    """Huey's consumer, which leaves signals to the worker."""

    def _set_signal_handlers(self) -> None:
        """None of its own."""


class Worker:
    """One worker process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._database = Database.of(settings)
        self._jobs = Jobs(settings, self._database)
        self._folders: JobFolders = self._jobs.folders
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Work until SIGTERM or SIGINT, and then park what is not done."""
        loop = asyncio.get_running_loop()
        for stop in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(stop, self._stop.set)
        self._folders.open()
        queue = self._jobs.queue
        workshop = Workshop(self._settings, self._jobs.store, queue, self._folders, problem=job_problem)
        janitor = Janitor(self._settings, self._jobs.store, queue, self._folders)
        queue.consume(lambda job: asyncio.run_coroutine_threadsafe(workshop.work(job), loop).result())
        consumer = QuietConsumer(queue.huey, workers=1, periodic=False, max_delay=0.5, check_worker_health=False)
        chores = [
            asyncio.create_task(_again(ALIVE_EVERY_SECONDS, lambda: self._say_alive(workshop, consumer))),
            asyncio.create_task(_again(REQUEUE_EVERY_SECONDS, janitor.requeue)),
            asyncio.create_task(_again(SWEEP_EVERY_SECONDS, janitor.sweep)),
        ]
        consumer.start()
        log.info("worker ready", extra={"fields": {"worker": workshop.name}})
        await self._stop.wait()
        await self._finish(workshop, consumer)
        for chore in chores:
            chore.cancel()
        await asyncio.gather(*chores, return_exceptions=True)
        await self._say_gone(workshop)
        await workshop.toolbox.close()
        await self._database.close()

    async def _say_alive(self, workshop: Workshop, consumer: QuietConsumer) -> None:
        await self._jobs.store.alive(workshop.name, FORGET_WORKERS_SECONDS)
        consumer.check_worker_health()
        await workshop.toolbox.tidy()

    async def _say_gone(self, workshop: Workshop) -> None:
        try:
            await self._jobs.store.gone(workshop.name)
        except DatabaseError as error:
            log.warning("the database does not hear that the worker ends: %s", error)

    async def _finish(self, workshop: Workshop, consumer: QuietConsumer) -> None:
        """Let the present part be finished, or parked when the grace is over."""
        log.info("worker stops")
        grace = self._settings.graceful_seconds
        workshop.park(0.8 * grace)
        consumer.stop_flag.set()
        for _, thread in consumer.worker_threads:
            await asyncio.to_thread(thread.join, grace)


def job_problem(error: Exception, job: Job) -> Mapping[str, Any]:
    """The Problem of an error in a job."""
    return dict(problem_of(error).body(f"/v1/jobs/{job.id}", str(job.request.get("request_id", job.id))))


async def _again(seconds: float, chore: Callable[[], Awaitable[Any]]) -> None:
    """Do a chore now and every so many seconds; what is gone may come back."""
    while True:
        try:
            await chore()
        except (DatabaseError, QueueGone, OSError) as error:
            log.warning("%s", error)
        except Exception as error:  # a worker that no longer says that it lives would lose its job
            log.error("unforeseen error in a chore", exc_info=error)
        await asyncio.sleep(seconds)


def _adopt_huey() -> None:
    """Have huey's warnings written as ours are."""
    logger = logging.getLogger("huey")
    logger.handlers = logging.getLogger("service").handlers
    logger.setLevel(logging.WARNING)
    logger.propagate = False
    # Twice a second, with a page of traceback, that the queue does not answer; our own line says that as well.
    logging.getLogger("huey.consumer.Worker").setLevel(logging.CRITICAL)


def main() -> None:
    """Run one worker in this process."""
    settings = load_settings()
    logs.configure(settings.log_level)
    _adopt_huey()
    os.nice(settings.job_niceness)
    if settings.worker_metrics_port:
        REGISTRY.register(Usage())
        start_http_server(settings.worker_metrics_port, settings.host)
    asyncio.run(Worker(settings).run())


if __name__ == "__main__":
    main()
