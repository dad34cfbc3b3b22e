"""Jobs and history through the client: typed, lazy, resumed after a broken connection."""

from __future__ import annotations

import io
from pathlib import Path

import httpx
import pytest

from tests.ui.conftest import StandIn
from ui.client import (
    AsyncClient,
    Cancelled,
    Client,
    Done,
    Failed,
    JobCancelled,
    Problem,
    Progress,
    Receipt,
    Retries,
    UnexpectedAnswer,
    Unreachable,
)

QUICK = Retries(first_seconds=0.001)
TABLE = b"text\r\ngood\r\n\r\n"


def client_of(stand_in: StandIn) -> Client:
    return Client(stand_in.address, retries=QUICK)


def named(content: bytes, name: str) -> io.BytesIO:
    file = io.BytesIO(content)
    file.name = name
    return file


def test_a_table_goes_out_under_its_name_with_its_column_and_comes_back_as_a_job(stand_in: StandIn) -> None:
    with client_of(stand_in) as client:
        job = client.jobs.submit(file=named(TABLE, "/tmp/reviews.csv"), column="review", explain=True)
    assert (job.state, job.kind, job.progress.total, job.over) == ("queued", "texts", 4, False)
    sent = stand_in.seen[0]
    assert (sent["file"], sent["bytes"], sent["column"], sent["explain"]) == (
        "reviews.csv",
        TABLE,
        ["review"],
        ["true"],
    )


def test_the_same_key_is_the_same_job(stand_in: StandIn) -> None:
    with client_of(stand_in) as client:
        first, second = (client.jobs.submit(file=named(TABLE, "a.csv"), idempotency_key="k") for _ in range(2))
        other = client.jobs.submit(file=named(TABLE, "a.csv"))
    assert first.id == second.id != other.id


def test_events_go_on_where_the_connection_broke(stand_in: StandIn) -> None:
    with client_of(stand_in) as client:
        job = client.jobs.submit(file=named(TABLE, "a.csv"))
        told = list(client.jobs.events(job))
    assert [one.progress.done for one in told if isinstance(one, Progress)] == [1, 2, 3, 4]
    assert told[-1] == Done()
    assert [one["events after"] for one in stand_in.seen if "events after" in one] == [0, 2]


def test_waiting_tells_of_each_event_and_gives_the_job_that_is_done(stand_in: StandIn) -> None:
    told = []
    with client_of(stand_in) as client:
        done = client.jobs.wait(client.jobs.submit(video=b"a film"), told.append)
        assert client.jobs.result(done).kind == "video"
    assert done.state == "done"
    assert [one.progress.fraction for one in told[:4]] == [0.25, 0.5, 0.75, 0.999]


def test_a_job_that_fails_raises_its_problem(stand_in: StandIn) -> None:
    with client_of(stand_in) as client:
        job = client.jobs.submit(audio=b"broken")
        with pytest.raises(Problem, match="damaged") as caught:
            client.jobs.wait(job)
        assert isinstance(list(client.jobs.events(job))[-1], Failed)
    assert caught.value.code == "undecodable"


def test_a_job_that_is_called_off_says_so(stand_in: StandIn) -> None:
    with client_of(stand_in) as client:
        job = client.jobs.submit(audio=b"endless")
        events = []
        for event in client.jobs.events(job):
            events.append(event)
            if len(events) == 4:
                client.jobs.cancel(job)
        assert events[-1] == Cancelled()
        with pytest.raises(JobCancelled):
            client.jobs.wait(job)


def test_a_result_that_is_not_there_yet_is_a_problem(stand_in: StandIn) -> None:
    with client_of(stand_in) as client, pytest.raises(Problem) as caught:
        client.jobs.result(client.jobs.submit(video=b"endless"))
    assert caught.value.code == "not_finished"


