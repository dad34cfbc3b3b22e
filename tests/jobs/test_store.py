"""What the database promises of jobs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from service.database import Database, DatabaseGone
from service.jobs.progress import Progress
from service.jobs.store import Job, JobStore, Unfinished
from service.pipelines.analyze import ulid


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[JobStore]:
    """Jobs in each database."""
    database = Database(database_url)
    yield JobStore(database)
    await database.close()


def job(**more) -> Job:
    now = time.time()
    values = {"owner": "me", "kind": "texts", "state": "queued", "request": {}, "digest": "d", "unit": "rows"}
    return Job(ulid(), created=now, queued=now, **{**values, **more})


async def test_of_many_workers_one_gets_a_job(store: JobStore):
    one = job()
    await store.add(one)
    claims = await asyncio.gather(*(store.claim(one.id, f"worker {n}", 600) for n in range(8)))
    (claimed,) = [claim for claim in claims if claim is not None]
    assert claimed.state == "running" and claimed.attempts == 1


async def test_a_lease_that_is_over_lets_the_next_worker_in_and_shuts_the_first_out(store: JobStore):
    one = job()
    await store.add(one)
    assert await store.claim(one.id, "first", -1)
    assert await store.claim(one.id, "second", 600)
    assert not await store.renew(one.id, "first", 600, Progress(1))
    assert not await store.end_part(one.id, "first", Progress(1), {})
    assert not await store.end(one.id, "first", "done", 600)
    assert await store.end(one.id, "second", "done", 600)
    assert [event.name for event in await store.events(one.id, 0)].count("done") == 1


async def audited(store: JobStore) -> list[tuple[str, str, str]]:
    """Who did what to which job, as the audit has it."""
    async with store._database.transaction() as session:
        rows = await session.execute(text("SELECT actor, action, subject FROM audit ORDER BY id"))
        return [(row.actor, row.action, row.subject) for row in rows]


async def test_a_job_goes_with_its_audit_line_or_not_at_all(store: JobStore, monkeypatch: pytest.MonkeyPatch):
    waiting, over = job(), job()
    for one in (waiting, over):
        await store.add(one)
    await store.claim(over.id, "worker", 600)
    await store.end(over.id, "worker", "done", 600)

    async def gone(*_: object) -> int:
        raise DatabaseGone("It went before the audit line was written.")

    with monkeypatch.context() as patch:
        patch.setattr("service.jobs.store._note_removal", gone)
        with pytest.raises(DatabaseGone):
            await store.cancel(waiting.id, 10)
        with pytest.raises(DatabaseGone):
            await store.remove(over.id, "me")
    assert await store.known([waiting.id, over.id]) == {waiting.id: "queued", over.id: "done"}
    first, second = await store.cancel(waiting.id, 10), await store.remove(over.id, "me")
    assert first is not None and second == first + 1
    assert await store.known([waiting.id, over.id]) == {waiting.id: "cancelled"}
    assert await audited(store) == [("me", "job.delete", waiting.id), ("me", "job.delete", over.id)]


async def test_a_job_that_is_called_off_cannot_be_ended_or_taken(store: JobStore):
    one = job()
    await store.add(one)
    await store.claim(one.id, "worker", 600)
    assert await store.cancel(one.id, 10)
    assert not await store.cancel(one.id, 10)
    assert not await store.end(one.id, "worker", "done", 600)
    assert await store.claim(one.id, "worker", 600) is None


async def test_a_key_is_taken_once_for_each_owner(store: JobStore):
    assert await store.add(job(idempotency_key="k"))
    assert not await store.add(job(idempotency_key="k"))
    assert await store.add(job(idempotency_key="k", owner="you"))
    assert await store.add(job()) and await store.add(job())


async def test_nobody_sees_the_jobs_of_others(store: JobStore):
    mine, yours = job(), job(owner="you")
    await store.add(mine)
    await store.add(yours)
    assert await store.find(yours.id, "me") is None
    assert [found.id for found in await store.of_owner("me", None, 10)] == [mine.id]


async def test_numbers_of_events_rise_and_progress_takes_the_place_of_progress(store: JobStore):
    one = job(total=10.0)
    await store.add(one)
    await store.claim(one.id, "worker", 600)
    for done in (1, 2, 3):
        await store.renew(one.id, "worker", 600, Progress(done, 10))
    await store.end_part(one.id, "worker", Progress(4, 10), {"start": 1})
    await store.renew(one.id, "worker", 600, Progress(5, 10))
    events = await store.events(one.id, 0)
    numbers = [event.number for event in events]
    assert numbers == sorted(set(numbers))
    assert [event.name for event in events][-3:] == ["progress", "partial", "progress"]
    assert sum(event.name == "progress" for event in events) <= 3
    assert await store.events(one.id, numbers[-2]) == events[-1:]


async def test_counts_tell_who_waits_and_who_works(store: JobStore):
    for _ in range(3):
        await store.add(job())
    first = (await store.of_owner("me", None, 1))[0]
    await store.claim(first.id, "worker", 600)
    await store.alive("worker", 60)
    counts = await store.counts(10)
    assert (counts.queued, counts.running, counts.workers) == (2, 1, 1)
    await store.gone("worker")
    assert (await store.counts(10)).workers == 0


async def test_what_was_kept_long_enough_is_found_and_forgotten(store: JobStore):
    one = job()
    await store.add(one)
    await store.claim(one.id, "worker", 600)
    await store.end(one.id, "worker", "done", -5)
    assert await store.expired(time.time(), blank=False) == [one.id]
    await store.blank([one.id])
    assert await store.expired(time.time(), blank=False) == []  # so it is not removed again at every look
    assert await store.expired(time.time(), blank=True) == [one.id]
    await store.forget([one.id])
    assert await store.find(one.id) is None and await store.events(one.id, 0) == []


async def test_a_key_whose_job_is_no_longer_kept_may_be_used_again(store: JobStore):
    one = job(idempotency_key="k")
    await store.add(one)
    await store.blank([one.id])
    assert await store.add(job(idempotency_key="k", digest="other"))


async def test_more_jobs_than_a_statement_takes_are_asked_for_and_removed(store: JobStore):
    one, others = job(), [ulid() for _ in range(33_000)]
    await store.add(one)
    assert await store.known([*others, one.id]) == {one.id: "queued"}
    await store.blank([*others, one.id])
    await store.forget([*others, one.id])
    assert await store.known([one.id]) == {}


async def test_who_looks_for_lost_jobs_reads_nothing_of_what_was_sent(store: JobStore):
    one = job(request={"text": "a secret"})
    await store.add(one)
    (found,) = await store.unfinished()
    assert found == Unfinished(one.id, "queued", one.queued, None, 0.0)


async def test_a_caller_that_is_cancelled_at_any_moment_leaves_no_lock_behind(store: JobStore):
    one = job()
    await store.add(one)
    await store.claim(one.id, "worker", 600)
    for turn in range(60):
        task = asyncio.ensure_future(store.renew(one.id, "worker", 600, Progress(turn)))
        await asyncio.sleep(turn * 0.0002)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert await store.renew(one.id, "worker", 600, Progress(99))
