"""What a service stands on gives way under load: slow clients, a full disk, Redis and PostgreSQL that stop.

Nothing is answered wrongly, nothing accepted is lost, and it recovers without a hand.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from tests.databases import PostgresServer, running_postgres
from tests.faults.light_load import Record, eventually, light_load, requests
from tests.faults.small_disk import fill, small_disk
from tests.redis_running import RunningRedis, running_redis
from tests.serving import RunningService, running_service

pytestmark = [
    pytest.mark.server,
    pytest.mark.postgres,
    pytest.mark.redis,
    pytest.mark.asyncio(loop_scope="module"),
]

SLOW_CLIENTS = 40
TIME_LIMIT_SECONDS = 10.0


@dataclass(frozen=True)
class House:
    """The service and what it stands on; `disk` is the small disk of its uploads, None where none could be made."""

    service: RunningService
    redis: RunningRedis
    postgres: PostgresServer
    disk: Path | None


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("house")
    with running_redis() as redis, running_postgres() as postgres, small_disk(folder / "uploads") as disk:
        own = {
            "database_url": postgres.create(),
            "limits_url": redis.url,
            "rate_limit": "1000000/minute",
            "request_timeout_seconds": TIME_LIMIT_SECONDS,
            "max_body_bytes": 1_500_000,  # for two of which the small disk has room
            "transcript_model": "off",
        }
        with running_service(folder, **own) as service:
            yield House(service, redis, postgres, disk)


@pytest_asyncio.fixture(loop_scope="module")
async def load(house: House, samples: Path) -> AsyncIterator[Record]:
    wanted = requests(samples)
    async with light_load(house.service.address, wanted, pause_seconds=0.1) as record:
        await more(record)
        yield record
        await more(record)
    assert record.wrong() == []


async def more(record: Record) -> None:
    """Wait for some more good answers."""
    enough = record.codes()[""] + 15
    await eventually(lambda: record.codes()[""] > enough)


async def test_clients_that_send_a_byte_a_second_hold_up_nobody_and_are_ended(house: House, load: Record):
    port = httpx.URL(house.service.address).port
    slow = [asyncio.create_task(drip(port, headers=number % 2 == 0)) for number in range(SLOW_CLIENTS)]
    await more(load)
    ended = await asyncio.wait_for(asyncio.gather(*slow[1::2]), 6 * TIME_LIMIT_SECONDS)
    assert all(b" 504 " in answer and b"timed_out" in answer for answer in ended)
    for task in slow:
        task.cancel()
    await asyncio.gather(*slow, return_exceptions=True)
    assert set(load.codes()) == {""}


async def drip(port: int | None, *, headers: bool) -> bytes:
    """Headers, or a body, one byte a second; what was answered."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        head = b"POST /v1/text HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        writer.write(head if headers else head + b"Content-Length: 100000\r\n\r\n")
        answer = asyncio.ensure_future(reader.readuntil(b'"}'))  # where a Problem ends
        while not answer.done():
            writer.write(b"X")
            await asyncio.wait([answer], timeout=1)
        return answer.result()
    finally:
        writer.close()


async def test_a_full_disk_refuses_files_says_so_and_takes_them_again_when_there_is_room(house: House, load: Record):
    if house.disk is None:
        pytest.skip("A small disk can be mounted by root alone.")
    hog = fill(house.disk)
    os.truncate(hog, hog.stat().st_size - 100_000)
    async with httpx.AsyncClient(base_url=house.service.address, timeout=60) as client:
        refused = await client.post("/v1/image", files={"file": bytes(1_000_000)})
        assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
        assert refused.headers["retry-after"]
        assert (await client.post("/v1/text", json={"text": "I love it"})).status_code == 200
        await eventually(lambda: health(client, "disk", well=False))
        assert (await client.get("/readyz")).status_code == 200
        hog.unlink()
        await eventually(lambda: health(client, "disk", well=True))
        taken = await client.post("/v1/image", files={"file": bytes(1_000_000)})
        assert taken.json()["code"] == "unsupported_media"
    assert set(load.codes()) <= {"", "overloaded"}
    assert load.impolite() == []


async def test_redis_and_postgresql_may_stop_and_start_again(house: House, load: Record):
    async with httpx.AsyncClient(base_url=house.service.address, timeout=60) as client:
        await stored(client, kept=True)
        house.redis.stop()
        house.postgres.stop()
        await more(load)
        await stored(client, kept=False)
        await eventually(lambda: health(client, "database", well=False))
        house.redis.start()
        house.postgres.start()
        await eventually(lambda: health(client, "database", well=True))
        await stored(client, kept=True)
        assert len((await client.get("/v1/history")).json()["items"]) == 2
    assert set(load.codes()) == {""}


async def stored(client: httpx.AsyncClient, *, kept: bool) -> None:
    """Ask for an answer to be stored; it says if it could not be."""
    answer = (await client.post("/v1/text", json={"text": "I love it", "store": True})).json()
    assert answer["sentiment"]["label"] == "positive"
    assert ("not_stored" in [warning["code"] for warning in answer["warnings"]]) is not kept


async def health(client: httpx.AsyncClient, of: str, *, well: bool) -> bool:
    """Whether what the service stands on is well, or is not, as /health tells it."""
    told = (await client.get("/health")).json()
    return (told["dependencies"][of] == "healthy") is well
