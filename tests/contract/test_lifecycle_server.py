"""The server of a process: what is set on uvicorn's, and when the process asks to be replaced."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
import uvicorn

from service import server
from service.keeper import REPLACE, Line
from service.lifecycle import Lifecycle
from service.porter import plainly
from service.server import KeptServer
from service.settings import Settings


async def application(*_: object) -> None:
    """Never asked."""


async def answering_application(scope: Any, receive: Any, send: Any) -> None:
    """Has nothing to say, at once."""
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


def kept(**settings: Any) -> KeptServer:
    """The server of a process with these settings, just begun."""
    made = KeptServer(
        uvicorn.Config(application), Lifecycle(), Settings(**settings), server.stop_gateway, answering=plainly
    )
    made._began = 0.0
    return made


@pytest.fixture
def keeper(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The keeper's end of the line of this process."""
    mine, its = socket.socketpair()
    with mine, its:
        its.setblocking(False)
        monkeypatch.setattr(server, "_line", Line(mine, "first"))
        yield its


def asked(keeper: socket.socket) -> bool:
    """Whether a successor was asked for."""
    try:
        return keeper.recv(16) == REPLACE
    except BlockingIOError:
        return False


def test_by_default_times_and_numbers_are_those_that_were_promised():
    settings = Settings()
    assert (settings.keep_alive_seconds, settings.request_timeout_seconds, settings.graceful_seconds) == (65, 300, 30)
    assert (settings.max_requests, settings.max_requests_jitter) == (1000, 100)
    assert settings.worker_memory_bytes > 0
    assert kept().config.timeout_keep_alive == 65
    assert {900 <= kept()._limit <= 1100 for _ in range(50)} == {True}


def test_a_process_that_holds_more_than_it_may_asks_for_a_successor_once_it_is_old_enough(keeper):
    held = psutil.Process().memory_info().rss
    small = kept(worker_memory_bytes=held // 2)
    small._age = float("inf")
    small._consider_leaving()
    assert not asked(keeper)
    small._age = 0.0
    small._consider_leaving()
    assert asked(keeper)
    small._consider_leaving()
    assert not asked(keeper), "it has just asked"


def test_a_process_that_holds_less_or_may_hold_anything_stays(keeper):
    for most in (100 * psutil.Process().memory_info().rss, 0):
        modest = kept(worker_memory_bytes=most)
        modest._age = 0.0
        modest._consider_leaving()
        assert not asked(keeper)


def test_a_process_that_has_answered_enough_asks_for_a_successor(keeper):
    busy = kept(max_requests=10, max_requests_jitter=0)
    busy._age = 0.0
    busy._lifecycle.answered = 9
    busy._consider_leaving()
    assert not asked(keeper)
    busy._lifecycle.answered = 10
    busy._consider_leaving()
    assert asked(keeper)


async def test_a_caller_whose_request_has_not_come_yet_is_not_cut_off_when_the_service_ends(monkeypatch):
    monkeypatch.setattr(server, "LAST_ANSWERS_SECONDS", 120)
    config = uvicorn.Config(answering_application, host="127.0.0.1", port=0, lifespan="off", log_level="critical")
    ending = KeptServer(config, Lifecycle(), Settings(drain_delay_seconds=0), server.stop_gateway, answering=plainly)
    serving = asyncio.create_task(ending._serve())
    while not ending.started:
        await asyncio.sleep(0.01)
    reader, writer = await asyncio.open_connection(*ending.servers[0].sockets[0].getsockname())
    ending.should_exit = True
    while ending.servers[0].sockets:  # it takes no new connections any more
        await asyncio.sleep(0.01)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 204 ")
    writer.close()
    await serving
