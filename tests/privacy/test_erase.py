"""Erasing a caller leaves nothing of them, neither in rows nor in files, and nothing of others is touched."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from service.database import Database
from service.erase import NotErased, Receipt, erase
from service.history.history import History, Wanted
from service.jobs.intake import Jobs, Wish
from service.jobs.work import Work
from service.jobs.workshop import Workshop
from service.settings import Settings
from service.worker import job_problem
from tests.history.conftest import analysis
from tests.privacy.disk import holding

MARK = "a-sentence-of-theirs-4711"
OTHERS = "a-sentence-of-somebody-else"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state_folder=tmp_path / "state")


async def keep_something(settings: Settings, owner: str, text: str) -> None:
    """Two analyses, and a job with a file that waits."""
    database = Database.of(settings)
    await History(database).save([analysis(text=text), analysis(text=f"{text} again")], owner)
    jobs = Jobs(settings, database)
    await jobs.admit(1)
    with jobs.folders.request() as folder:
        (folder / "audio").write_bytes(text.encode())
        wish = Wish(owner, "audio", {"options": {}, "files": ["audio"], "text": text}, "0" * 64, "seconds")
        await jobs.take_in(wish, folder)
    await database.close()


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[tuple[Jobs, History]]:
    """Jobs and history as another process sees them."""
    database = Database.of(settings)
    yield Jobs(settings, database), History(database)
    await database.close()


async def work_on_the_job_of(owner: str, settings: Settings, meanwhile: Callable[[Jobs, str], Awaitable[None]]) -> None:
    """A worker's way from taking the job on to its end, with a `meanwhile` just before it stores what it found."""
    async with opened(settings) as (jobs, _):
        (job,) = await jobs.newest(owner, None, 10)
        workshop = Workshop(settings, jobs.store, jobs.queue, jobs.folders, problem=job_problem)

        @asynccontextmanager
        async def no_tools() -> AsyncIterator[None]:
            yield

        async def run(work: Work) -> None:
            await meanwhile(jobs, job.id)
            await work._store(replace(analysis(text=MARK), id=job.id))

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(workshop.toolbox, "open", no_tools)
            patch.setattr(Work, "run", run)
            patch.setattr("service.jobs.workshop.LOOK_SECONDS", 3600.0)  # it stores before it looks
            await workshop.work(job.id)


async def test_nothing_is_left_of_an_erased_caller_but_the_audit_line(settings):
    await keep_something(settings, "key:them", MARK)
    await keep_something(settings, "key:other", OTHERS)
    assert holding(settings.state_folder, MARK)

    receipt = await erase("key:them", settings)

    assert (receipt.jobs, receipt.analyses) == (1, 2)
    assert holding(settings.state_folder, MARK) == []
    assert holding(settings.state_folder, OTHERS)
    database = Database.of(settings)
    assert len([stored async for stored in History(database).newest("key:other", Wanted())]) == 2
    assert len(await Jobs(settings, database).newest("key:other", None, 10)) == 1
    await database.close()


async def test_a_worker_that_is_at_a_job_of_an_erased_caller_stores_nothing_afterwards(settings):
    await keep_something(settings, "key:them", MARK)
    receipts: list[Receipt] = []

    async def erased(*_: object) -> None:
        receipts.append(await erase("key:them", settings))

    await work_on_the_job_of("key:them", settings, erased)
    assert [(receipt.jobs, receipt.analyses) for receipt in receipts] == [(1, 2)]
    assert holding(settings.state_folder, MARK) == []


async def test_a_worker_stores_nothing_of_a_job_that_was_deleted_under_it(settings):
    await keep_something(settings, "key:them", "something else")

    async def deleted(jobs: Jobs, identifier: str) -> None:
        job = await jobs.find(identifier, "key:them")
        assert job is not None and job.state == "running"
        await jobs.delete(job)

    await work_on_the_job_of("key:them", settings, deleted)
    assert holding(settings.state_folder, MARK) == []


@pytest.mark.parametrize("before", [True, False])
async def test_a_worker_stores_what_is_still_wanted_once(settings, before):
    await keep_something(settings, "key:them", "something else")

    async def stored(jobs: Jobs, identifier: str) -> None:
        if before:
            await History(jobs.store._database).save([replace(analysis(text=MARK), id=identifier)], "key:them")

    await work_on_the_job_of("key:them", settings, stored)
    async with opened(settings) as (jobs, history):
        assert len([row async for row in history.newest("key:them", Wanted()) if MARK in row.analysis]) == 1
        assert [job.state for job in await jobs.newest("key:them", None, 10)] == ["done"]


async def test_what_comes_while_workers_are_waited_for_is_erased_too(settings, monkeypatch):
    await keep_something(settings, "key:them", MARK)
    waits: list[str] = []

    async def save_one_more() -> None:
        waits.append("for a worker")
        async with opened(settings) as (_, history):
            await history.save([analysis(text=MARK)], "key:them")

    monkeypatch.setattr("service.erase._let_workers_notice", save_one_more)
    async with opened(settings) as (jobs, _):
        (job,) = await jobs.newest("key:them", None, 10)
        await jobs.store.claim(job.id, "worker", 30)
    assert (await erase("key:them", settings)).analyses == 3
    assert holding(settings.state_folder, MARK) == []
    await erase("key:them", settings)
    assert waits == ["for a worker"], "nobody is waited for where no worker is at a job"


async def test_the_receipt_can_be_checked(settings):
    await keep_something(settings, "key:them", MARK)
    receipt = await erase("key:them", settings)
    content = json.dumps({**asdict(receipt), "digest": ""}, sort_keys=True, separators=(",", ":"))
    assert receipt.digest == hashlib.sha256(content.encode()).hexdigest()
    assert replace(receipt, jobs=0).sealed().digest != receipt.digest


async def test_erasing_twice_finds_nothing_the_second_time(settings):
    await keep_something(settings, "key:them", MARK)
    first, second = await erase("key:them", settings), await erase("key:them", settings)
    assert (second.jobs, second.analyses) == (0, 0)
    assert second.audit > first.audit


async def test_a_folder_that_stays_is_no_receipt(settings, monkeypatch):
    await keep_something(settings, "key:them", MARK)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("held by somebody")

    with monkeypatch.context() as patch:
        patch.setattr("service.private_folders.shutil.rmtree", refuse)
        with pytest.raises(NotErased, match="could not be removed"):
            await erase("key:them", settings)
    assert (await erase("key:them", settings)).jobs > 0
    assert [path.name for path in (settings.state_folder / "jobs").iterdir()] == ["incoming"]


def test_the_command_prints_the_receipt(tmp_path):
    command = (sys.executable, "-m", "service.erase", "--caller", "key:nobody")
    environment = {"SENTIMENT_STATE_FOLDER": str(tmp_path / "state"), "PATH": "/usr/bin", "HOME": str(tmp_path)}
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert Receipt(**json.loads(told.stdout)).caller == "key:nobody"
