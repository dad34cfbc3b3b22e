"""Jobs of a test's own, taken in as a gateway does, for workers that may die at it."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson

from service.database import Database
from service.jobs.intake import Jobs, Wish
from service.jobs.store import ENDED, Job
from service.settings import Settings
from tests.jobs_running import RunningWorker, running_worker, submit

OPTIONS = {"language": "en", "detail": "full"}
SETTINGS = {"job_part_seconds": 2, "job_part_rows": 100, "min_free_bytes": 0}
WISH = Wish(owner="anyone", kind="audio", request={}, digest="d", unit="seconds")
TEXTS = replace(WISH, kind="texts", unit="rows", request={"options": OPTIONS, "format": "txt", "column": None})


@dataclass
class Yard:
    """Jobs whose state lies in one folder, and the logs of their workers in another."""

    jobs: Jobs
    folder: Path
    logs: Path
    more: dict[str, Any] = field(default_factory=dict)
    """Settings beside the usual ones."""

    async def submit(self, wish: Wish, **files: Path | bytes) -> str:
        """Take a job in."""
        return await submit(self.jobs, wish, **files)

    def worker(self, program: tuple[str, ...] = ("-m", "service.worker")) -> Any:
        """A worker, within a `with` block."""
        return running_worker(self.logs, program, **SETTINGS, state_folder=self.folder, **self.more)

    async def ended(self, identifier: str, worker: RunningWorker) -> Job:
        """The job when it is over, as a listener hears of it."""
        async for _ in self.jobs.events(identifier, 0, lambda: worker.process.poll() is not None):
            pass
        found = await self.jobs.find(identifier, "anyone")
        assert found is not None and found.state in ENDED, worker.log.read_text()
        return found

    async def begun(self, identifier: str, worker: RunningWorker) -> None:
        """Wait until the first part of a job is done."""
        async for event in self.jobs.events(identifier, 0, lambda: worker.process.poll() is not None):
            if event is not None and event.name == "partial":
                return

    async def kill_at(self, stage: str, time: int) -> None:
        """Let a worker come as far as this stage, where it dies."""
        with self.worker(("-m", "tests.faults.stopping_worker", stage, str(time))) as worker:
            try:
                code = worker.process.wait(300)
            except subprocess.TimeoutExpired:
                code = None
        assert code == -signal.SIGKILL, worker.log.read_text()

    async def parts(self, identifier: str) -> list[tuple[float, float]]:
        """From where to where each part went that was told of."""
        events = await self.jobs.store.events(identifier, 0)
        return [(event.data["start"], event.data["end"]) for event in events if event.name == "partial"]

    async def ends(self, identifier: str) -> int:
        """How often it was told that the job is done."""
        events = await self.jobs.store.events(identifier, 0)
        return sum(event.name == "done" for event in events)

    def left(self, identifier: str) -> set[str]:
        """What lies in the folder of a job."""
        folder = self.folder / "jobs" / identifier
        return {path.name for path in folder.iterdir()} if folder.exists() else set()

    def result(self, identifier: str) -> bytes:
        """The result of a job."""
        path = self.jobs.folders.result(identifier)
        assert path is not None
        return path.read_bytes()

    def texts(self, identifier: str) -> list[str]:
        """The texts that the result of a job answers to, in order."""
        answers = [orjson.loads(line) for line in self.result(identifier).splitlines()]
        return [answer["modalities"]["text"]["text"] for answer in answers]


@asynccontextmanager
async def opened_yard(folder: Path, logs: Path, **more: Any) -> AsyncIterator[Yard]:
    """A yard with these settings."""
    settings = Settings(**SETTINGS, state_folder=folder, **more)
    database = Database.of(settings)
    yield Yard(Jobs(settings, database), folder, logs, more)
    await database.close()
