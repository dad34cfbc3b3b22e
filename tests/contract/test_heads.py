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
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from service.api.turned_away import answer_to
from service.heads import TimelyHeads, look_at

HEAD = b"GET / HTTP/1.1\r\nHost: test\r\n"
CHUNKED = b"POST /read HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"
Talk = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Server:
    """A server whose connections are looked at when the test says so, at the time that it says."""

    def __init__(self, running: uvicorn.Server, ready: asyncio.Event) -> None:
        self._running = running
        self.ready = ready
        """Whether what was read may be answered."""
        self._writers: list[asyncio.StreamWriter] = []
        """A writer that nobody holds closes its connection."""

    async def connect(self, said: bytes = b"") -> Talk:
        """A connection of which the server has heard so much."""
        known = set(self.connections)
        port = self._running.servers[0].sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        self._writers.append(writer)
        await until(lambda: self.connections - known)
        (connection,) = self.connections - known
        if said:
            writer.write(said)
            await until(lambda: connection.began)
        return reader, writer

    @property
    def connections(self) -> set[TimelyHeads]:
        return set(self._running.server_state.connections)  # type: ignore[arg-type]

    def look(self, later_seconds: float) -> None:
        """What happens once a second, as if so much time had passed."""
        look_at(self.connections, asyncio.get_running_loop().time() + later_seconds, head_seconds=15, body_seconds=300)

    def hear(self, said: bytes) -> TimelyHeads:
        """The only connection, after it got all these bytes at once."""
        (connection,) = self.connections
        connection.data_received(said)
        return connection


async def until(true: Callable[[], object]) -> None:
    """Wait until it is."""
    deadline = time.monotonic() + 120
    while not true():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def rest(reader: asyncio.StreamReader) -> bytes:
    """What comes until the connection is closed."""
    return await asyncio.wait_for(reader.read(), 120)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    ready = asyncio.Event()
    ready.set()

    async def read(request: Request) -> Response:
        body = await request.body()
        await ready.wait()
        return PlainTextResponse(f"read {len(body)}.")

    routes = [
        Route("/", lambda _: PlainTextResponse("here"), methods=["GET", "POST"]),
        Route("/read", read, methods=["POST"]),
        Route("/told", lambda request: JSONResponse(dict(request.headers)), methods=["GET", "POST"]),
        Route("/refuse", lambda _: PlainTextResponse("no", status_code=401), methods=["POST"]),
    ]
    app = Starlette(routes=routes)
    config = uvicorn.Config(
        app,
        port=0,
        http=partial(TimelyHeads, answering=answer_to),
        log_config=None,
        lifespan="off",
        timeout_keep_alive=3600,
    )
    running = uvicorn.Server(config)
    running.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    serving = asyncio.create_task(running.serve())
    await until(lambda: running.started)
    yield Server(running, ready)
    ready.set()
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
    server.look(5)
    assert not reader.at_eof()
    server.look(16)
    assert problem(await rest(reader))["code"] == "timed_out"


async def test_who_says_nothing_at_all_is_closed_without_a_word(server):
    reader, _ = await server.connect()
    server.look(16)
    assert await rest(reader) == b""


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
        answer = await rest(reader)
        assert problem(answer)["code"] == code if code else answer == b""
        await until(lambda: not server.connections)


async def test_a_head_that_never_ends_is_cut_off_by_its_size(server):
    reader, writer = await server.connect(HEAD)
    writer.write(b"X-Long: " + b"x" * 80_000)
    assert problem(await rest(reader))["code"] == "too_large"


