"""Jobs over HTTP: the real service and a real worker."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from tests.alike import LAST_DIGIT, differences
from tests.contract.conftest import problem
from tests.jobs_running import ended, events, running_worker, until
from tests.serving import running_service

pytestmark = pytest.mark.server

ROWS = 3000
SETTINGS = {"job_part_seconds": 2, "job_part_rows": 256, "min_free_bytes": 0, "max_text_characters": 200}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """A service and a worker of these tests' own."""
    folder = tmp_path_factory.mktemp("jobs")
    settings = {**SETTINGS, "state_folder": folder / "state"}
    with (
        running_service(folder, **settings) as service,
        running_worker(folder, **settings) as worker,
        httpx.Client(base_url=service.address, timeout=60) as http,
    ):
        yield SimpleNamespace(http=http, worker=worker, folder=folder / "state" / "jobs")


def send(http: httpx.Client, headers: dict[str, str] | None = None, **parts) -> httpx.Response:
    files = {name: part for name, part in parts.items() if isinstance(part, tuple)}
    return http.post("/v1/jobs", files=files, data={k: v for k, v in parts.items() if k not in files}, headers=headers)


def table(rows: list[str]) -> bytes:
    written = io.StringIO()
    csv.writer(written).writerows([["id", "text"], *([str(n), row] for n, row in enumerate(rows))])
    return written.getvalue().encode()


def media(path: Path) -> tuple[str, bytes]:
    return path.name, path.read_bytes()


def test_a_table_of_texts_gets_an_answer_a_row_in_order(house):
    texts = ["I love it", "I hate it", "x" * 300, *(f"The meeting number {n} is at noon" for n in range(ROWS - 3))]
    taken = send(house.http, file=("reviews.csv", table(texts)))
    assert taken.status_code == 202, taken.text
    job = taken.json()
    assert taken.headers["location"] == f"/v1/jobs/{job['id']}"
    assert (job["state"], job["kind"]) == ("queued", "texts")
    told = events(house.http, job["id"])
    done = [data["progress"]["done"] for _, name, data in told if name == "progress"]
    assert told[-1][1] == "done" and done == sorted(done)
    assert [data["end"] for _, name, data in told if name == "partial"][-1] == ROWS
    assert [number for number, *_ in told] == sorted({number for number, *_ in told})
    over = ended(house.http, job["id"])
    assert over["state"] == "done" and over["progress"] == {
        "fraction": 1.0,
        "done": ROWS,
        "total": ROWS,
        "unit": "rows",
    }
    assert over["created"] <= over["started"] <= over["ended"] < over["expires"]
    results = house.http.get(f"/v1/jobs/{job['id']}/result").json()["results"]
    assert len(results) == ROWS
    assert [results[n]["sentiment"]["label"] for n in (0, 1)] == ["positive", "negative"]
    assert results[2]["code"] == "too_long" and "Row 3" in results[2]["detail"]
    assert {path.name for path in (house.folder / job["id"]).iterdir()} == {"result.jsonl", "lock"}


@pytest.fixture(scope="module")
def small(house) -> str:
    """A job of three texts that is done."""
    content = b'"I love it"\n{"text": "=1+1 is what I hate"}\n{"no": 1}\n'
    job = send(house.http, file=("texts.jsonl", content)).json()["id"]
    assert ended(house.http, job)["state"] == "done"
    return job


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("text/csv", "text/csv; charset=utf-8"),
        ("application/x-ndjson", "application/x-ndjson"),
        ("text/csv;q=0.3, application/json;q=0.9", "application/json"),
        ("image/png", "application/json"),
    ],
)
def test_results_come_in_the_form_that_is_preferred(house, small, accept, media_type):
    answer = house.http.get(f"/v1/jobs/{small}/result", headers={"Accept": accept})
    assert answer.headers["content-type"] == media_type
    if media_type.startswith("text/csv"):
        rows = list(csv.DictReader(io.StringIO(answer.text)))
        assert [row["row"] for row in rows] == ["1", "2", "3"]
        assert (rows[0]["label"], rows[0]["emotion"]) == ("positive", "happy")
        assert rows[1]["text"].startswith("'=1+1") and rows[2]["problem"]
    elif media_type == "application/x-ndjson":
        assert [json.loads(line).get("code") for line in answer.text.splitlines()] == [None, None, "invalid_input"]
    else:
        assert len(answer.json()["results"]) == 3


@pytest.mark.parametrize(
    ("route", "kind", "file"),
    [
        ("/v1/audio", "audio", "jfk.ogg"),
        ("/v1/video", "video", "portrait_with_speech.mp4"),
    ],
)
def test_a_recording_as_a_job_gets_the_verdict_that_it_gets_at_once(house, samples, route, kind, file):
    path = samples / kind / file
    at_once = house.http.post(route, files={"file": media(path)}).json()
    job = send(house.http, **{kind: media(path)}).json()
    told = events(house.http, job["id"])
    assert told[-1][1] == "done", told[-1]
    assert len([1 for _, name, _ in told if name == "partial"]) >= 3
    result = house.http.get(f"/v1/jobs/{job['id']}/result").json()
    for name in ("sentiment", "emotions", "fusion", "timeline", "transcript", "media", "modalities", "warnings"):
        assert differences(result[name], at_once[name], LAST_DIGIT) == [], name
    assert {path.name for path in (house.folder / job["id"]).iterdir()} == {"result.json", "lock"}


