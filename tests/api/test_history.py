"""The history routes behind a door: each caller finds and removes its own alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
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
from tests.history.conftest import analysis

SHOP, SHOP_RECORD = new_key("shop", ["analyze", "history"])
OFFICE, OFFICE_RECORD = new_key("office", ["history"])
KIOSK, KIOSK_RECORD = new_key("kiosk", ["analyze"])

Ask = Callable[..., Awaitable[httpx.Response]]


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[Application]:
    built = application.build(Settings(state_folder=tmp_path / "state", database_url=None))
    yield built
    await built.state.backend.database.close()


@pytest.fixture
async def ask(app: Application) -> AsyncIterator[Ask]:
    """Asks with a key."""
    door = Door(Authentication(KeyRing([SHOP_RECORD, OFFICE_RECORD, KIOSK_RECORD]), None))
    async with client_of(Edge(application.routes(app), app, app.state.backend.settings, door=door)) as client:

        async def asked(key: str, method: str, path: str, **rest: object) -> httpx.Response:
            return await client.request(method, path, headers={"x-api-key": key}, **rest)

        yield asked


async def test_each_caller_sees_its_own_alone(app, ask):
    theirs, mine = analysis(), analysis()
    await app.state.backend.history.save([theirs], "key:shop")
    await app.state.backend.history.save([mine], "key:office")
    listed = (await ask(OFFICE, "GET", "/v1/history")).json()["items"]
    assert [one["id"] for one in listed] == [mine.id]
    exported = (await ask(OFFICE, "GET", "/v1/history/export")).json()
    assert [one["id"] for one in exported] == [mine.id]
    assert (await ask(OFFICE, "GET", f"/v1/history/{theirs.id}")).status_code == 404
    assert (await ask(SHOP, "GET", f"/v1/history/{theirs.id}")).status_code == 200


async def test_each_caller_removes_its_own_alone(app, ask):
    theirs, mine = analysis(), analysis()
    await app.state.backend.history.save([theirs], "key:shop")
    await app.state.backend.history.save([mine], "key:office")
    assert (await ask(OFFICE, "DELETE", f"/v1/history/{theirs.id}")).status_code == 404
    assert (await ask(OFFICE, "DELETE", "/v1/history")).headers["deletion-receipt"] == "removed=1; audit=1"
    assert (await ask(SHOP, "GET", f"/v1/history/{theirs.id}")).status_code == 200


async def test_a_cursor_of_somebody_else_opens_nothing(app, ask):
    await app.state.backend.history.save([analysis(), analysis(), analysis()], "key:shop")
    cursor = (await ask(SHOP, "GET", "/v1/history?limit=1")).json()["next"]
    assert (await ask(OFFICE, "GET", f"/v1/history?cursor={cursor}")).json() == {"items": [], "next": None}


async def test_who_could_not_remove_it_cannot_have_it_stored(ask):
    refused = await ask(KIOSK, "POST", "/v1/text", json={"text": "I love it", "store": True})
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert "history" in refused.json()["detail"]
    taken = await ask(KIOSK, "POST", "/v1/text", json={"text": "I love it"})
    assert taken.json()["code"] == "not_ready"  # there are no models here, so it came that far


async def test_a_page_of_very_large_analyses_ends_early(app, ask, monkeypatch):
    monkeypatch.setattr("service.api.history.MAX_PAGE_BYTES", 3_000)
    await app.state.backend.history.save([analysis(text="x" * 1_000) for _ in range(5)], "key:shop")
    sizes, cursor = [], ""
    while cursor is not None:
        found = (await ask(SHOP, "GET", f"/v1/history{cursor and '?cursor=' + cursor}")).json()
        sizes.append(len(found["items"]))
        cursor = found["next"]
    assert sum(sizes) == 5
    assert max(sizes) < 5


async def test_what_is_asked_stands_in_the_document(app):
    operation = app.openapi()["paths"]["/v1/history"]["get"]
    parameters = {one["name"]: one for one in operation["parameters"]}
    assert set(parameters) == {"label", "modality", "since", "until", "cursor", "limit"}
    assert parameters["limit"]["schema"] == {"type": "integer", "minimum": 1, "maximum": 200, "default": 50}
    assert parameters["label"]["schema"] == {
        "enum": ["negative", "neutral", "positive", "abstained"],
        "type": "string",
    }
    assert parameters["since"]["schema"] == {"type": "string", "format": "date-time"}
    assert all(one["description"].endswith(".") for one in parameters.values())
