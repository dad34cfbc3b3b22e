"""What the load generator counts as lost, and what any client of HTTP/1.1 does without a word."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import repeat

import pytest

from tests.load.http_load import Result, get_request, load

REQUEST = get_request("service", "/")
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LAST = b"HTTP/1.1 200 OK\r\nconnection: close\r\nContent-Length: 2\r\n\r\nok"
HALF = ANSWER[:-1]
LINGERS = 0.1
"""Seconds until a connection is closed whose last answer said so."""


@asynccontextmanager
async def serving(answers: Callable[[int], bytes], closes: Callable[[int], bool]) -> AsyncIterator[tuple[str, int]]:
    """Gives its nth answer, and closes the connection after it or not."""
    asked = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        while await reader.read(len(REQUEST)):
            asked += 1
            writer.write(answers(asked))
            if closes(asked):
                if answers(asked) == LAST:
                    await asyncio.sleep(LINGERS)
                break  # at once, so that the end comes with the answer, however late the next request is
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()


async def seen(answers: Callable[[int], bytes], closes: Callable[[int], bool]) -> Result:
    async with serving(answers, closes) as address:
        return await load(address, lambda: repeat(REQUEST), connections=1, seconds=0.5, rate=40)


@pytest.mark.parametrize("answer", [ANSWER, LAST])
async def test_a_connection_closed_between_two_requests_is_opened_again(answer):
    result = await seen(lambda _: answer, closes=lambda number: number % 3 == 0)
    assert result.statuses == {200: 20} and result.errors == 0


@pytest.mark.parametrize("answer", [b"", HALF])
async def test_a_request_without_a_whole_answer_is_lost_and_the_next_is_asked_all_the_same(answer):
    result = await seen(lambda number: answer if number == 5 else ANSWER, closes=lambda number: number == 5)
    assert result.broken == result.errors == 1 and result.statuses == {200: 19}
