"""Where faces and voices must not be judged, their tabs are closed, and the page says why."""

from __future__ import annotations

import httpx
import pytest

from service.access.use import USES, reason, restricted
from ui import use
from ui.client import AsyncClient
from ui.tabs.asking import Desk
from ui.uploads import Uploads


def desk_of(told: dict | None, tmp_path) -> Desk:
    """A desk whose service tells this of its use; None for one that does not answer."""

    async def answer(request: httpx.Request) -> httpx.Response:
        if told is None:
            raise httpx.ConnectError("nobody there", request=request)
        return httpx.Response(200, json={"models": [], **told})

    client = AsyncClient("http://service", transport=httpx.MockTransport(answer))
    return Desk(client, Uploads(tmp_path, 300), tmp_path)


@pytest.mark.parametrize("declared", USES)
async def test_tabs_are_open_unless_the_declared_use_forbids_them(declared, tmp_path):
    told = {"use": {"name": declared, "restricted": restricted(declared), "reason": reason(declared)}}
    note, *tabs = await use.closed(desk_of(told, tmp_path))
    forbidden = declared in ("workplace", "education")
    assert [tab["interactive"] for tab in tabs] == [not forbidden] * len(use.TABS)
    assert note["visible"] == forbidden
    assert ("prohibited" in note["value"]) == forbidden


async def test_a_service_that_says_nothing_of_its_use_closes_nothing(tmp_path):
    note, *tabs = await use.closed(desk_of({}, tmp_path))
    assert not note["visible"] and all(tab["interactive"] for tab in tabs)


async def test_a_service_that_does_not_answer_changes_nothing(tmp_path):
    updates = await use.closed(desk_of(None, tmp_path))
    assert len(updates) == 1 + len(use.TABS)
    assert all(set(update) == {"__type__"} for update in updates)
