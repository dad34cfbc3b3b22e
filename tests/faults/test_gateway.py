"""A service whose processes are replaced under load, and that is told to stop under load: nobody is dropped."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from tests.faults.light_load import eventually, light_load, requests
from tests.faults.processes import GATEWAY, pids, workers
from tests.serving import RunningService, running_service

pytestmark = pytest.mark.server

RECYCLED = {"max_requests": 40, "max_requests_jitter": 5, "min_process_seconds": 4, "graceful_seconds": 10}
BOUNDARY = "a-boundary"
SERIES = re.compile(r"^(\w+(?:\{[^}]*\})?) (\S+)$", re.MULTILINE)


async def test_processes_are_replaced_and_the_service_stops_without_dropping_a_request(tmp_path: Path, samples: Path):
    with running_service(tmp_path, **RECYCLED) as running:
        first = {name: pids(workers(running, name)) for name in (GATEWAY, "face_runner")}
        async with light_load(running.address, requests(samples), pause_seconds=0.05) as load:
            await _replaced(running, first)
            await _scraped(running)
            early = await _scraped(running)  # with what the first look itself counted
            second = {name: pids(workers(running, name)) for name in first}
            await _replaced(running, second)
            late = await _scraped(running)
            assert set(load.codes()) == {""}
            kinds = {one.kind for one in load.answers}
            async with _half_asked(running):  # so that it waits until every sender has heard that it ends
                running.process.terminate()
                await eventually(lambda: all("shutting_down" in load.codes(kind) for kind in kinds))
            await eventually(lambda: "ConnectError" in load.codes())
        assert load.wrong() == []
        assert set(load.codes()) <= {"", "shutting_down", "ConnectError"}
        assert {one.code for one in load.answers if one.code and not one.retry_after} <= {"ConnectError"}
        running.process.wait(60)
        assert running.process.returncode == 0
    _counts_only_grow(early, late)
    _files_do_not_grow(tmp_path)


async def test_what_runs_when_the_service_is_told_to_stop_is_finished(tmp_path: Path, samples: Path):
    picture = (samples / "image" / "portrait_smile.jpg").read_bytes()
    go_on = asyncio.Event()
    with running_service(tmp_path, graceful_seconds=60) as running:
        async with httpx.AsyncClient(base_url=running.address, timeout=120) as client:
            form = _form(picture)
            headers = {"content-type": f"multipart/form-data; boundary={BOUNDARY}", "content-length": str(len(form))}
            asked = asyncio.create_task(client.post("/v1/image", content=_halting(form, go_on), headers=headers))
            await eventually(running.kept_files)
            running.process.terminate()
            await eventually(lambda: _refuses(running))
            assert not asked.done()
            go_on.set()
            assert (await asked).status_code == 200
        running.process.wait(60)
        assert running.kept_files() == []


@asynccontextmanager
async def _half_asked(running: RunningService) -> AsyncIterator[None]:
    """While a request is being answered whose body does not come."""
    reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(running.address).port)
    writer.write(b"POST /v1/text HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n")
    writer.write(b"Content-Length: 9\r\nExpect: 100-continue\r\n\r\n")
    try:
        assert b" 100 " in await reader.readline()
        yield
    finally:
        writer.close()


def _form(content: bytes) -> bytes:
    head = f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n'
    return head.encode() + content + f"\r\n--{BOUNDARY}--\r\n".encode()


async def _halting(body: bytes, go_on: asyncio.Event) -> AsyncIterator[bytes]:
    """The first half, and when it may go on the second."""
    yield body[: len(body) // 2]
    await go_on.wait()
    yield body[len(body) // 2 :]


async def _replaced(running: RunningService, before: dict[str, set[int]]) -> None:
    """Wait until other processes alone do the work."""
    await eventually(lambda: all(_moved(pids(workers(running, name)), old) for name, old in before.items()))


def _moved(now: set[int], before: set[int]) -> bool:
    return bool(now) and not now & before


async def _scraped(running: RunningService) -> dict[str, float]:
    async with httpx.AsyncClient(base_url=running.address, timeout=30) as client:
        for path in ("/nowhere/1", "/nowhere/2", "/problems/too_large", f"/v1/models/{id(client)}/calibration"):
            await client.request("GET", path)
            await client.request("BREW", path, headers={"X-Request-ID": f"id-{id(path)}"})
        return {name: float(value) for name, value in SERIES.findall((await client.get("/metrics")).text)}


def _counts_only_grow(early: dict[str, float], late: dict[str, float]) -> None:
    """What was counted by processes that are gone still counts, and the series are the same ones."""
    assert set(late) == set(early)
    counted = [name for name in early if re.match(r"\w+_(total|count|bucket|sum)\b", name)]
    assert counted and all(late[name] >= early[name] for name in counted)
    texts = 'http_requests_total{endpoint="/v1/text",method="POST",status="200"}'
    assert late[texts] > early[texts] > 0


def _files_do_not_grow(folder: Path) -> None:
    """Four keepers and as many workers write a few files each; the dead are in two."""
    names = [file.name for file in (folder / "bentoml" / "prometheus_multiproc_dir").glob("*.db")]
    assert {"counter_past.db", "histogram_past.db"} <= set(names)
    assert len(names) <= 2 + 8 * 4


async def _refuses(running: RunningService) -> bool:
    async with httpx.AsyncClient(base_url=running.address, timeout=60) as client:
        ready, asked = await client.get("/readyz"), await client.post("/v1/text", json={"text": "I love it"})
    refused = ready.status_code == asked.status_code == 503 and asked.headers["connection"] == "close"
    return refused and ready.json()["code"] == asked.json()["code"] == "shutting_down"
