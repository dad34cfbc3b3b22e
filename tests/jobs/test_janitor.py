"""Who looks after jobs: none is lost or starves, results go in their time, and a clock that jumps removes nothing."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest

from service.clock import RESPITE_SECONDS, WallClock
from service.jobs.intake import Jobs
from service.jobs.janitor import Janitor
from service.private_folders import HeldFolder
from service.settings import Settings
from tests.jobs.conftest import WISH, folders
from tests.jobs_running import submit

HOUR = 3600.0
NOBODY = "01M86G4NCX3KMJW91CKPJD8W7C"


class Clocks(WallClock):
    """Clocks that stand, so far ahead as a test says: that of the wall alone if it jumps, both when time passes."""

    def __init__(self) -> None:
        wall, steady = time.time(), time.monotonic()
        self.ahead = self.passed = 0.0
        super().__init__(lambda: wall + self.ahead, lambda: steady + self.passed)

    def wait(self, seconds: float) -> None:
        self.ahead += seconds
        self.passed += seconds


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def janitor(jobs: Jobs, clocks: Clocks) -> Janitor:
    return janitor_of(jobs, clocks)


def janitor_of(jobs: Jobs, clocks: Clocks, **settings) -> Janitor:
    return Janitor(Settings(**settings), jobs.store, jobs.queue, jobs.folders, clocks)


async def done(jobs: Jobs, keep_seconds: float) -> str:
    """A job that is done and whose result is kept for so long."""
    identifier = await submit(jobs, WISH, file=b"good\n")
    await jobs.store.claim(identifier, "worker", 10)
    await jobs.store.end(identifier, "worker", "done", keep_seconds)
    return identifier


async def test_a_janitor_that_begins_after_the_clock_jumped_removes_no_result(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    settings = Settings(state_folder=tmp_path)
    identifier = await done(jobs, HOUR)
    await Janitor(settings, jobs.store, jobs.queue, jobs.folders).sweep()
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 40 * 24 * HOUR)
    for _ in range(2):
        await Janitor(settings, jobs.store, jobs.queue, jobs.folders).sweep()
    assert folders(jobs) == [identifier]


async def test_what_the_queue_lost_is_put_in_again(jobs: Jobs, janitor: Janitor, clocks: Clocks):
    identifier = await submit(jobs, WISH, file=b"good\n")
    jobs.queue.huey.flush()
    assert await janitor.requeue() == 0  # it may be on its way
    clocks.wait(60)
    assert await janitor.requeue() == 1 and jobs.queue.size() == 1
    assert await janitor.requeue() == 0  # it is in the queue
    jobs.queue.huey.flush()
    await jobs.store.claim(identifier, "elsewhere:1:a", lease_seconds=-1)
    assert await janitor.requeue() == 1
    assert (await jobs.find(identifier, "me")).state == "queued"


async def test_a_job_that_was_put_back_does_not_starve_behind_others(jobs: Jobs, janitor: Janitor, clocks: Clocks):
    first = await submit(jobs, WISH, file=b"good\n")
    jobs.queue.huey.flush()  # a worker takes it out
    await jobs.store.claim(first, "worker", 10)
    await jobs.store.give_back(first, "worker")
    second = await submit(jobs, WISH, file=b"good\n")
    assert jobs.queue.waiting() == {second}
    clocks.wait(60)
    assert await janitor.requeue() == 1
    assert jobs.queue.waiting() == {first, second}


async def test_the_dead_of_this_machine_are_known_by_their_locks_whatever_their_numbers_say(
    jobs: Jobs, janitor: Janitor, clocks: Clocks
):
    identifier = await submit(jobs, WISH, file=b"good\n")
    await jobs.store.claim(identifier, f"{socket.gethostname()}:{os.getpid()}:a", lease_seconds=60)
    with jobs.folders.lock(identifier):
        clocks.wait(600)
        assert await janitor.requeue() == 0, "it is slow, and nobody else could take the job"
        clocks.wait(-600)
    with jobs.folders.lock(identifier) as locked:
        assert locked and await janitor.requeue() == 0
    assert await janitor.requeue() == 1


async def test_a_clock_that_jumps_ahead_takes_no_job_from_its_worker(jobs: Jobs, janitor: Janitor, clocks: Clocks):
    identifier = await submit(jobs, WISH, file=b"good\n")
    await jobs.store.claim(identifier, "elsewhere:1:a", lease_seconds=15)
    clocks.ahead = HOUR
    assert await janitor.requeue() == 0
    clocks.wait(60)
    assert await janitor.requeue() == 1  # by now its worker would have said that it lives


async def test_a_clock_that_jumps_back_does_not_keep_a_job_with_a_dead_worker(
    jobs: Jobs, janitor: Janitor, clocks: Clocks
):
    identifier = await submit(jobs, WISH, file=b"good\n")
    await jobs.store.claim(identifier, "elsewhere:1:a", lease_seconds=15)
    clocks.ahead = -HOUR
    assert await janitor.requeue() == 0
    clocks.wait(60)
    assert await janitor.requeue() == 1


async def test_retention_removes_results_and_later_what_says_so(jobs: Jobs, clocks: Clocks):
    janitor = janitor_of(jobs, clocks, job_hours=1)
    identifier = await done(jobs, keep_seconds=HOUR)
    await janitor.sweep()
    assert folders(jobs) == [identifier]
    clocks.wait(1.1 * HOUR)
    await janitor.sweep()
    assert folders(jobs) == [] and (await jobs.find(identifier, "me")).state == "done"
    clocks.wait(HOUR)
    await janitor.sweep()
    assert await jobs.find(identifier, "me") is None


@pytest.mark.parametrize("jump", [48 * HOUR, -48 * HOUR])
async def test_a_clock_that_jumps_removes_no_result(jobs: Jobs, janitor: Janitor, clocks: Clocks, jump: float):
    identifier = await done(jobs, keep_seconds=24 * HOUR)
    clocks.ahead = jump
    for _ in range(3):
        await janitor.sweep()
    clocks.ahead = 0.0
    await janitor.sweep()
    clocks.wait(RESPITE_SECONDS + 1)
    await janitor.sweep()
    assert folders(jobs) == [identifier]


async def test_a_clock_that_stays_where_it_jumped_is_believed_in_the_end(jobs: Jobs, janitor: Janitor, clocks: Clocks):
    await done(jobs, keep_seconds=24 * HOUR)
    clocks.ahead = 48 * HOUR
    await janitor.sweep()
    clocks.wait(RESPITE_SECONDS + 1)
    await janitor.sweep()
    assert folders(jobs) == []


async def test_a_folder_that_cannot_be_removed_is_tried_again_and_keeps_no_other(
    jobs: Jobs, janitor: Janitor, monkeypatch: pytest.MonkeyPatch
):
    stays, goes = await done(jobs, keep_seconds=-1), await done(jobs, keep_seconds=-1)
    remove = jobs.folders.remove

    def refuse(job: str) -> None:
        if job == stays:
            raise PermissionError("held by somebody")
        remove(job)

    with monkeypatch.context() as patch:
        patch.setattr(jobs.folders, "remove", refuse)
        await janitor.sweep()
    assert folders(jobs) == [stays] and goes != stays
    await janitor.sweep()
    assert folders(jobs) == []


async def test_a_job_whose_files_stay_is_not_said_to_be_deleted(jobs: Jobs, monkeypatch: pytest.MonkeyPatch):
    identifier = await done(jobs, keep_seconds=60)
    job = await jobs.find(identifier, "me")

    def refuse(job: str) -> None:
        raise PermissionError("held by somebody")

    with monkeypatch.context() as patch:
        patch.setattr(jobs.folders, "remove", refuse)
        with pytest.raises(PermissionError):
            await jobs.delete(job)
    assert await jobs.find(identifier, "me") is not None  # so it can be asked for again
    await jobs.delete(job)
    assert folders(jobs) == [] and await jobs.find(identifier, "me") is None


async def test_a_folder_without_a_job_is_removed(jobs: Jobs, janitor: Janitor, clocks: Clocks):
    known = await submit(jobs, WISH, file=b"good\n")
    jobs.folders.of(NOBODY).mkdir()
    (jobs.folders.root / ".gone-half-removed").mkdir()
    clocks.wait(48 * HOUR * 365 * 100)
    await janitor.sweep()
    assert folders(jobs) == [known]


async def test_uploads_of_the_dead_go_and_those_of_the_living_stay_under_whatever_name(jobs: Jobs, janitor: Janitor):
    jobs.folders.open()
    earlier = jobs.folders.incoming.parent / "an-earlier-name"
    empty = jobs.folders.incoming.parent / "an-old-name"
    for host in (earlier, empty):
        host.mkdir()
    living = HeldFolder.make(earlier)
    with jobs.folders.request() as receiving:
        for left in (jobs.folders.incoming / "left", earlier / "left", empty / "left"):
            left.mkdir()
        await janitor.sweep()
        assert list(jobs.folders.incoming.iterdir()) == [receiving]
        assert (earlier / "left").exists() and (empty / "left").exists()  # it may be another machine's
        for path in (*earlier.iterdir(), *empty.iterdir(), earlier, empty):
            _age(path, 2 * HOUR)
        await janitor.sweep()
        assert list(jobs.folders.incoming.iterdir()) == [receiving]
        assert list(earlier.iterdir()) == [living.path] and not empty.exists()
    living.let_go()


def _age(path: Path, seconds: float) -> None:
    moment = time.time() - seconds
    os.utime(path, (moment, moment))
