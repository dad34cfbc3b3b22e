"""A worker that is killed at any stage: the next one finishes its job, once, without doing finished parts again."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from service.database import Database
from service.jobs.intake import Jobs, Wish
from service.jobs.store import ENDED, Job
from service.jobs.workshop import MAX_ATTEMPTS
from service.settings import Settings
from tests.jobs_running import RunningWorker, running_worker, submit
from tests.redis_running import running_redis

pytestmark = pytest.mark.server

OPTIONS = {"language": "en", "detail": "full"}
SETTINGS = {"job_part_seconds": 2, "job_part_rows": 100, "min_free_bytes": 0}
WISH = Wish(owner="anyone", kind="audio", request={}, digest="", unit="seconds")


@dataclass
class Yard:
    """Jobs of a test's own, taken in as a gateway does."""

    jobs: Jobs
    folder: Path

    async def submit(self, wish: Wish, **files: Path | bytes) -> str:
        return await submit(self.jobs, wish, **files)

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
        program = ("-m", "tests.faults.stopping_worker", stage, str(time))
        with running_worker(self.folder, program, **self.settings) as worker:
            try:
                code = worker.process.wait(60)
            except subprocess.TimeoutExpired:
                code = None
        assert code == -signal.SIGKILL, worker.log.read_text()

    @property
    def settings(self) -> dict[str, Any]:
        return {**SETTINGS, "state_folder": self.folder}

    def left(self, identifier: str) -> set[str]:
        folder = self.folder / "jobs" / identifier
        return {path.name for path in folder.iterdir()} if folder.exists() else set()

    def result(self, identifier: str) -> bytes:
        path = self.jobs.folders.result(identifier)
        assert path is not None
        return path.read_bytes()


@pytest.fixture
async def yard(tmp_path: Path) -> AsyncIterator[Yard]:
    settings = Settings(state_folder=tmp_path, **SETTINGS)
    database = Database.of(settings)
    yield Yard(Jobs(settings, database), tmp_path)
    await database.close()
    shutil.rmtree(tmp_path, ignore_errors=True)


async def parts_told(yard: Yard, identifier: str) -> list[tuple[float, float]]:
    events = await yard.jobs.store.events(identifier, 0)
    return [(event.data["start"], event.data["end"]) for event in events if event.name == "partial"]


async def test_a_recording_survives_every_death_of_its_worker(yard: Yard, samples: Path):
    recording = samples / "audio/jfk.ogg"
    wish = replace(WISH, request={"options": OPTIONS, "files": ["audio"]})
    job = await yard.submit(wish, audio=recording)
    for stage, time in (
        ("popped", 1),
        ("decoding", 2),
        ("writing_a_part", 2),
        ("part_told", 1),
        ("writing_the_result", 1),
        ("result_written", 1),
    ):
        await yard.kill_at(stage, time)
        found = await yard.jobs.find(job, "anyone")
        assert found is not None and found.state not in ENDED
    calm = await yard.submit(wish, audio=recording)
    with running_worker(yard.folder, **yard.settings) as worker:
        assert (await yard.ended(job, worker)).state == "done"
        assert (await yard.ended(calm, worker)).state == "done"
        assert worker.stop() == 0
    ends = [end for _, end in await parts_told(yard, job)]
    assert ends == sorted(set(ends))  # no part was done twice
    assert yard.left(job) == yard.left(calm) == {"result.json", "lock"}
    assert list(yard.folder.glob("jobs/incoming/*/*")) == []
    killed, quiet = orjson.loads(yard.result(job)), orjson.loads(yard.result(calm))
    for name in ("sentiment", "emotions", "timeline", "transcript", "media"):
        assert killed[name] == quiet[name]


async def test_texts_survive_every_death_of_their_worker(yard: Yard):
    wish = replace(WISH, kind="texts", unit="rows", request={"options": OPTIONS, "format": "txt", "column": None})
    texts = b"".join(b"Sentence %d is rather good\n" % number for number in range(350))
    job = await yard.submit(wish, file=texts)
    for stage, time in (("claimed", 1), ("rows_written", 2), ("rows_done", 1)):
        await yard.kill_at(stage, time)
    with running_worker(yard.folder, **yard.settings) as worker:
        assert (await yard.ended(job, worker)).state == "done"
    told = await parts_told(yard, job)
    assert [start for start, _ in told] == [1, 101, 201, 301] and told[-1][1] == 350
    answers = [orjson.loads(line) for line in yard.result(job).splitlines()]
    assert [answer["modalities"]["text"]["text"] for answer in answers] == texts.decode().splitlines()
    assert yard.left(job) == {"result.jsonl", "lock"}


async def test_a_job_that_kills_its_worker_again_and_again_is_given_up(yard: Yard):
    wish = replace(WISH, kind="texts", unit="rows", request={"options": OPTIONS, "format": "txt", "column": None})
    job = await yard.submit(wish, file=b"I love it\n")
    for _ in range(MAX_ATTEMPTS):
        assert await yard.jobs.store.claim(job, "a worker that dies", lease_seconds=-1) is not None
    with running_worker(yard.folder, **yard.settings) as worker:
        found = await yard.ended(job, worker)
    assert found.state == "failed" and found.problem is not None and found.problem["code"] == "internal"
    assert yard.left(job) == set()


async def test_a_worker_that_is_asked_to_end_parks_its_job_and_the_next_goes_on(yard: Yard):
    wish = replace(WISH, kind="texts", unit="rows", request={"options": OPTIONS, "format": "txt", "column": None})
    job = await yard.submit(wish, file=b"What a wonderful day it has been for all of us here\n" * 20_000)
    with running_worker(yard.folder, **yard.settings) as worker:
        await yard.begun(job, worker)
        assert worker.stop() == 0
    found = await yard.jobs.find(job, "anyone")
    assert found is not None and (found.state, found.worker) == ("queued", None) and 0 < found.done < 20_000
    await yard.jobs.delete(found)
    assert yard.left(job) == set()


@pytest.mark.redis
async def test_jobs_survive_a_redis_that_forgets_them(tmp_path: Path):
    wish = replace(WISH, kind="texts", unit="rows", request={"options": OPTIONS, "format": "txt", "column": None})
    with running_redis() as redis:
        settings = Settings(state_folder=tmp_path, queue_url=redis.url, **SETTINGS)
        database = Database.of(settings)
        yard = Yard(Jobs(settings, database), tmp_path)
        waiting = await yard.submit(wish, file=b"I love it\n")
        redis.stop()
        redis.start()
        with running_worker(tmp_path, **yard.settings, queue_url=redis.url) as worker:
            assert (await yard.ended(waiting, worker)).state == "done"
            long = await yard.submit(wish, file=b"What a wonderful day it has been for all of us here\n" * 800)
            await yard.begun(long, worker)
            redis.stop()
            assert (await yard.ended(long, worker)).state == "done"  # who has a job needs no queue
            redis.start()
            after = await yard.submit(wish, file=b"I hate it\n")
            assert (await yard.ended(after, worker)).state == "done"
        await database.close()