async def test_a_body_may_take_longer_and_be_larger(server):
    reader, writer = await server.connect()
    writer.write(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 200000\r\n\r\n" + b"x" * 100_000)
    (connection,) = server.connections
    await until(lambda: connection.cycle is not None)
    server.look(60)
    writer.write(b"x" * 100_000)
    assert (await reader.readuntil(b"here")).startswith(b"HTTP/1.1 200")


async def refused(server: Server) -> tuple[Talk, TimelyHeads]:
    """A connection whose request was refused; a first part of 1 MB has come since."""
    reader, writer = await server.connect()
    writer.write(b"POST /refuse HTTP/1.1\r\nHost: test\r\nContent-Length: 1000000\r\n\r\n")
    assert (await reader.readuntil(b"no")).startswith(b"HTTP/1.1 401")
    connection = server.hear(b"x" * 100_000)
    assert connection.timeout_keep_alive_task is None
    server.look(0)
    return (reader, writer), connection


async def test_a_refused_body_may_go_on_arriving_so_that_its_client_can_read_why(server):
    (reader, writer), connection = await refused(server)
    server.look(60)
    server.hear(b"x" * 800_000)
    server.look(200)
    server.hear(b"x" * 100_000)
    writer.write(HEAD + b"\r\n")
    assert (await reader.readuntil(b"here")).startswith(b"HTTP/1.1 200")
    assert connection in server.connections


async def test_a_refused_body_does_not_come_for_ever(server):
    (reader, _), _ = await refused(server)
    server.look(301)
    assert await rest(reader) == b""


async def test_after_a_refused_body_the_next_head_has_its_time_again(server):
    (reader, _), connection = await refused(server)
    server.hear(b"x" * 900_000)
    server.look(400)
    assert not connection.transport.is_closing()
    server.look(416)
    assert await rest(reader) == b""


async def test_trailers_may_come(server):
    reader, writer = await server.connect()
    server.hear(CHUNKED + b"1\r\na\r\n0\r\n")
    server.hear(b"X-Digest: ")
    server.look(5)
    writer.write(b"abc\r\n\r\n")
    assert (await reader.readuntil(b"read 1.")).startswith(b"HTTP/1.1 200")


TRAILERS = b"0\r\nAuthorization: Bearer forged\r\nX-Forwarded-For: 9.9.9.9\r\nHost: elsewhere\r\nX-New: a\r\n\r\n"


@pytest.mark.parametrize("size", [1, 50, 10_000])
async def test_trailers_are_no_headers_in_whatever_pieces_they_come(server, size):
    reader, writer = await server.connect()
    said = CHUNKED.replace(b"/read", b"/told") + b"1\r\na\r\n" + TRAILERS
    for start in range(0, len(said), size):
        server.hear(said[start : start + size])
    answer = await reader.readuntil(b"}")
    assert json.loads(answer.partition(b"\r\n\r\n")[2]) == {"host": "test", "transfer-encoding": "chunked"}
    writer.write(b"GET /told HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer good\r\n\r\n")
    answer = await reader.readuntil(b"}")
    assert json.loads(answer.partition(b"\r\n\r\n")[2]) == {"host": "test", "authorization": "Bearer good"}


async def test_trailers_that_never_end_are_cut_off_by_their_size(server):
    reader, _ = await server.connect()
    server.hear(CHUNKED + b"1\r\na\r\n0\r\n")
    for _ in range(17):
        server.hear(b"X-More: " + b"x" * 4000 + b"\r\n")
    assert await rest(reader) == b""


async def test_who_drips_trailers_is_closed(server):
    reader, _ = await server.connect()
    server.hear(CHUNKED + b"1\r\na\r\n0\r\n")
    server.hear(b"X")
    server.look(16)
    assert await rest(reader) == b""


async def test_chunks_are_no_trailers_however_many_come_and_however_slowly(server):
    reader, _ = await server.connect()
    server.hear(CHUNKED)
    for _ in range(30):
        server.hear(b"1388\r\n")
        server.look(60)
        server.hear(b"x" * 5000 + b"\r\n")
    server.hear(b"0\r\n\r\n")
    assert (await reader.readuntil(b"read 150000.")).startswith(b"HTTP/1.1 200")


async def begin_a_second(server: Server) -> Talk:
    """A connection with a request that is not answered yet, and the beginning of another."""
    server.ready.clear()
    talk = await server.connect()
    first = b"POST /read HTTP/1.1\r\nHost: test\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000
    server.hear(first + b"GET / HTTP/1.1\r\n")
    return talk


async def test_the_next_request_may_begin_before_the_answer(server):
    reader, writer = await begin_a_second(server)
    server.look(60)
    server.ready.set()
    assert (await reader.readuntil(b"read 100000.")).startswith(b"HTTP/1.1 200")
    writer.write(b"Host: test\r\n\r\n")
    assert b"HTTP/1.1 200" in await reader.readuntil(b"here")


async def test_a_next_head_that_never_ends_is_cut_off_after_the_answer_before_it(server):
    reader, _ = await begin_a_second(server)
    connection = server.hear(b"X-Long: " + b"x" * 80_000)
    assert connection.flow.read_paused
    server.ready.set()
    assert (await reader.readuntil(b"read 100000.")).startswith(b"HTTP/1.1 200")
    assert problem(await rest(reader))["code"] == "too_large"


async def test_who_drips_a_next_head_is_told_so_after_the_answer_before_it(server):
    reader, _ = await begin_a_second(server)
    server.ready.set()
    assert (await reader.readuntil(b"read 100000.")).startswith(b"HTTP/1.1 200")
    server.look(16)
    assert problem(await rest(reader))["code"] == "timed_out"
