"""What a page shows of a table of texts, and of what was kept."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.serving import closed_port
from tests.ui.conftest import StandIn
from ui.answers import JobProgress
from ui.client import NO_RETRIES, AsyncClient, Progress
from ui.result import advancing
from ui.result.table import SHOWN_ROWS, read_rows, table
from ui.tabs.asking import Desk
from ui.tabs.history import Shelf
from ui.uploads import Uploads

HEAD = "row,label,valence,confidence,negative,neutral,positive,abstained,reason,problem,detail,text\n"


def result(tmp_path: Path, *rows: str) -> Path:
    path = tmp_path / "result.csv"
    path.write_text(HEAD + "".join(f"{number},{row}\n" for number, row in enumerate(rows, start=1)), encoding="utf-8")
    return path


GOOD = "positive,0.5,0.9,0.05,0.05,0.9,false,,,,{}"
UNSURE = ",0.1,0.4,0.3,0.3,0.4,true,low_confidence,,,Hm"
FAILED = ",,,,,,,,too_long,The text is too long.,"


def test_verdicts_abstentions_and_failures_are_counted_apart(tmp_path: Path) -> None:
    rows = read_rows(result(tmp_path, GOOD.format("a"), GOOD.format("b"), UNSURE, FAILED))
    assert dict(rows.counts) == {"positive": 2, "undecided": 1, "failed": 1}
    assert rows.valence / rows.judged == pytest.approx(1.1 / 3)
    assert rows.first[3].words == "The text is too long."


def test_only_the_first_rows_are_shown_and_all_are_counted(tmp_path: Path) -> None:
    html = table(read_rows(result(tmp_path, *[GOOD.format("a")] * 1500)), "gradio_api/file=/x.csv", 300)
    assert "1,500 texts" in html
    assert html.count("<li>") == SHOWN_ROWS
    assert f"The first {SHOWN_ROWS} of 1,500" in html
    assert "here for 5 minutes" in html


def test_texts_of_a_table_are_shown_as_written(tmp_path: Path) -> None:
    html = table(read_rows(result(tmp_path, GOOD.format("<img src=x> ${1}"))), "/x", 300)
    assert "&lt;img src=x&gt; &#36;&#123;1&#125;" in html
    assert "<img" not in html


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (Progress("queued", JobProgress()), "Waiting for its turn"),
        (Progress("running", JobProgress()), "Getting ready"),
        (Progress("running", JobProgress(0.5, 90, 180, "seconds")), "1:30 of about 3:00 read"),
        (Progress("running", JobProgress(0.5, 1500, 3000, "rows")), "1,500 of 3,000 texts read"),
        (Progress("running", JobProgress(0.0, 90, None, "seconds")), "1:30 read"),
    ],
)
def test_a_jobs_progress_is_said_in_what_it_counts(event: Progress, said: str) -> None:
    assert said in advancing(event)


@pytest.fixture
async def desk(stand_in: StandIn, tmp_path: Path) -> AsyncIterator[Desk]:
    uploads = Uploads(tmp_path / "uploads", 300)
    uploads.prepare()
    async with AsyncClient(stand_in.address, retries=NO_RETRIES) as client:
        for text in ("one", "two", "three"):
            await client.text(text, store=True)
        yield Desk(client, uploads, tmp_path)


async def test_the_list_shows_so_many_and_whether_there_are_more(desk: Desk) -> None:
    listed, ids, more, shown, *_ = await Shelf(desk).listed("all", "all", 2)
    assert [row[2] for row in listed["value"]] == ["three", "two"]
    assert listed["value"][0] == ["24 Nov 06:30", "Positive", "three", "Text", "81 %"]
    assert (ids, more["visible"]) == (["kept-2", "kept-1"], True)
    assert "Choose a line" in shown
    assert (await Shelf(desk).listed("all", "all", 3))[2]["visible"] is False


async def test_filters_reach_the_service(desk: Desk, stand_in: StandIn) -> None:
    stand_in.seen.clear()
    await Shelf(desk).listed("negative", "face", 2)
    assert stand_in.seen[0] == {"label": "negative", "modality": "face", "limit": "3"}


async def test_a_line_opens_what_it_stands_for(desk: Desk) -> None:
    shown, button, opened = await Shelf(desk).opened(["kept-1", "kept-0"], SimpleNamespace(index=[1, 2]))  # type: ignore[arg-type]
    assert "one" in shown
    assert (button["visible"], opened) == (True, "kept-0")


async def test_what_is_open_is_deleted_and_the_list_goes_on(desk: Desk, stand_in: StandIn) -> None:
    _, ids, *_ = await Shelf(desk).forgotten("kept-1", "all", "all", 25)
    assert ids == ["kept-2", "kept-0"]
    _, ids, _, shown, *_ = await Shelf(desk).cleared()
    assert (ids, stand_in.kept) == ([], [])
    assert "2 deleted" in shown


async def test_an_export_lies_in_the_private_folder_under_a_name_that_nobody_guesses(desk: Desk) -> None:
    link = await Shelf(desk).exporting("csv")("all", "all")
    (path,) = desk.uploads.folder.rglob("history.csv")
    assert str(path) in link
    assert len(path.parent.name) == 32


async def test_a_service_that_is_not_there_is_said_in_the_list_too(tmp_path: Path) -> None:
    with closed_port() as port:
        async with AsyncClient(f"http://127.0.0.1:{port}", retries=NO_RETRIES) as client:
            uploads = Uploads(tmp_path, 300)
            _, ids, _, shown, *_ = await Shelf(Desk(client, uploads, tmp_path)).listed("all", "all", 25)
    assert ids == []
    assert "is not reachable" in shown
