"""How a process comes to an end: what runs, what is new, and what will not finish."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest
from starlette.applications import Starlette

from service.api.edge import Edge
from service.api.routes import Routes
from service.lifecycle import Lifecycle
from service.settings import Settings
from tests.api.conftest import client_of


@dataclass
class Slow:
    """A service whose every answer waits until it is let go."""

    lifecycle: Lifecycle
    client: httpx.AsyncClient
    begun: asyncio.Event
    go_on: asyncio.Event

    async def ask(self) -> asyncio.Task[httpx.Response]:
        """A request that has begun."""
        self.begun.clear()
        asked = asyncio.create_task(self.client.get("/slow"))
        await asyncio.wait_for(self.begun.wait(), 60)
        return asked

    def stop(self, delay: float = 0.0, grace: float = 60.0, hurry: bool = False) -> asyncio.Task[None]:
        """Tell it to stop."""
        return asyncio.create_task(self.lifecycle.stop(delay, grace, lambda: hurry))


@pytest.fixture
async def slow() -> AsyncIterator[Slow]:
    begun, go_on, lifecycle = asyncio.Event(), asyncio.Event(), Lifecycle()

    async def answer(scope, receive, send):
        begun.set()
        await go_on.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})

    edge = Edge(Routes(Starlette(), {("GET", "/slow"): answer}), answer, Settings(), lifecycle)
    async with client_of(edge) as client:
        yield Slow(lifecycle, client, begun, go_on)


async def phase(slow: Slow, name: str) -> None:
    while slow.lifecycle.phase != name:
        await asyncio.sleep(0.01)


async def test_what_runs_is_finished_and_what_is_new_is_refused(slow):
    running = await slow.ask()
    stopping = slow.stop()
    await phase(slow, "refusing")
    refused = await slow.client.get("/slow")
    assert (refused.status_code, refused.json()["code"]) == (503, "shutting_down")
    assert int(refused.headers["retry-after"]) > 0
    assert not stopping.done()
    slow.go_on.set()
    assert (await running).text == "done"
    await asyncio.wait_for(stopping, 60)


async def test_what_does_not_finish_within_the_grace_is_told_and_not_cut_off(slow):
    running = await slow.ask()
    await asyncio.wait_for(slow.stop(grace=0.1), 60)
    answer = await asyncio.wait_for(running, 60)
    assert (answer.status_code, answer.json()["code"]) == (503, "shutting_down")
    assert answer.headers["connection"] == "close"


async def test_during_the_delay_it_is_not_ready_but_takes_requests(slow):
    stopping = slow.stop(delay=60)
    await phase(slow, "stopping")
    slow.go_on.set()
    assert (await slow.client.get("/slow")).status_code == 200
    assert not slow.lifecycle.ending.is_set()
    stopping.cancel()


async def test_who_is_in_a_hurry_waits_for_nothing(slow):
    running = await slow.ask()
    await asyncio.wait_for(slow.stop(delay=60, grace=60, hurry=True), 60)
    assert (await running).json()["code"] == "shutting_down"


async def test_a_process_that_leaves_answers_each_connection_once_more(slow):
    slow.go_on.set()
    connections: set[object] = {"open"}
    leaving = asyncio.create_task(slow.lifecycle.leave(connections, 60, 300))
    await phase(slow, "leaving")
    answer = await slow.client.get("/slow")
    assert (answer.status_code, answer.headers["connection"]) == (200, "close")
    assert not leaving.done()
    connections.clear()
    await asyncio.wait_for(leaving, 60)


async def test_a_connection_that_stays_silent_does_not_hold_it(slow):
    await asyncio.wait_for(slow.lifecycle.leave({"silent"}, 0.1, 300), 60)


async def test_streams_are_told_when_the_service_ends(slow):
    await slow.stop()
    assert slow.lifecycle.ending.is_set()
