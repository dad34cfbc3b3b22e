"""`/v1/stream` of the really started service, through the client."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
from websockets.asyncio.client import connect

from tests.faults.light_load import eventually
from tests.faults.processes import GATEWAY, workers
from tests.serving import RunningService, running_service
from ui.client import Problem, Unreachable
from ui.client.stream import AsyncStream, Stream, StreamResult, StreamSummary, StreamWarning

pytestmark = pytest.mark.server

PORTRAIT = Path("ui/examples/portrait.jpg").read_bytes()


async def until_open(service: RunningService, wanted: int) -> None:
    """Wait until the service has so many streams open; those of tests before this one may just be ending."""
    async with httpx.AsyncClient(base_url=service.address, timeout=60) as client:
        await eventually(lambda: _has_open(client, wanted))


async def _has_open(client: httpx.AsyncClient, wanted: int) -> bool:
    rows = (await client.get("/metrics")).text.splitlines()
    return next((float(row.split()[-1]) for row in rows if row.startswith("active_connections")), 0.0) == wanted


async def test_pictures_sound_and_texts_of_one_moment_become_one_verdict(service: RunningService) -> None:
    events = []
    await until_open(service, 0)
    async with AsyncStream(service.address) as stream:
        await until_open(service, 1)
        await stream.picture(PORTRAIT)
        await stream.sound(np.zeros(48_000, "<i2").tobytes())
        await stream.text("I love it")
        await stream.stop()
        async for event in stream:
            events.append(event)
    results = [event for event in events if isinstance(event, StreamResult)]
    assert {result.source for result in results} == {"face", "speech", "text"}
    assert [result.sequence for result in results] == list(range(1, len(results) + 1))
    assert all(result.captured and result.latency >= 0 for result in results)
    summary = events[-1]
    assert isinstance(summary, StreamSummary)
    assert summary.analysis.sentiment.label == "positive"
    assert summary.analysis.kind == "multimodal"
    assert summary.analysis.raw["id"] == summary.analysis.id
    assert service.kept_files() == []


def test_the_blocking_client_does_the_same(service: RunningService) -> None:
    with Stream(service.address, modalities=["face"], timestamps=False) as stream:
        stream.picture(PORTRAIT)
        analysis = stream.summary()
    assert analysis.modalities.face is not None
    assert len(analysis.modalities.face.faces) == 1


async def test_a_stream_that_the_service_ends_tells_its_problem(service: RunningService) -> None:
    async with AsyncStream(service.address, modalities=["face"]) as stream:
        await stream.sound(bytes(3200))
        with pytest.raises(Problem) as raised:
            async for _ in stream:
                pass
    assert raised.value.code == "invalid_input"


async def test_a_picture_that_cannot_be_read_is_a_warning(service: RunningService) -> None:
    async with AsyncStream(service.address, modalities=["face"]) as stream:
        await stream.picture(b"these are just words")
        await stream.stop()
        events = [event async for event in stream]
    assert any(isinstance(event, StreamWarning) and event.code == "unsupported_media" for event in events)


async def test_a_service_that_is_not_there_is_said_plainly() -> None:
    with pytest.raises(Unreachable, match="is not reachable"):
        await AsyncStream("http://127.0.0.1:9").open()


async def test_an_address_without_a_stream_is_a_problem(service: RunningService) -> None:
    stream = AsyncStream(f"{service.address}/elsewhere")
    with pytest.raises(Problem) as raised:
        await stream.open()
    assert raised.value.code == "not_found"


async def test_a_client_whose_connection_is_cut_is_forgotten(service: RunningService) -> None:
    await until_open(service, 0)
    stream = AsyncStream(service.address)
    await stream.open()
    await stream.picture(PORTRAIT)
    await until_open(service, 1)
    assert stream._connection is not None
    stream._connection.transport.abort()
    await until_open(service, 0)


async def test_memory_does_not_grow_with_a_client_that_does_not_read(service: RunningService) -> None:
    (gateway,) = workers(service, GATEWAY)
    address = service.address.replace("http", "ws") + "/v1/stream"
    async with connect(address, proxy=None, max_queue=1, compression=None, close_timeout=1) as socket:
        await socket.send(json.dumps({"type": "start", "modalities": ["speech"]}))
        before = gateway.memory_info().rss
        sent, until = 0, time.monotonic() + 2
        while time.monotonic() < until:
            try:
                await asyncio.wait_for(socket.send(b"\x02" + bytes(320_000)), 1)
            except asyncio.TimeoutError:
                break
            sent += 1
        assert gateway.memory_info().rss - before < 60e6


async def test_when_the_service_stops_streams_get_their_summary(tmp_path: Path) -> None:
    with running_service(tmp_path) as service:
        async with AsyncStream(service.address, modalities=["face"]) as stream:
            await stream.picture(PORTRAIT)
            events = aiter(stream)
            while not isinstance(await anext(events), StreamResult):
                pass
            stopping = asyncio.create_task(asyncio.to_thread(service.stop))
            rest = []
            with pytest.raises(Problem) as raised:
                async for event in events:
                    rest.append(event)
            await stopping
    assert raised.value.code == "shutting_down"
    assert [type(event) for event in rest] == [StreamSummary]
