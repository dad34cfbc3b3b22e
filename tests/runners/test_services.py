"""The runners as processes, under `bentoml serve`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

import httpx
import psutil
import pytest
import pytest_asyncio

from service.runners.connect import connect
from service.settings import Settings
from tests.alike import differences
from tests.faults.processes import keepers, workers
from tests.runners.gate import answers
from tests.serving import RunningService, running_service

pytestmark = [pytest.mark.server, pytest.mark.asyncio(loop_scope="module")]

HEALTHY = dict.fromkeys(("text", "speech", "face", "detector", "transcript"), "healthy")


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    with running_service(tmp_path_factory.mktemp("gate"), "tests.runners.gate:Gate", max_batch=32) as running:
        deadline = time.monotonic() + 180
        while httpx.get(f"{running.address}/health", timeout=60).json() != HEALTHY:
            assert time.monotonic() < deadline, running.log.read_text()
            time.sleep(0.2)
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(gate: RunningService) -> AsyncIterator[httpx.AsyncClient]:
    limits = httpx.Limits(max_connections=200)
    async with httpx.AsyncClient(base_url=gate.address, timeout=60, limits=limits) as opened:
        yield opened


@pytest.mark.parametrize("path", ["/text", "/single"])
async def test_two_hundred_calls_at_once_all_succeed(client: httpx.AsyncClient, path: str) -> None:
    """BentoML's default connection settings lose calls here: it closes the session under those in flight."""
    for _ in range(2):
        calls = (client.get(path, params={"q": f"I love it {n}"}) for n in range(200))
        statuses = [response.status_code for response in await asyncio.gather(*calls)]
        assert statuses == [200] * 200


async def test_each_caller_gets_the_answer_to_its_own_text(client: httpx.AsyncClient) -> None:
    texts = ["I love it", "I hate it"] * 20
    responses = await asyncio.gather(*(client.get("/text", params={"q": text}) for text in texts))
    for text, response in zip(texts, responses, strict=True):
        negative, _, positive = response.json()
        assert (positive > negative) == (text == "I love it")


async def test_arrays_of_unequal_sizes_are_answered_as_in_one_process(client: httpx.AsyncClient) -> None:
    models = connect(Settings())
    await models.start()
    here = await answers(models)
    await models.close()
    there = (await client.get("/answers")).json()
    assert differences(there, here) == []


async def test_words_cross_whole(client: httpx.AsyncClient) -> None:
    assert (await client.get("/transcript")).json()["language"] == "en"


async def test_a_runner_that_is_killed_is_missed_and_comes_back(
    gate: RunningService, client: httpx.AsyncClient
) -> None:
    before = {process.pid for process in gate.family()}
    (keeper,) = keepers(gate, "text_runner")
    keeper.suspend()  # else another would be there before anybody could look
    try:
        text_runner(gate).kill()
        assert (await client.get("/health")).json()["text"] == "unhealthy"
        assert (await client.get("/answers")).status_code == 200
    finally:
        keeper.resume()
    assert (await client.get("/text", params={"q": "I love it"})).status_code in (200, 503)
    deadline = time.monotonic() + 120
    while (await client.get("/health")).json() != HEALTHY:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.5)
    assert (await client.get("/text", params={"q": "I love it"})).status_code == 200
    assert {process.pid for process in gate.family()} != before


def text_runner(gate: RunningService) -> psutil.Process:
    return workers(gate, "text_runner")[0]
