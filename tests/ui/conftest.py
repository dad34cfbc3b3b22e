"""The stand-in for the service on a real port."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import uvicorn
from starlette.types import ASGIApp

from tests.ui.service_made_up import service_made_up


@dataclass(frozen=True)
class StandIn:
    """Where it answers, and what it was asked."""

    address: str
    seen: list[dict[str, Any]]
    jobs: dict[str, dict[str, Any]]
    kept: list[dict[str, Any]]


@contextmanager
def served(app: ASGIApp) -> Iterator[str]:
    """An application in a thread of its own; its address, on a port that the system gives."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="session")
def _running() -> Iterator[StandIn]:
    app = service_made_up()
    with served(app) as address:
        yield StandIn(address, app.state.seen, app.state.jobs, app.state.kept)


@pytest.fixture
def stand_in(_running: StandIn) -> StandIn:
    """A service in the contract's shape whose answers are made up."""
    for remembered in (_running.seen, _running.jobs, _running.kept):
        remembered.clear()
    return _running
