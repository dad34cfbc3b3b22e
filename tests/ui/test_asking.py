"""What a tab shows while it asks and after: it works, it answers, or it says why not; then it may be asked again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

from tests.ui import answers_made_up as made_up
from tests.ui.conftest import StandIn
from ui import answers
from ui.client import Analysis, AsyncClient, Problem, Retries, Unreachable
from ui.tabs.asking import BUSY, READY, Desk, NothingGiven, Question, Room, answering, options, picture_url
from ui.uploads import UploadGone, Uploads

WAITING = "The service is looking\u2026"


@pytest.fixture
async def desk(stand_in: StandIn, tmp_path: Path) -> AsyncIterator[Desk]:
    """A desk that asks the stand-in."""
    async with AsyncClient(stand_in.address, retries=Retries(first_seconds=0.001)) as client:
        yield Desk(client, Uploads(tmp_path, 300), tmp_path)


def room(desk: Desk, *, cancel: bool = False) -> Room:
    return Room(desk, "video", cast(Any, None), cast(Any, [1, 2]), WAITING, cast(Any, 3) if cancel else None)


async def shown(desk: Desk, outcome: Analysis | Exception, url: str | None = None) -> list[tuple]:
    async def at_once() -> Analysis:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    steps = answering(lambda *_: Question(at_once), room(desk), lambda *_: url)("value")
    return [step async for step in steps]


async def test_first_it_says_that_it_works_and_its_buttons_rest(desk: Desk) -> None:
    first, last = await shown(desk, answers.analysis(made_up.of_text("Lovely")))
    assert "The service is looking" in first[0]
    assert first[1:] == (BUSY, BUSY)
    assert "<h2>Positive</h2>" in last[0]
    assert last[1:] == (READY, READY)


async def test_faces_are_drawn_on_the_picture_that_was_asked_about(desk: Desk) -> None:
    _, last = await shown(desk, answers.analysis(made_up.of_image()), "gradio_api/file=/x.jpg")
    assert '<img src="gradio_api/file=/x.jpg"' in last[0]


@pytest.mark.parametrize(
    "error", [Unreachable("Not there."), UploadGone("Gone."), NothingGiven("Give me one."), Problem("x", "No.", 413)]
)
async def test_whatever_fails_it_says_why_and_can_be_asked_again(desk: Desk, error: Exception) -> None:
    _, last = await shown(desk, error)
    assert str(error) in last[0]
    assert last[1:] == (READY, READY)


async def test_an_error_of_our_own_is_not_hidden(desk: Desk) -> None:
    with pytest.raises(ZeroDivisionError):
        await shown(desk, ZeroDivisionError())


def long_video(desk: Desk, content: bytes) -> Question:
    """A video that the service refuses at once."""
    client = desk.client
    return Question(partial(client.video, b"very long" + content), partial(client.jobs.submit, video=content))


async def test_what_is_too_long_goes_as_a_job_whose_progress_moves_and_nothing_of_it_stays(
    desk: Desk, stand_in: StandIn
) -> None:
    steps = [one async for one in answering(lambda: long_video(desk, b"film"), room(desk, cancel=True), lambda: None)()]
    moving = [step[0] for step in steps if "ms-known" in step[0]]
    assert [part.split("<b>")[1].split("</b>")[0] for part in moving] == ["25 %", "50 %", "75 %", "99 %"]
    assert "2 of 4 texts read" in moving[1]
    assert [step[-1]["visible"] for step in steps] == [False, False, True, True, True, True, False, False]
    assert "<h2>Positive</h2>" in steps[-1][0]
    assert [job["state"] for job in stand_in.jobs.values()] == ["cancelled"]


async def test_the_cancel_button_stops_the_job_and_the_page_says_so(desk: Desk, stand_in: StandIn) -> None:
    here = room(desk, cancel=True)
    steps = []
    async for step in answering(lambda: long_video(desk, b"endless"), here, lambda: None)():
        steps.append(step)
        if step[-1]["visible"]:
            await desk.errands.cancel(here.place)
    assert "The job was cancelled." in steps[-1][0]
    assert steps[-1][1:3] == (READY, READY)


async def test_closing_the_page_stops_its_jobs_and_no_others(desk: Desk, stand_in: StandIn) -> None:
    async def wait(page: str) -> None:
        job = await desk.client.jobs.submit(video=b"endless")
        async with desk.errands.under_way((page, "video"), job.id):
            async for _ in desk.client.jobs.events(job):
                pass

    mine, other = asyncio.create_task(wait("mine")), asyncio.create_task(wait("other"))
    while len([one for one in stand_in.seen if one.get("events after") == 2]) < 2:
        await asyncio.sleep(0.01)
    await desk.errands.leave("mine")
    await mine
    assert sorted(job["state"] for job in stand_in.jobs.values()) == ["cancelled", "queued"]
    await desk.errands.leave("other")
    await other


def test_no_threshold_leaves_it_to_the_service_and_nothing_is_kept_unasked() -> None:
    assert options(0) == {"explain": True, "detail": "full"}
    assert options(40, transcribe=False, aspects=["food"], keep=True) == {
        "explain": True,
        "detail": "full",
        "min_confidence": 0.4,
        "transcribe": "never",
        "aspects": ["food"],
        "store": True,
    }


def test_odd_file_names_become_addresses() -> None:
    assert picture_url(Path("/tmp/a b#c?.jpg")) == "gradio_api/file=/tmp/a%20b%23c%3F.jpg"
