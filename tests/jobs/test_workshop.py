"""How a worker lets go of jobs whose files have gone, or for which it lacks what the settings name."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from service.jobs.intake import Jobs
from service.jobs.store import Job
from service.jobs.workshop import Workshop
from service.settings import Settings
from service.worker import job_problem
from tests.jobs.conftest import WISH, folders
from tests.jobs_running import submit


@pytest.fixture
def workshop(jobs: Jobs) -> Workshop:
    """A worker that loads nothing until a job needs it."""
    return Workshop(Settings(), jobs.store, jobs.queue, jobs.folders, problem=job_problem)


async def failed(jobs: Jobs, identifier: str) -> str:
    """Why a job failed."""
    job = await jobs.find(identifier, "me")
    assert job is not None and job.state == "failed" and job.problem is not None
    return job.problem["code"]


async def test_a_job_whose_folder_is_gone_fails_at_once_instead_of_coming_again_and_again(
    jobs: Jobs, workshop: Workshop
):
    identifier = await submit(jobs, WISH, file=b"good\n")
    shutil.rmtree(jobs.folders.of(identifier))
    await workshop.work(identifier)
    assert await failed(jobs, identifier) == "internal"
    assert [event.name for event in await jobs.store.events(identifier, 0)][-1] == "failed"


async def test_a_job_whose_folder_goes_while_it_is_worked_on_is_lost_and_no_unforeseen_error(
    jobs: Jobs, workshop: Workshop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    identifier = await submit(jobs, WISH, file=b"good\n")

    async def watched(job: Job):
        shutil.rmtree(jobs.folders.of(job.id))
        return (jobs.folders.of(job.id) / "file").read_bytes()

    monkeypatch.setattr(workshop, "_watched", watched)
    await workshop.work(identifier)
    assert await failed(jobs, identifier) == "internal"
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_a_job_that_is_deleted_while_it_is_worked_on_ends_in_silence(
    jobs: Jobs, workshop: Workshop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    identifier = await submit(jobs, WISH, file=b"good\n")

    async def watched(job: Job):
        await jobs.delete(job)
        return (jobs.folders.of(job.id) / "file").read_bytes()

    monkeypatch.setattr(workshop, "_watched", watched)
    await workshop.work(identifier)
    job = await jobs.find(identifier, "me")
    assert job is not None and job.state == "cancelled" and folders(jobs) == []
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_a_job_that_another_process_holds_is_left_to_it(jobs: Jobs, workshop: Workshop):
    identifier = await submit(jobs, WISH, file=b"good\n")
    with jobs.folders.lock(identifier) as held:
        assert held
        await workshop.work(identifier)
    job = await jobs.find(identifier, "me")
    assert job is not None and (job.state, job.attempts) == ("queued", 0)


async def test_a_job_waits_for_a_recalibration_profile_that_can_be_used(
    jobs: Jobs, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    settings = Settings(calibration_profile=tmp_path / "absent.toml")
    workshop = Workshop(settings, jobs.store, jobs.queue, jobs.folders, problem=job_problem)
    identifier = await submit(jobs, WISH, file=b"good\n")
    await workshop.work(identifier)
    job = await jobs.find(identifier, "me")
    assert job is not None and job.state == "queued" and job.problem is None
    (put_back,) = [record for record in caplog.records if record.getMessage() == "job put back"]
    assert "absent.toml can't be read" in put_back.fields["why"]
