"""What a gateway does with jobs, without a worker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from service.database import Database
from service.jobs import KeyReused, NoSpace, QueueFull, QueueGone
from service.jobs.folders import JobFolders, UnsafeFolder
from service.jobs.intake import Jobs, QueueUnwell, Wish
from service.jobs.janitor import Janitor
from service.jobs.progress import Progress
from service.settings import Settings
from tests.jobs_running import submit
from tests.redis_running import RunningRedis, running_redis

WISH = Wish(owner="me", kind="texts", request={"format": "txt"}, digest="d", unit="rows")


async def opened(tmp_path: Path, **settings) -> AsyncIterator[Jobs]:
    database = Database.of(Settings(state_folder=tmp_path, **{"min_free_bytes": 0, **settings}))
    yield Jobs(Settings(state_folder=tmp_path, **{"min_free_bytes": 0, **settings}), database)
    await database.close()


@pytest.fixture
async def jobs(tmp_path: Path) -> AsyncIterator[Jobs]:
    async for one in opened(tmp_path, max_queued_jobs=3):
        yield one


def folders(jobs: Jobs) -> list[str]:
    return [path.name for path in jobs.folders.root.iterdir() if path.name != "incoming"]


async def test_nothing_is_made_on_disk_before_the_first_job(jobs: Jobs, tmp_path: Path):
    await jobs.check()
    assert await jobs.newest("me", None, 10) == [] and await jobs.depths() == {"jobs": 0}
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


async def test_what_the_queue_lost_is_put_in_again(jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    janitor = Janitor(Settings(state_folder=tmp_path), jobs.store, jobs.queue, jobs.folders)
    identifier = await submit(jobs, WISH, file=b"good\n")
    jobs.queue.huey.flush()
    assert await janitor.requeue() == 0  # it may be on its way
    monkeypatch.setattr("service.jobs.janitor.LOST_AFTER_SECONDS", -1.0)
    assert await janitor.requeue() == 1 and jobs.queue.size() == 1
    assert await janitor.requeue() == 0  # it is in the queue
    jobs.queue.huey.flush()
    await jobs.store.claim(identifier, "elsewhere:1:a", lease_seconds=-1)
    assert await janitor.requeue() == 1
    assert (await jobs.find(identifier, "me")).state == "queued"


async def test_retention_removes_results_and_later_what_says_so(jobs: Jobs, tmp_path: Path):
    janitor = Janitor(Settings(state_folder=tmp_path, job_hours=1), jobs.store, jobs.queue, jobs.folders)
    identifier = await submit(jobs, WISH, file=b"good\n")
    await jobs.store.claim(identifier, "worker", 10)
    await jobs.store.end(identifier, "worker", "done", keep_seconds=-1)
    await janitor.sweep()
    assert folders(jobs) == [] and (await jobs.find(identifier, "me")).state == "done"
    janitor._keep_seconds = 0
    await janitor.sweep()
    assert await jobs.find(identifier, "me") is None


async def test_a_folder_without_a_job_is_removed(jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    janitor = Janitor(Settings(state_folder=tmp_path), jobs.store, jobs.queue, jobs.folders)
    known = await submit(jobs, WISH, file=b"good\n")
    (jobs.folders.root / "01M86G4NCX3KMJW91CKPJD8W7C").mkdir()
    (jobs.folders.incoming / "999999999-ab").mkdir()
    monkeypatch.setattr("service.jobs.janitor.ORPHAN_AFTER_SECONDS", -3e9)
    await janitor.sweep()
    assert folders(jobs) == [known] and list(jobs.folders.incoming.iterdir()) == []


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
    with jobs.folders.lock("01M86G4NCX3KMJW91CKPJD8W7C") as nothing:
        assert not nothing


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
    assert time.monotonic() - began < 15
    assert [job.id for job in await jobs.newest("me", None, 10)] == [first] and folders(jobs) == [first]
    redis.start()
    second = await submit(jobs, WISH, file=b"good\n")
    assert jobs.queue.size() == 1  # the first was in the Redis that went
    janitor = Janitor(jobs._settings, jobs.store, jobs.queue, jobs.folders)
    jobs.queue.huey.flush()
    await jobs.store.claim(first, "elsewhere:1:a", lease_seconds=-1)
    assert await janitor.requeue() == 1 and jobs.queue.size() == 1
    assert {job.id for job in await jobs.newest("me", None, 10)} == {first, second}