def test_events_of_no_job_are_a_problem_and_those_of_nobody_are_unreachable(stand_in: StandIn) -> None:
    def gone(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no", request=request)

    with Client(transport=httpx.MockTransport(gone), retries=QUICK) as client, pytest.raises(Unreachable):
        list(client.jobs.events("job-1"))
    with client_of(stand_in) as client, pytest.raises(Problem):
        client.jobs.get("no-such-job")


def test_events_that_are_none_are_not_understood() -> None:
    answer = httpx.Response(200, text="event: progress\ndata: {not json\n\n")
    client = Client(transport=httpx.MockTransport(lambda _: answer), retries=QUICK)
    with client, pytest.raises(UnexpectedAnswer):
        list(client.jobs.events("job-1"))


def test_events_that_never_come_to_an_end_are_given_up_after_so_many_connections() -> None:
    asked = []

    def silent(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, text=": nothing\n\n")

    client = Client(transport=httpx.MockTransport(silent), retries=Retries(attempts=3, first_seconds=0.001))
    with client, pytest.raises(Unreachable):
        list(client.jobs.events("job-1"))
    assert len(asked) == 3


def test_the_rows_of_a_table_come_one_by_one_each_an_answer_or_a_problem(stand_in: StandIn) -> None:
    with client_of(stand_in) as client:
        job = client.jobs.wait(client.jobs.submit(file=named(TABLE, "a.csv")))
        good, bad = client.jobs.rows(job)
    assert not isinstance(good, Problem)
    assert good.sentiment.label == "positive"
    assert isinstance(bad, Problem)
    assert bad.code == "too_long"


def test_a_result_is_saved_whole_or_not_at_all(stand_in: StandIn, tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    with client_of(stand_in) as client:
        job = client.jobs.submit(file=named(TABLE, "a.csv"))
        with pytest.raises(Problem):
            client.jobs.save(job, path)
        assert list(tmp_path.iterdir()) == []
        client.jobs.wait(job)
        assert client.jobs.save(job, path) == len(path.read_bytes())
        with pytest.raises(ValueError, match="json, csv, jsonl"):
            client.jobs.save(job, tmp_path / "out.xlsx")
    assert path.read_bytes().startswith(b"row,label")
    assert list(tmp_path.iterdir()) == [path]


def test_all_jobs_are_listed_page_after_page_as_they_are_wanted(stand_in: StandIn) -> None:
    with client_of(stand_in) as client:
        for _ in range(5):
            client.jobs.submit(text="Hello")
        assert [job.id for job in client.jobs.list()] == ["job-4", "job-3", "job-2", "job-1", "job-0"]


def keep(client: Client, *texts: str) -> None:
    for text in texts:
        client.text(text, store=True)


def test_what_was_kept_is_listed_read_and_deleted(stand_in: StandIn) -> None:
    with client_of(stand_in) as client:
        keep(client, "one", "two", "three")
        stand_in.seen.clear()
        found = client.history.list(label="positive", since="2026-11-01T00:00:00Z")
        assert next(found).modalities.text.text == "three"  # type: ignore[union-attr]
        assert len(stand_in.seen) == 1
        assert [one.id for one in found] == ["kept-1", "kept-0"]
        assert client.history.get("kept-1").raw["modalities"]["text"]["text"] == "two"
        assert client.history.delete("kept-1") == Receipt(1, 17)
        assert client.history.clear() == Receipt(2, 17)
    assert stand_in.kept == []
    assert stand_in.seen[0] == {"label": "positive", "since": "2026-11-01T00:00:00Z", "limit": "100"}


def test_the_history_is_exported_as_the_files_name_ends(stand_in: StandIn, tmp_path: Path) -> None:
    with client_of(stand_in) as client:
        keep(client, "one")
        client.history.export(tmp_path / "all.csv")
        stream = io.BytesIO()
        client.history.export(stream, "json")
    assert (tmp_path / "all.csv").read_text() == "id\nkept-0\n"
    assert stream.getvalue().startswith(b"[{")


async def test_the_asynchronous_client_does_all_of_it_too(stand_in: StandIn, tmp_path: Path) -> None:
    told = []
    async with AsyncClient(stand_in.address, retries=QUICK) as client:
        job = await client.jobs.submit(file=named(TABLE, "a.csv"))
        done = await client.jobs.wait(job, told.append)
        rows = [row async for row in client.jobs.rows(done)]
        await client.jobs.save(done, tmp_path / "rows.jsonl")
        listed = [job.id async for job in client.jobs.list()]
        await client.text("kept", store=True)
        kept = [one.id async for one in client.history.list()]
        await client.history.export(tmp_path / "all.json")
        await client.history.clear()
    assert (len(told), len(rows), listed, kept, stand_in.kept) == (5, 2, ["job-0"], ["kept-0"], [])
    assert (tmp_path / "rows.jsonl").read_bytes().count(b"\n") == 2


async def test_leaving_events_early_closes_their_connection(stand_in: StandIn) -> None:
    async with AsyncClient(stand_in.address, retries=QUICK) as client:
        job = await client.jobs.submit(audio=b"endless")
        async for event in client.jobs.events(job):
            assert isinstance(event, Progress)
            break
        await client.jobs.cancel(job)
        with pytest.raises(JobCancelled):
            await client.jobs.wait(job)
