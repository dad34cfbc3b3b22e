"""A service that is declared to be used at work."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from service.api import application
from service.api.edge import Edge
from service.settings import Settings
from tests.api.conftest import client_of


@pytest.fixture
async def at_work(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    settings = Settings(temp_folder=tmp_path / "uploads", use="workplace")
    app = application.build(settings)
    app.state.backend.folder.open()
    async with client_of(Edge(application.routes(app), app, settings)) as client:
        yield client


@pytest.mark.parametrize("route", ["/v1/audio", "/v1/image", "/v1/video"])
async def test_every_route_of_voices_and_faces_is_refused(at_work, route):
    response = await at_work.post(route, files={"file": b"whatever it is"})
    assert (response.status_code, response.json()["code"]) == (403, "use_restricted")
    assert "Text stays available" in response.json()["detail"]


@pytest.mark.parametrize("kind", ["audio", "image", "video"])
async def test_a_text_beside_a_recording_does_not_let_the_recording_in(at_work, kind):
    response = await at_work.post("/v1/analyze", files={"text": (None, "I love it"), kind: b"whatever it is"})
    assert response.json()["code"] == "use_restricted"


async def test_text_alone_goes_on(at_work):
    for answer in (
        await at_work.post("/v1/analyze", files={"text": (None, "I love it")}),
        await at_work.post("/v1/text", json={"text": "I love it"}),
    ):
        assert answer.json()["code"] == "not_ready"  # it was let in; there are no models in this process


async def test_the_declared_use_is_told(at_work, client):
    told = (await at_work.get("/v1/models")).json()["use"]
    assert (told["name"], told["restricted"]) == ("workplace", ["speech", "face"])
    assert "prohibited" in told["reason"]
    assert (await client.get("/v1/models")).json()["use"] == {"name": "general", "restricted": [], "reason": None}
