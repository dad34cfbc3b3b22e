"""The application as the server sees it, in this process and without models."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest

from service.api import application
from service.api.application import Application
from service.api.edge import Edge
from service.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Small limits, and a folder of this test's own."""
    return Settings(
        temp_folder=tmp_path / "uploads",
        state_folder=tmp_path / "state",
        max_body_bytes=200_000,
        max_text_characters=100,
        max_texts=4,
    )


@pytest.fixture
def app(settings: Settings) -> Application:
    """The application, its folder open."""
    built = application.build(settings)
    built.state.backend.folder.open()
    return built


@pytest.fixture
async def client(app: Application, settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application behind its edge; nobody answers for BentoML."""
    async with client_of(Edge(application.routes(app), app, settings)) as speaking:
        yield speaking


def client_of(edge: Callable) -> httpx.AsyncClient:
    """A client of an ASGI application."""
    transport = httpx.ASGITransport(edge, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://test")
