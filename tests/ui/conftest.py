"""The stand-in for the service on a real port."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import uvicorn

from tests.serving import free_port
from tests.ui.service_made_up import service_made_up


@dataclass(frozen=True)
class StandIn:
    """Where it answers, and what it was asked."""

    address: str
    seen: list[dict[str, Any]]
    jobs: dict[str, dict[str, Any]]
    kept: list[dict[str, Any]]


@pytest.fixture(scope="session")
def _running() -> Iterator[StandIn]:
    app = service_made_up()
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield StandIn(f"http://127.0.0.1:{port}", app.state.seen, app.state.jobs, app.state.kept)
    server.should_exit = True
    thread.join()


@pytest.fixture
def stand_in(_running: StandIn) -> StandIn:
    """A service in the contract's shape whose answers are made up."""
    for remembered in (_running.seen, _running.jobs, _running.kept):
        remembered.clear()
    return _running
