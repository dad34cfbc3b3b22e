"""Somebody brings what takes long, a table, and wants answers kept: page, service, worker and browser are real."""

from __future__ import annotations

import csv
import json
import os
import wave
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from playwright.sync_api import expect

from tests.browser.conftest import ANSWER_MILLISECONDS, Visitor
from tests.jobs_running import running_worker, until
from tests.serving import RunningService
from ui.app import EXAMPLES
from ui.client import Client

pytestmark = [pytest.mark.browser, pytest.mark.server]

SAMPLE_RATE = 16_000
TOO_LONG_SECONDS = 930


@pytest.fixture(scope="module", autouse=True)
def worker(service: RunningService) -> Iterator[None]:
    """Works on the jobs of the service."""
    folder = service.temp_folder.parent
    with running_worker(folder, state_folder=folder / "state"):
        yield


@pytest.fixture(autouse=True)
def nothing_kept(service: RunningService) -> None:
    """Each test begins with an empty history."""
    with Client(service.address) as client:
        client.history.clear()


@pytest.fixture(scope="module")
def long_speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example speech again and again, for longer than is answered at once."""
    resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
    with av.open(str(EXAMPLES / "inaugural.ogg")) as spoken:
        frames = [one.to_ndarray()[0] for frame in spoken.decode(audio=0) for one in resampler.resample(frame)]
    speech = np.concatenate(frames)
    path = tmp_path_factory.mktemp("long") / "speech.wav"
    with wave.open(str(path), "wb") as written:
        written.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        written.writeframes(np.resize(speech, TOO_LONG_SECONDS * SAMPLE_RATE).tobytes())
    return path


def test_a_long_recording_goes_as_a_job_that_moves_and_can_be_cancelled(visitor: Visitor, long_speech: Path) -> None:
    visitor.open("Audio")
    visitor.upload(long_speech)
    visitor.panel.get_by_role("button", name="Analyse").click()
    job = visitor.panel.locator(".ms-job")
    expect(job).to_contain_text("of about 15:30 read", timeout=ANSWER_MILLISECONDS)
    before = job.inner_text()
    expect(job).not_to_have_text(before, timeout=ANSWER_MILLISECONDS)
    cancel = visitor.panel.get_by_role("button", name="Cancel")
    cancel.click()
    expect(visitor.panel.locator(".ms-blank")).to_have_text("The job was cancelled.", timeout=ANSWER_MILLISECONDS)
    expect(cancel).to_be_hidden()
    expect(visitor.panel.get_by_role("button", name="Analyse")).to_be_enabled()


def test_a_table_of_texts_is_counted_and_its_verdicts_can_be_saved(
    visitor: Visitor, service: RunningService, tmp_path: Path
) -> None:
    path = tmp_path / "reviews.tsv"
    path.write_text("id\treview\n1\tI love it\n2\tI hate it\n3\tThe meeting is at noon\n")
    visitor.upload(path)
    visitor.panel.get_by_role("button", name="Options").click()
    visitor.panel.get_by_label("Column with the texts").fill("review")
    visitor.panel.get_by_role("button", name="Analyse").click()
    expect(visitor.panel.locator(".ms-table")).to_contain_text("3 texts", timeout=ANSWER_MILLISECONDS)
    expect(visitor.panel.locator(".ms-rows li").nth(1)).to_contain_text("Negative")
    with visitor.page.expect_download() as download:
        visitor.panel.get_by_role("link", name="Download CSV").click()
    with Path(download.value.path()).open(newline="") as file:
        assert [row["label"] for row in csv.DictReader(file)] == ["positive", "negative", "neutral"]
    until(lambda: files_of_jobs(service) == [])


def files_of_jobs(service: RunningService) -> list[str]:
    """What lies in the folder of the jobs, beside their queue."""
    found = [name for _, _, names in os.walk(service.temp_folder.parent / "state" / "jobs") for name in names]
    return [name for name in found if not name.endswith(".db") and "queue" not in name]


def test_a_table_without_its_column_is_refused_in_one_sentence(visitor: Visitor, tmp_path: Path) -> None:
    path = tmp_path / "reviews.csv"
    path.write_text("id,review\n1,I love it\n")
    visitor.upload(path)
    visitor.analyse()
    expect(visitor.panel.get_by_role("alert")).to_contain_text("No column is called 'text'")


def keep(visitor: Visitor, *texts: str) -> None:
    """Have these judged and kept."""
    visitor.panel.get_by_role("button", name="Options").click()
    visitor.panel.get_by_label("Keep the answer in the history").check()
    for text in texts:
        visitor.panel.get_by_role("textbox", name="Text").first.fill(text)
        visitor.panel.get_by_role("button", name="Analyse").click()
        expect(visitor.panel.locator(".ms-text")).to_have_text(text)


def test_what_was_kept_is_listed_opened_exported_and_deleted(visitor: Visitor) -> None:
    keep(visitor, "I love it", "I hate it")
    visitor.open("History")
    cells = visitor.panel.get_by_role("gridcell")
    expect(cells.filter(has_text="I hate it")).to_be_visible()
    cells.filter(has_text="I love it").click()
    expect(visitor.verdict.get_by_role("heading")).to_have_text("Positive")
    visitor.panel.get_by_role("button", name="Export JSON").click()
    with visitor.page.expect_download() as download:
        visitor.panel.get_by_role("link", name="Save history.json").click()
    assert len(json.loads(Path(download.value.path()).read_text())) == 2
    visitor.panel.get_by_role("button", name="Delete this one").click()
    expect(cells.filter(has_text="I love it")).to_have_count(0)
    expect(cells.filter(has_text="I hate it")).to_be_visible()
    visitor.panel.get_by_role("button", name="Delete all").click()
    visitor.panel.get_by_role("button", name="No", exact=True).click()
    expect(cells.filter(has_text="I hate it")).to_be_visible()
    visitor.panel.get_by_role("button", name="Delete all").first.click()
    visitor.panel.get_by_role("button", name="Yes, delete all").click()
    expect(visitor.panel.locator(".ms-blank")).to_contain_text("1 deleted")
    expect(cells).to_have_count(0)


def test_the_list_can_be_narrowed_by_its_verdict(visitor: Visitor) -> None:
    keep(visitor, "I love it", "I hate it")
    visitor.open("History")
    cells = visitor.panel.get_by_role("gridcell")
    expect(cells.filter(has_text="I love it")).to_be_visible()
    visitor.panel.get_by_label("Verdict").click()
    visitor.page.get_by_role("option", name="negative").click()
    expect(cells.filter(has_text="I love it")).to_have_count(0)
    expect(cells.filter(has_text="I hate it")).to_be_visible()
