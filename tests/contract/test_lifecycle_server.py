"""The server of a process: what is set on uvicorn's, and when the process asks to be replaced."""

from __future__ import annotations

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
