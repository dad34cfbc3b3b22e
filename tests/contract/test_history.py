"""The history of a really started service: what callers asked to be kept, and nothing else."""

from __future__ import annotations

import csv
import io
import json
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from tests.contract.conftest import picture, problem
from tests.databases import PostgresServer
from tests.serving import RunningService, running_service

pytestmark = pytest.mark.server

TEXTS = {"negative": "I hate it", "neutral": "The meeting is at noon", "positive": "I love it"}
UNKNOWN = "7ZZZZZZZZZZZZZZZZZZZZZZZZZ"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("history")


@pytest.fixture(scope="module")
def own(folder: Path) -> Iterator[RunningService]:
    """A service of these tests' own, since they look at what is on its disk."""
    with running_service(folder) as running:
        yield running


@pytest.fixture(scope="module")
def http(own: RunningService) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=own.address, timeout=60) as client:
        yield client


@pytest.fixture
def stored(http: httpx.Client) -> Iterator[list[dict]]:
    """One analysis of each sentiment, the last one made first; gone after the test."""
    answered = [analyse(http, text, store=True) for text in TEXTS.values()]
    yield answered[::-1]
    assert http.delete("/v1/history").status_code == 204


def analyse(http: httpx.Client, text: str, **options: object) -> dict:
    response = http.post("/v1/text", json={"text": text, **options})
    assert response.status_code == 200, response.text
    return response.json()


def page(http: httpx.Client, **asked: object) -> dict:
    response = http.get("/v1/history", params=asked)
    assert response.status_code == 200, response.text
    return response.json()


def wait_for_health(http: httpx.Client, wanted: str) -> None:
    """Until /health says so of the database; it asks at most once a second."""
    deadline = time.monotonic() + 120
    while (found := http.get("/health").json()["dependencies"]["database"]) != wanted:
        assert time.monotonic() < deadline, found
        time.sleep(0.2)


def ids(analyses: list[dict]) -> list[str]:
    return [analysis["id"] for analysis in analyses]


def audit_lines(log: Path) -> list[dict]:
    lines = [json.loads(line) for line in log.read_text().splitlines() if '"message":"audit"' in line]
    return [line for line in lines if line["logger"] == "service.history.history"]


def test_nothing_is_kept_unless_somebody_asks_for_it(http, folder):
    analyse(http, "a word that nobody may find again: quokka")
    assert http.post("/v1/image", files={"file": ("quokka.png", picture())}).status_code == 200
    assert page(http) == {"items": [], "next": None}
    assert http.get("/v1/history/export", params={"format": "json"}).json() == []
    assert http.delete("/v1/history").headers["deletion-receipt"] == "removed=0"
    assert http.get("/health").json()["dependencies"]["database"] == "healthy"
    assert not (folder / "state").exists()
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert [file for file in files if b"quokka" in file.read_bytes()] == []


def test_what_was_stored_is_listed_as_it_was_answered(http, stored, folder):
    assert page(http)["items"] == stored
    assert http.get(f"/v1/history/{stored[0]['id']}").json() == stored[0]
    assert (folder / "state").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("label", TEXTS)
def test_verdicts_can_be_asked_for(http, stored, label):
    assert [one["sentiment"]["label"] for one in page(http, label=label)["items"]] == [label]


def test_filters_go_together(http, stored):
    oldest = stored[-1]["created"]
    assert len(page(http, modality="text", since=oldest)["items"]) == 3
    assert page(http, modality="face")["items"] == []
    assert page(http, until=oldest)["items"] == []


def test_pages_follow_one_another_while_others_are_stored(http, stored):
    seen, asked = [], {"limit": 1}
    while True:
        found = page(http, **asked)
        seen += found["items"]
        if found["next"] is None:
            break
        asked["cursor"] = found["next"]
        analyse(http, "another that came meanwhile", store=True)
    assert ids(seen) == ids(stored)


def test_several_texts_are_stored_at_once_but_not_those_that_were_refused(http, stored):
    texts = ["I love it", "x" * 20_001, "I hate it"]
    results = http.post("/v1/text", json={"texts": texts, "store": True}).json()["results"]
    assert set(ids(page(http)["items"])) == {*ids(stored), results[0]["id"], results[2]["id"]}


def test_files_can_be_stored_too_but_never_what_is_in_them(http, stored, folder):
    content = picture()
    response = http.post("/v1/image", files={"file": ("quokka.png", content)}, data={"store": "true"})
    assert page(http, limit=1)["items"] == [response.json()]
    for file in (folder / "state").iterdir():
        assert content[40:80] not in file.read_bytes()
        assert b"quokka" not in file.read_bytes()


