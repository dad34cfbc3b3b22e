"""What jobs stand on gives way: their worker under load, their disk, their database; and two workers share them."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest

from service.database import DatabaseError
from service.jobs import NoSpace, QueueGone
from tests.alike import LAST_DIGIT, differences
from tests.databases import running_postgres
from tests.faults.light_load import eventually, light_load, requests
from tests.faults.small_disk import fill, small_disk
from tests.faults.yard import SETTINGS, TEXTS, Yard, opened_yard
from tests.jobs_running import RunningWorker, ended, running_worker
from tests.serving import RunningService, running_service

pytestmark = pytest.mark.server

LONG = os.environ.get("FAULTS") == "long"
SENTENCE = b"What a wonderful day it has been for all of us here\n"
ROWS = 800
STATE_BYTES = 12_000_000


async def test_a_worker_killed_under_load_finishes_its_video_once_and_disturbs_nobody(tmp_path: Path, samples: Path):
    video = samples / "video" / "portrait_with_speech.mp4"
    with running_service(tmp_path, transcript_model="off", **SETTINGS) as service:
        async with light_load(service.address, requests(samples), pause_seconds=0.1) as load:
            with httpx.Client(base_url=service.address, timeout=120) as http:
                at_once = http.post("/v1/video", files={"file": (video.name, video.read_bytes())}).json()
                job = http.post("/v1/jobs", files={"video": (video.name, video.read_bytes())}).json()["id"]
                for stage in ("part_told", "decoding", "writing_the_result") if LONG else ("part_told",):
                    with worker_of(service, "-m", "tests.faults.stopping_worker", stage, "1") as worker:
                        assert await asyncio.to_thread(worker.process.wait, 300) == -signal.SIGKILL
                with worker_of(service, "-m", "service.worker"):
                    assert (await asyncio.to_thread(ended, http, job, 300))["state"] == "done"
                result = http.get(f"/v1/jobs/{job}/result").json()
        assert load.wrong() == [] and set(load.codes()) == {""}
    for name in ("sentiment", "emotions", "timeline", "media"):
        assert differences(result[name], at_once[name], LAST_DIGIT) == []
    folder = tmp_path / "state" / "jobs"
    assert {path.name for path in (folder / job).iterdir()} == {"result.json", "lock"}
    assert list(folder.glob("incoming/*/*")) == []


def worker_of(service: RunningService, *program: str) -> AbstractContextManager[RunningWorker]:
    """A worker of a service, within a `with` block."""
    folder = service.log.parent
    return running_worker(folder, program, state_folder=folder / "state", transcript_model="off", **SETTINGS)


async def test_two_workers_share_jobs_and_give_each_one_result(yard: Yard):
    jobs = [await yard.submit(TEXTS, file=SENTENCE * 150) for _ in range(20 if LONG else 6)]
    with yard.worker() as one, yard.worker() as other:
        for job in jobs:
            assert (await yard.ended(job, one)).state == "done"
        assert [await yard.ends(job) for job in jobs] == [1] * len(jobs)
        begun = [line for worker in (one, other) for line in worker.log.read_text().splitlines() if "job begun" in line]
    assert len(begun) == len(jobs)
    for job in jobs:
        assert [start for start, _ in await yard.parts(job)] == [1, 101]
        assert len(yard.texts(job)) == 150 and yard.left(job) == {"result.jsonl", "lock"}


@pytest.mark.postgres
async def test_a_job_outlives_its_worker_and_its_postgresql(tmp_path: Path):
    with running_postgres() as postgres:
        async with opened_yard(tmp_path, tmp_path, database_url=postgres.create()) as yard:
            job = await yard.submit(TEXTS, file=SENTENCE * ROWS)
            await yard.kill_at("rows_written", 2)
            with yard.worker() as worker:
                await yard.begun(job, worker)
                postgres.stop()
                with pytest.raises(DatabaseError):
                    await yard.submit(TEXTS, file=SENTENCE)
                postgres.start()
                assert (await yard.ended(job, worker)).state == "done"
            assert await yard.ends(job) == 1 and len(yard.texts(job)) == ROWS
            assert yard.left(job) == {"result.jsonl", "lock"}
            assert sorted(path.name for path in yard.jobs.folders.root.iterdir()) == sorted([job, "incoming"])


async def test_jobs_wait_out_a_full_disk_of_their_database_queue_and_files(tmp_path: Path):
    with small_disk(tmp_path / "disk", STATE_BYTES) as disk:
        if disk is None:
            pytest.skip("A small disk can be mounted by root alone.")
        async with opened_yard(disk, tmp_path) as yard:
            rows = 4 * ROWS  # many more than are read until the disk is full
            job = await yard.submit(TEXTS, file=SENTENCE * rows)
            with yard.worker() as worker:
                await yard.begun(job, worker)
                hog = fill(disk)
                with pytest.raises((NoSpace, QueueGone, DatabaseError)):
                    await yard.submit(TEXTS, file=SENTENCE * 10_000)
                await eventually(lambda: "put back" in worker.log.read_text(), 300)
                assert worker.process.poll() is None
                hog.unlink()
                assert (await yard.ended(job, worker)).state == "done"
                after = await yard.submit(TEXTS, file=SENTENCE)
                assert (await yard.ended(after, worker)).state == "done"
            assert await yard.ends(job) == 1 and len(yard.texts(job)) == rows
            assert sorted(path.name for path in yard.jobs.folders.root.iterdir()) == sorted([job, after, "incoming"])
