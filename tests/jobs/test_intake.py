"""What a gateway does with jobs, without a worker."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import pytest

from service.jobs import JobLost, KeyReused, NoSpace, QueueFull, QueueGone
from service.jobs.folders import JobFolders
from service.jobs.intake import Jobs, QueueUnwell
from service.jobs.janitor import Janitor
from service.jobs.progress import Progress
from service.observability.readings import Waiting
from service.private_folders import UnsafeFolder
from tests.jobs.conftest import WISH, folders, opened
from tests.jobs_running import submit
from tests.redis_running import RunningRedis, running_redis


async def test_nothing_is_made_on_disk_before_the_first_job(jobs: Jobs, tmp_path: Path):
    await jobs.check()
    assert await jobs.newest("me", None, 10) == [] and await jobs.waiting() == Waiting(0, 0, 0, 0.0)
    assert list(tmp_path.iterdir()) == []


async def test_a_job_is_in_the_database_the_queue_and_a_private_folder(jobs: Jobs):
    identifier = await submit(jobs, WISH, file=b"good\n")
    assert (await jobs.find(identifier, "me")).state == "queued"
    assert jobs.queue.size() == 1
    assert (jobs.folders.of(identifier) / "file").read_bytes() == b"good\n"
    assert jobs.folders.root.stat().st_mode & 0o777 == 0o700
    assert list(jobs.folders.incoming.iterdir()) == []


async def test_many_requests_with_one_key_are_one_job(jobs: Jobs):
    wish = replace(WISH, idempotency_key="k")
    found = await asyncio.gather(*(submit(jobs, wish, file=b"good\n") for _ in range(5)))
    assert len(set(found)) == 1 and folders(jobs) == [found[0]] and jobs.queue.size() == 1
    with pytest.raises(KeyReused):
        await submit(jobs, replace(wish, digest="other"), file=b"bad\n")
    assert folders(jobs) == [found[0]]


async def test_of_a_job_that_is_called_off_nothing_is_left_that_was_sent_or_said(jobs: Jobs, tmp_path: Path):
    wish = replace(WISH, request={"format": "txt", "text": "a secret that was sent"}, idempotency_key="k")
    identifier = await submit(jobs, wish, file=b"a secret in a file")
    await jobs.store.claim(identifier, "worker", 10)
    assert await jobs.store.end_part(identifier, "worker", Progress(1), {"said": "a secret that was said"})
    await jobs.delete(await jobs.find(identifier, "me"))
    told = [event.name for event in await jobs.store.events(identifier, 0)]
    assert "partial" not in told and told[-1] == "cancelled"
    assert [path for path in tmp_path.rglob("*") if path.is_file() and b"a secret" in path.read_bytes()] == []
    assert await submit(jobs, wish, file=b"good\n") != identifier  # to send it again is to want it again


async def test_a_client_that_leaves_while_its_job_is_taken_in_leaves_no_job(jobs: Jobs, monkeypatch):
    async def leave(_: object) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(jobs, "_put", leave)
    with pytest.raises(asyncio.CancelledError):
        await submit(jobs, WISH, file=b"good\n")
    assert await jobs.newest("me", None, 10) == [] and folders(jobs) == []


async def test_a_full_queue_refuses_and_takes_again(jobs: Jobs):
    taken = [await submit(jobs, WISH, file=b"good\n") for _ in range(3)]
    with pytest.raises(QueueFull):
        await submit(jobs, WISH, file=b"good\n")
    await jobs.delete(await jobs.find(taken[0], "me"))
    await submit(jobs, WISH, file=b"good\n")


async def test_a_disk_with_too_little_left_refuses(tmp_path: Path):
    async for jobs in opened(tmp_path, min_free_bytes=10**18):
        with pytest.raises(NoSpace):
            await submit(jobs, WISH, file=b"good\n")


async def test_jobs_that_wait_while_no_worker_lives_are_unwell(jobs: Jobs):
    identifier = await submit(jobs, WISH, file=b"good\n")
    with pytest.raises(QueueUnwell, match="no worker"):
        await jobs.check()
    await jobs.store.alive("worker", 60)
    jobs._counted = 0.0
    await jobs.check()
    await jobs.delete(await jobs.find(identifier, "me"))
    assert folders(jobs) == []


async def test_a_full_queue_is_unwell(jobs: Jobs):
    await submit(jobs, WISH, file=b"good\n")
    await jobs.store.alive("worker", 60)
    await jobs.check()
    for _ in range(2):
        await submit(jobs, WISH, file=b"good\n")
    jobs._counted = 0.0
    with pytest.raises(QueueUnwell, match="limit"):
        await jobs.check()


async def test_a_folder_that_others_can_read_is_refused(tmp_path: Path):
    (tmp_path / "jobs").mkdir(mode=0o755)
    with pytest.raises(UnsafeFolder):
        JobFolders(tmp_path / "jobs", 0).open()


async def test_a_folder_is_held_by_one(jobs: Jobs):
    identifier = await submit(jobs, WISH, file=b"good\n")
    with jobs.folders.lock(identifier) as first, jobs.folders.lock(identifier) as second:
        assert first and not second
    with jobs.folders.lock(identifier) as again:
        assert again
    with pytest.raises(JobLost), jobs.folders.lock("01M86G4NCX3KMJW91CKPJD8W7C"):
        pass


@pytest.mark.redis
async def test_without_redis_jobs_are_refused_at_once_and_taken_when_it_is_back(tmp_path: Path):
    with running_redis() as redis:
        async for jobs in opened(tmp_path, queue_url=redis.url):
            await _loses_and_finds(jobs, redis)


async def _loses_and_finds(jobs: Jobs, redis: RunningRedis) -> None:
    first = await submit(jobs, WISH, file=b"good\n")
    assert jobs.queue.size() == 1
    redis.stop()
    began = time.monotonic()
    with pytest.raises(QueueGone):
        await submit(jobs, WISH, file=b"good\n")
    with pytest.raises(QueueGone):
        await jobs.check()
    assert time.monotonic() - began < 60
    assert [job.id for job in await jobs.newest("me", None, 10)] == [first] and folders(jobs) == [first]
    redis.start()
    second = await submit(jobs, WISH, file=b"good\n")
    assert jobs.queue.size() == 1  # the first was in the Redis that went
    janitor = Janitor(jobs._settings, jobs.store, jobs.queue, jobs.folders)
    jobs.queue.huey.flush()
    await jobs.store.claim(first, "elsewhere:1:a", lease_seconds=-1)
    assert await janitor.requeue() == 1 and jobs.queue.size() == 1
    assert {job.id for job in await jobs.newest("me", None, 10)} == {first, second}
