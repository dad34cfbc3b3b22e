"""A worker that is killed at any stage: the next one finishes its job, once, without doing finished parts again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from service.jobs.store import ENDED
from service.jobs.workshop import MAX_ATTEMPTS
from tests.alike import LAST_DIGIT, differences
from tests.faults.light_load import eventually
from tests.faults.yard import OPTIONS, TEXTS, WISH, Yard, opened_yard
from tests.redis_running import running_redis

pytestmark = pytest.mark.server


async def test_a_recording_survives_every_death_of_its_worker(yard: Yard, samples: Path):
    recording = samples / "audio/jfk.ogg"
    wish = replace(WISH, request={"options": OPTIONS, "files": ["audio"]})
    job = await yard.submit(wish, audio=recording)
    for stage, time in (
        ("popped", 1),
        ("decoding", 2),
        ("writing_a_part", 2),
        ("part_written", 1),
        ("part_told", 1),
        ("writing_the_result", 1),
        ("result_written", 1),
    ):
        await yard.kill_at(stage, time)
        found = await yard.jobs.find(job, "anyone")
        assert found is not None and found.state not in ENDED
    calm = await yard.submit(wish, audio=recording)
    with yard.worker() as worker:
        assert (await yard.ended(job, worker)).state == "done"
        assert (await yard.ended(calm, worker)).state == "done"
        assert worker.stop() == 0
    ends = [end for _, end in await yard.parts(job)]
    assert ends == sorted(set(ends))  # no part was done twice
    assert yard.left(job) == yard.left(calm) == {"result.json", "lock"}
    assert list(yard.folder.glob("jobs/incoming/*/*")) == []
    killed, quiet = orjson.loads(yard.result(job)), orjson.loads(yard.result(calm))
    for name in ("sentiment", "emotions", "timeline", "transcript", "media"):
        assert differences(killed[name], quiet[name], LAST_DIGIT) == []


async def test_texts_survive_every_death_of_their_worker(yard: Yard):
    texts = b"".join(b"Sentence %d is rather good\n" % number for number in range(350))
    job = await yard.submit(TEXTS, file=texts)
    for stage, time in (("claimed", 1), ("rows_written", 2), ("rows_done", 1)):
        await yard.kill_at(stage, time)
    with yard.worker() as worker:
        assert (await yard.ended(job, worker)).state == "done"
    told = await yard.parts(job)
    assert [start for start, _ in told] == [1, 101, 201, 301] and told[-1][1] == 350
    assert yard.texts(job) == texts.decode().splitlines()
    assert yard.left(job) == {"result.jsonl", "lock"}


async def test_a_job_that_kills_its_worker_again_and_again_is_given_up(yard: Yard):
    job = await yard.submit(TEXTS, file=b"I love it\n")
    for _ in range(MAX_ATTEMPTS):
        assert await yard.jobs.store.claim(job, "a worker that dies", lease_seconds=-1) is not None
    with yard.worker() as worker:
        found = await yard.ended(job, worker)
        assert found.state == "failed" and found.problem is not None and found.problem["code"] == "internal"
        await eventually(lambda: yard.left(job) == set())


async def test_a_worker_that_is_asked_to_end_parks_its_job_and_the_next_goes_on(yard: Yard):
    job = await yard.submit(TEXTS, file=b"What a wonderful day it has been for all of us here\n" * 20_000)
    with yard.worker() as worker:
        await yard.begun(job, worker)
        assert worker.stop() == 0
    found = await yard.jobs.find(job, "anyone")
    assert found is not None and (found.state, found.worker) == ("queued", None) and 0 < found.done < 20_000
    await yard.jobs.delete(found)
    assert yard.left(job) == set()


@pytest.mark.redis
async def test_jobs_survive_a_redis_that_forgets_them(tmp_path: Path):
    with running_redis() as redis:
        async with opened_yard(tmp_path, tmp_path, queue_url=redis.url) as yard:
            waiting = await yard.submit(TEXTS, file=b"I love it\n")
            redis.stop()
            redis.start()
            with yard.worker() as worker:
                assert (await yard.ended(waiting, worker)).state == "done"
                long = await yard.submit(TEXTS, file=b"What a wonderful day it has been for all of us here\n" * 800)
                await yard.begun(long, worker)
                redis.stop()
                assert (await yard.ended(long, worker)).state == "done"  # who has a job needs no queue
                redis.start()
                after = await yard.submit(TEXTS, file=b"I hate it\n")
                assert (await yard.ended(after, worker)).state == "done"