def test_an_export_holds_everything_that_was_stored(http, stored):
    assert http.get("/v1/history/export").json() == stored
    table = http.get("/v1/history/export", params={"format": "csv", "label": "positive"})
    assert table.headers["content-type"].startswith("text/csv")
    assert table.headers["content-disposition"] == 'attachment; filename="history.csv"'
    (row,) = csv.DictReader(io.StringIO(table.text, newline=""))
    assert (row["label"], row["text"], row["id"]) == ("positive", "I love it", stored[0]["id"])


def test_one_can_be_removed_and_leaves_a_receipt(http, stored, own):
    removed = http.delete(f"/v1/history/{stored[1]['id']}")
    assert (removed.status_code, removed.content) == (204, b"")
    receipt = dict(part.split("=") for part in removed.headers["deletion-receipt"].split("; "))
    assert receipt["removed"] == "1"
    assert ids(page(http)["items"]) == [stored[0]["id"], stored[2]["id"]]
    problem(http.get(f"/v1/history/{stored[1]['id']}"), "not_found")
    problem(http.delete(f"/v1/history/{stored[1]['id']}"), "not_found")
    assert audit_lines(own.log)[-1].items() >= {"action": "history.delete", "subject": stored[1]["id"]}.items()


def test_all_can_be_removed_and_are_nowhere_on_the_disk(http, folder, own):
    analyse(http, "a secret word: axolotl", store=True)
    assert any(b"axolotl" in file.read_bytes() for file in (folder / "state").iterdir())
    assert http.delete("/v1/history").headers["deletion-receipt"].startswith("removed=1; audit=")
    assert page(http)["items"] == []
    assert not any(b"axolotl" in file.read_bytes() for file in folder.rglob("*") if file.is_file())
    assert audit_lines(own.log)[-1].items() >= {"action": "history.delete_all", "affected": 1}.items()


@pytest.mark.parametrize(
    ("asked", "pointer"),
    [
        ({"limit": 0}, "/limit"),
        ({"limit": 201}, "/limit"),
        ({"limit": "many"}, "/limit"),
        ({"label": "sunny"}, "/label"),
        ({"modality": "smell"}, "/modality"),
        ({"since": "yesterday"}, "/since"),
        ({"since": "2026-11-23"}, "/since"),
        ({"until": "2026-11-23T12:00:00"}, "/until"),
        ({"until": "1e400"}, "/until"),
        ({"cursor": "nonsense"}, "/cursor"),
        ({"cursor": "é"}, "/cursor"),
        ({"cursor": ""}, "/cursor"),
        ({"page": 2}, "/page"),
        ({"limit": [1, 2]}, "/limit"),
    ],
)
def test_a_query_that_makes_no_sense_is_told_where(http, asked, pointer):
    found = problem(http.get("/v1/history", params=asked), "invalid_input")
    assert [error["pointer"] for error in found["errors"]] == [pointer]


@pytest.mark.parametrize("identifier", [UNKNOWN, "1", "x" * 5000, "%00", "' OR 1=1 --"])
def test_an_id_of_nothing_is_not_found(http, stored, identifier):
    problem(http.get(f"/v1/history/{identifier}"), "not_found")
    problem(http.delete(f"/v1/history/{identifier}"), "not_found")


def test_an_answer_whose_history_is_locked_still_goes_out_and_says_so(http, stored, folder):
    before = failed_writes(http)
    with closing(sqlite3.connect(folder / "state" / "sentiment.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        answer = analyse(http, "I love it", store=True)
    assert answer["sentiment"]["label"] == "positive"
    assert [warning["code"] for warning in answer["warnings"]] == ["not_stored"]
    assert failed_writes(http) == before + 1
    again = analyse(http, "I love it", store=True)
    assert again["warnings"] == []
    assert ids(page(http)["items"]) == [again["id"], *ids(stored)]


def failed_writes(http: httpx.Client) -> float:
    found = re.search(r'^history_writes_total\{outcome="failed"\} (\S+)$', http.get("/metrics").text, re.MULTILINE)
    return float(found[1]) if found else 0.0


@pytest.mark.postgres
def test_a_postgresql_that_stops_is_told_and_heals_by_itself(postgres: PostgresServer, tmp_path):
    with (
        running_service(tmp_path, database_url=postgres.create()) as running,
        httpx.Client(base_url=running.address, timeout=60) as http,
    ):
        first = analyse(http, "I love it", store=True)
        postgres.stop()
        try:
            missed = analyse(http, "I love it", store=True)
            assert [warning["code"] for warning in missed["warnings"]] == ["not_stored"]
            gone = problem(http.get("/v1/history"), "not_ready")
            assert "database" in gone["detail"]
            problem(http.get("/v1/history/export"), "not_ready")
            wait_for_health(http, "unhealthy")
            assert http.get("/readyz").status_code == 200
        finally:
            postgres.start()
        wait_for_health(http, "healthy")
        second = analyse(http, "I love it", store=True)
        assert second["warnings"] == []
        assert ids(page(http)["items"]) == [second["id"], first["id"]]
        assert not (tmp_path / "state").exists()