def test_a_picture_and_a_text_are_a_job_too(house, samples):
    job = send(house.http, image=media(samples / "image/astronaut.jpg"), text="I love it").json()
    assert ended(house.http, job["id"])["progress"]["unit"] == "files"
    assert house.http.get(f"/v1/jobs/{job['id']}/result").json()["kind"] == "multimodal"


def test_events_go_on_where_a_reader_was(house, small):
    told = events(house.http, small)
    assert events(house.http, small, last=told[0][0]) == told[1:]
    assert events(house.http, small, last=told[-1][0]) == []
    problem(house.http.get(f"/v1/jobs/{small}/events", headers={"Last-Event-ID": "x"}), "invalid_input")


def test_a_damaged_file_fails_with_the_problem_that_it_has(house):
    job = send(house.http, audio=("a.mp3", b"no sound at all, just a letter to a friend" * 20)).json()
    over = ended(house.http, job["id"])
    assert over["state"] == "failed" and over["problem"]["code"] == "unsupported_media"
    problem(house.http.get(f"/v1/jobs/{job['id']}/result"), "unsupported_media")
    assert events(house.http, job["id"])[-1][1] == "failed"
    until(lambda: not (house.folder / job["id"]).exists())


@pytest.mark.parametrize(
    ("name", "content", "code", "says"),
    [
        ("a.csv", b"id,comment\n1,good\n", "invalid_input", "comment"),
        ("a.pdf", b"%PDF-1.7 ...........", "unsupported_media", ".csv"),
        ("a.csv", b"%PDF-1.7 ...........", "unsupported_media", "PDF"),
        ("a.csv", "text\nhallo\n".encode("utf-16"), "invalid_input", "UTF-16"),
        ("a.txt", b"", "invalid_input", "empty"),
    ],
)
def test_what_is_wrong_with_a_file_of_texts_is_said_at_once(house, name, content, code, says):
    body = problem(send(house.http, file=(name, content)), code)
    assert says in body["detail"]
    assert list(house.folder.glob("incoming/*/*")) == []


def test_a_named_column_is_read(house):
    job = send(house.http, file=("a.tsv", b"id\tcomment\n1\tI love it\n"), column="comment").json()
    assert ended(house.http, job["id"])["state"] == "done"
    results = house.http.get(f"/v1/jobs/{job['id']}/result").json()["results"]
    assert results[0]["modalities"]["text"]["text"] == "I love it"


def test_the_same_key_and_body_are_the_same_job_and_another_body_is_refused(house):
    key = {"Idempotency-Key": f"key-{time.time_ns()}"}
    first = send(house.http, key, file=("a.txt", b"I love it\n"))
    again = send(house.http, key, file=("a.txt", b"I love it\n"))
    assert again.status_code == first.status_code == 202
    assert again.headers["location"] == first.headers["location"]
    for other in ({"file": ("a.txt", b"I hate it\n")}, {"file": ("a.txt", b"I love it\n"), "detail": "full"}):
        assert "Idempotency-Key" in problem(send(house.http, key, **other), "invalid_input")["detail"]


def test_jobs_are_listed_newest_first_page_by_page(house, small):
    page = house.http.get("/v1/jobs", params={"limit": 2}).json()
    seen = [job["id"] for job in page["jobs"]]
    while page["next"]:
        page = house.http.get("/v1/jobs", params={"limit": 2, "cursor": page["next"]}).json()
        seen += [job["id"] for job in page["jobs"]]
    assert small in seen and seen == sorted(seen, reverse=True) and len(seen) == len(set(seen))
    problem(house.http.get("/v1/jobs", params={"cursor": "nowhere"}), "invalid_input")


def test_a_running_job_that_is_deleted_stops_at_once_and_leaves_nothing(house):
    job = send(house.http, file=("a.txt", b"This is what people said about it all day long\n" * 60_000)).json()["id"]
    until(lambda: house.http.get(f"/v1/jobs/{job}").json()["progress"]["done"] > 0)
    problem(house.http.get(f"/v1/jobs/{job}/result"), "not_finished")
    gone = house.http.delete(f"/v1/jobs/{job}")
    assert gone.status_code == 204 and gone.headers["deletion-receipt"].startswith("removed=1; audit=")
    assert house.http.get(f"/v1/jobs/{job}").json()["state"] == "cancelled"
    assert events(house.http, job)[-1][1] == "cancelled"
    small = send(house.http, file=("a.txt", b"I love it\n")).json()["id"]
    assert ended(house.http, small)["state"] == "done"  # so the worker is free again
    assert not (house.folder / job).exists()
    problem(house.http.get(f"/v1/jobs/{job}/result"), "not_finished")
    assert house.http.delete(f"/v1/jobs/{job}").status_code == 204
    problem(house.http.get(f"/v1/jobs/{job}"), "not_found")


def test_metrics_of_worker_and_queue_are_in_one_scrape(house, small):
    scraped = house.http.get("/metrics").text
    assert 'job_duration_seconds_count{kind="texts",state="done"}' in scraped
    assert 'queue_wait_seconds_count{queue="jobs"}' in scraped
    assert 'queue_depth{queue="jobs"}' in scraped
    assert scraped.count("# TYPE queue_depth ") == 1
    assert house.http.get("/health").json()["dependencies"]["queue"] == "healthy"
