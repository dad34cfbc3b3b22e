"""What a tab shows while it asks and after: it works, it answers, or it says why not; then it may be asked again."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from tests.ui import answers_made_up as made_up
from ui import answers
from ui.client import Analysis, Unreachable
from ui.tabs.asking import BUSY, READY, NothingGiven, Room, answering, options, picture_url
from ui.uploads import UploadGone

ROOM = Room(verdict=cast(Any, None), buttons=cast(Any, [1, 2]), waiting="The service is looking\u2026")


async def shown(outcome: Analysis | Exception, url: str | None = None) -> list[tuple]:
    async def ask(*_: object) -> Analysis:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return [step async for step in answering(ask, ROOM, lambda *_: url)("value")]


async def test_first_it_says_that_it_works_and_its_buttons_rest() -> None:
    first, last = await shown(answers.analysis(made_up.of_text("Lovely")))
    assert "The service is looking" in first[0]
    assert first[1:] == (BUSY, BUSY)
    assert "<h2>Positive</h2>" in last[0]
    assert last[1:] == (READY, READY)


async def test_faces_are_drawn_on_the_picture_that_was_asked_about() -> None:
    _, last = await shown(answers.analysis(made_up.of_image()), "gradio_api/file=/x.jpg")
    assert '<img src="gradio_api/file=/x.jpg"' in last[0]


@pytest.mark.parametrize("error", [Unreachable("Not there."), UploadGone("Gone."), NothingGiven("Give me one.")])
async def test_whatever_fails_it_says_why_and_can_be_asked_again(error: Exception) -> None:
    _, last = await shown(error)
    assert str(error) in last[0]
    assert last[1:] == (READY, READY)


async def test_an_error_of_our_own_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        await shown(ZeroDivisionError())


def test_no_threshold_leaves_it_to_the_service() -> None:
    assert options(0) == {"explain": True, "detail": "full"}
    assert options(40, transcribe=False, aspects=["food"]) == {
        "explain": True,
        "detail": "full",
        "min_confidence": 0.4,
        "transcribe": "never",
        "aspects": ["food"],
    }


def test_odd_file_names_become_addresses() -> None:
    assert picture_url(Path("/tmp/a b#c?.jpg")) == "gradio_api/file=/tmp/a%20b%23c%3F.jpg"
