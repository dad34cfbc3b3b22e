"""Clients that take their time with the head of a request, before uvicorn's own server."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from functools import partial

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from service.api.turned_away import answer_to
from service.heads import TimelyHeads, look_at

HEAD = b"GET / HTTP/1.1\r\nHost: test\r\n"
Talk = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Server:
    """A server whose connections are looked at when the test says so, at the time that it says."""

    def __init__(self, running: uvicorn.Server) -> None:
        self._running = running

    async def connect(self, said: bytes = b"") -> Talk:
        """A connection of which the server has heard so much."""
        known = set(self.connections)
        port = self._running.servers[0].sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await until(lambda: self.connections - known)
        (connection,) = self.connections - known
        if said:
            writer.write(said)
            await until(lambda: connection.began)
        return reader, writer

    @property
    def connections(self) -> set[TimelyHeads]:
        return set(self._running.server_state.connections)  # type: ignore[arg-type]

    def look(self, later_seconds: float, limit: float = 15.0) -> None:
        """What happens once a second, as if so much time had passed."""
        look_at(self.connections, asyncio.get_running_loop().time() + later_seconds, limit)


async def until(true: Callable[[], object]) -> None:
    """Wait until it is."""
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    app = Starlette(routes=[Route("/", lambda _: PlainTextResponse("here"), methods=["GET", "POST"])])
    config = uvicorn.Config(
        app, port=0, http=partial(TimelyHeads, answering=answer_to), log_config=None, lifespan="off"
    )
    running = uvicorn.Server(config)
    running.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    serving = asyncio.create_task(running.serve())
    await until(lambda: running.started)
    yield Server(running)
    running.should_exit = running.force_exit = True
    await serving


def problem(answer: bytes) -> dict:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head and b"connection: close" in head
    found = json.loads(body)
    assert found["request_id"].encode() in head
    return found


async def test_who_drips_headers_is_told_so_and_closed(server):
    reader, _ = await server.connect(HEAD)
    server.look(14)
    server.look(16)
    assert problem(await reader.read())["code"] == "timed_out"


async def test_who_says_nothing_at_all_is_closed_without_a_word(server):
    reader, _ = await server.connect()
    server.look(16)
    assert await reader.read() == b""


async def test_who_was_answered_may_be_idle_but_drip_neither_a_head_nor_empty_lines(server):
    for dripped, code in ((HEAD, "timed_out"), (b"\r\n", None)):
        reader, writer = await server.connect()
        writer.write(HEAD + b"\r\n")
        assert (await reader.readuntil(b"here")).startswith(b"HTTP/1.1 200")
        (connection,) = server.connections
        await until(lambda connection=connection: connection.timeout_keep_alive_task)
        server.look(60)  # idle: uvicorn's own watch is for that
        writer.write(dripped)
        await until(lambda connection=connection: connection.timeout_keep_alive_task is None)
        server.look(0)
        server.look(16)
        answer = await reader.read()
        assert problem(answer)["code"] == code if code else answer == b""
        await until(lambda: not server.connections)


async def test_a_head_that_never_ends_is_cut_off_by_its_size(server):
    reader, writer = await server.connect(HEAD)
    writer.write(b"X-Long: " + b"x" * 80_000)
    assert problem(await reader.read())["code"] == "too_large"


async def test_a_body_may_take_longer_and_be_larger(server):
    reader, writer = await server.connect()
    writer.write(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 200000\r\n\r\n" + b"x" * 100_000)
    (connection,) = server.connections
    await until(lambda: connection.cycle is not None)
    server.look(60)
    writer.write(b"x" * 100_000)
    assert (await reader.readuntil(b"here")).startswith(b"HTTP/1.1 200")
