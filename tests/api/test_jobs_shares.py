"""One caller's jobs and readers of events leave room for those of others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from service.access.door import Authentication, Door
from service.access.key_ring import KeyRing, new_key
from service.api import application
from service.api.application import Application
from service.api.edge import Edge
from service.settings import Settings
from tests.api.conftest import client_of

SHOP, SHOP_RECORD = new_key("shop", ["analyze"])
OFFICE, OFFICE_RECORD = new_key("office", ["analyze"])


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[Application]:
    """Four jobs may wait, and one reader of events be there; of each a caller may have a quarter, so one."""
    limits = {"max_queued_jobs": 4, "max_event_streams": 1, "client_share": 0.25, "min_free_bytes": 0}
    built = application.build(Settings(state_folder=tmp_path / "state", database_url=None, **limits))
    yield built
    await built.state.backend.database.close()


@pytest.fixture
async def client(app: Application) -> AsyncIterator[httpx.AsyncClient]:
    door = Door(Authentication(KeyRing([SHOP_RECORD, OFFICE_RECORD]), None))
    async with client_of(Edge(application.routes(app), app, app.state.backend.settings, door=door)) as speaking:
        yield speaking


async def hand_in(client: httpx.AsyncClient, key: str) -> httpx.Response:
    return await client.post("/v1/jobs", files={"file": ("a.txt", b"I love it\n")}, headers={"X-API-Key": key})


async def test_a_caller_whose_jobs_fill_its_share_waits_and_others_do_not(client):
    first = await hand_in(client, SHOP)
    assert first.status_code == 202
    refused = await hand_in(client, SHOP)
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert refused.headers["retry-after"]
    assert (await hand_in(client, OFFICE)).status_code == 202
    assert (await client.delete(first.headers["location"], headers={"X-API-Key": SHOP})).status_code == 204
    assert (await hand_in(client, SHOP)).status_code == 202


async def test_readers_of_events_are_counted_and_counted_down(app, client):
    places = app.state.backend.event_streams
    where = (await hand_in(client, SHOP)).headers["location"]
    with places.of("somebody"):
        refused = await client.get(f"{where}/events", headers={"X-API-Key": SHOP})
        assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
    app.state.backend.lifecycle.ending.set()  # events end at once, as when the service stops
    told = await client.get(f"{where}/events", headers={"X-API-Key": SHOP})
    assert (told.status_code, told.headers["content-type"]) == (200, "text/event-stream")
    assert told.headers["x-accel-buffering"] == "no"
    assert places.taken == 0
