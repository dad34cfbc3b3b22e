"""The client and its command line against the real service: jobs with a worker, history, files and events."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.jobs_running import running_worker
from tests.serving import CHECKOUT, RunningService, running_service
from ui.client import Client, JobCancelled, Partial, Problem, Progress
from ui.client.command import main

pytestmark = pytest.mark.server

EXAMPLES = CHECKOUT / "ui" / "examples"


@pytest.fixture(scope="module")
def staffed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service that takes three seconds of sound at once, and a worker for the rest."""
    folder = tmp_path_factory.mktemp("staffed")
    with running_service(folder, max_audio_seconds=3) as running, running_worker(folder, state_folder=folder / "state"):
        yield running


@pytest.fixture
def client(staffed: RunningService) -> Iterator[Client]:
    with Client(staffed.address) as client:
        yield client


@pytest.fixture
def asked(staffed: RunningService, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service that the command line asks."""
    monkeypatch.setenv("SENTIMENT_API_URL", staffed.address)


def table(rows: int) -> io.BytesIO:
    texts = ("I love it", "I hate it", "The meeting is at noon")
    file = io.BytesIO(("review\n" + "".join(f"{texts[row % 3]}\n" for row in range(rows)) + "\n").encode())
    file.name = "reviews.csv"
    return file


def test_what_is_too_long_at_once_is_answered_as_a_job(client: Client) -> None:
    speech = EXAMPLES / "inaugural.ogg"
    with pytest.raises(Problem) as caught:
        client.audio(speech)
    assert caught.value.code == "too_large"
    told = []
    done = client.jobs.wait(client.jobs.submit(audio=speech), told.append)
    analysis = client.jobs.result(done)
    assert (done.state, done.progress.fraction, done.kind) == ("done", 1.0, "audio")
    assert [one.progress.fraction for one in told if isinstance(one, Progress)] == sorted(
        one.progress.fraction for one in told if isinstance(one, Progress)
    )
    assert analysis.transcript is not None
    assert "country" in analysis.transcript.text


def test_a_table_is_answered_row_by_row_in_order(client: Client, tmp_path: Path) -> None:
    job = client.jobs.submit(file=table(600), column="review")
    told = []
    client.jobs.wait(job, told.append)
    rows = list(client.jobs.rows(job))
    assert not [row for row in rows if isinstance(row, Problem)]
    assert [row.sentiment.label for row in rows if not isinstance(row, Problem)][:3] == [
        "positive",
        "negative",
        "neutral",
    ]
    assert len(rows) == 600
    assert any(isinstance(one, Partial) for one in told)
    client.jobs.save(job, tmp_path / "rows.csv")
    with (tmp_path / "rows.csv").open(newline="") as file:
        assert [row["label"] for row in csv.DictReader(file)][:3] == ["positive", "negative", "neutral"]


def test_events_are_told_from_any_of_them_on(client: Client) -> None:
    job = client.jobs.submit(text="I love it")
    client.jobs.wait(job)
    every, later = list(client.jobs.events(job)), list(client.jobs.events(job, after="1"))
    assert len(every) > 1
    assert every[1:] == later


def test_a_job_is_made_once_for_a_key_and_is_gone_when_it_is_called_off(client: Client) -> None:
    first, second = (client.jobs.submit(text="I love it", idempotency_key="once") for _ in range(2))
    assert first.id == second.id
    assert first.id in [job.id for job in client.jobs.list()]
    long = client.jobs.submit(file=table(50_000), column="review")
    client.jobs.cancel(long)
    with pytest.raises((JobCancelled, Problem)):
        client.jobs.wait(long)
    with pytest.raises(Problem):
        client.jobs.result(long)


def test_what_is_stored_is_found_exported_and_deleted_with_a_receipt(client: Client, tmp_path: Path) -> None:
    client.history.clear()
    made = [client.text(text, store=True) for text in ("I love it", "I hate it", "I love this too")]
    assert [one.id for one in client.history.list(label="positive", page_size=1)] == [made[2].id, made[0].id]
    assert client.history.get(made[1].id).raw == made[1].raw
    client.history.export(tmp_path / "all.json")
    client.history.export(tmp_path / "positive.csv", label="positive")
    assert len(json.loads((tmp_path / "all.json").read_text())) == 3
    assert len((tmp_path / "positive.csv").read_text().splitlines()) == 3
    assert client.history.delete(made[1].id).removed == 1
    assert client.history.clear().removed == 2
    assert list(client.history.list()) == []


@pytest.mark.usefixtures("asked")
def test_the_command_line_writes_subtitles_of_a_recording_that_goes_as_a_job(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["analyze", "--srt", str(EXAMPLES / "inaugural.ogg")]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("1\n00:00:0")
    assert "country" in shown.out
    assert " %" in shown.out
    assert shown.err == ""


@pytest.mark.usefixtures("asked")
def test_the_command_line_answers_for_all_kinds_and_says_what_failed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "reviews.csv").write_bytes(table(30).read())
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff and no more")
    names = [str(EXAMPLES / "portrait.jpg"), str(EXAMPLES / "portrait_speaks.mp4"), str(tmp_path / "broken.jpg")]
    assert main(["analyze", "--text", "I love it", *names, str(tmp_path / "reviews.csv"), "--column", "review"]) == 1
    shown = capsys.readouterr()
    assert shown.out.count("positive") >= 3
    assert "30 texts" in shown.out
    assert "broken.jpg: " in shown.err
    assert "(undecodable)" in shown.err
