"""Processes that are killed while requests run: only their own requests fail, politely, and it recovers by itself."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import psutil
import pytest
import pytest_asyncio

from tests.faults.light_load import Record, eventually, light_load, requests
from tests.faults.processes import GATEWAY, keepers, nurseries, pids, workers
from tests.serving import RunningService, running_service

pytestmark = [pytest.mark.server, pytest.mark.asyncio(loop_scope="module")]

SENDERS = 6
CUT_OFF = {"ReadError", "RemoteProtocolError", "WriteError", "ConnectError"}
"""How a connection ends whose process was killed."""


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    with running_service(tmp_path_factory.mktemp("faulty"), workers=2) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def load(faulty: RunningService, samples: Path) -> AsyncIterator[Record]:
    wanted = requests(samples)
    async with light_load(faulty.address, wanted) as record:
        await eventually(lambda: _answered(record, {one.kind for one in wanted}))
        yield record
    assert record.wrong() == []


async def test_a_killed_runner_fails_its_own_requests_alone(faulty, load):
    before = pids(workers(faulty, "speech_runner"))
    workers(faulty, "speech_runner")[0].kill()
    await eventually(lambda: workers(faulty, "speech_runner") and not before & pids(workers(faulty, "speech_runner")))
    await _goes_on(load)
    assert set(load.codes("audio")) <= {"", "model_unavailable"}
    assert _others(load, "audio") == {""}
    assert load.impolite() == []


@pytest.mark.skipif("FAULTS" not in os.environ, reason="BentoML looks every 10 s; FAULTS=long waits for it")
async def test_a_runner_whose_keeper_is_killed_too_comes_back(faulty, load):
    kept = keepers(faulty, "face_runner")
    for process in (*kept, *workers(faulty, "face_runner")):
        process.kill()
    await eventually(lambda: workers(faulty, "face_runner") and not pids(kept) & pids(keepers(faulty, "face_runner")))
    await _goes_on(load)
    assert set(load.codes("image")) <= {"", "model_unavailable"}
    assert _others(load, "image") == {""}
    assert load.impolite() == []


async def test_killed_decoders_fail_what_they_decoded_and_are_started_again(faulty, load):
    before = pids(nurseries(faulty))
    for nursery in nurseries(faulty):
        nursery.kill()
    await _goes_on(load)
    assert not before & pids(nurseries(faulty))
    assert set(load.codes("image")) | set(load.codes("audio")) <= {"", "overloaded"}
    assert {code for kind in _texts(load) for code in load.codes(kind)} == {""}
    assert load.impolite() == []


async def test_a_killed_gateway_process_cuts_off_its_own_requests_and_is_replaced(faulty, load):
    before = workers(faulty, GATEWAY)
    before[0].kill()
    await eventually(lambda: len(workers(faulty, GATEWAY)) == 2 and before[0].pid not in pids(workers(faulty, GATEWAY)))
    await _goes_on(load)
    assert set(load.codes()) <= {"", *CUT_OFF}
    assert sum(count for code, count in load.codes().items() if code) <= SENDERS
    assert pids(before) & pids(workers(faulty, GATEWAY)) == {before[1].pid}


async def test_while_a_gateway_process_crashes_again_and_again_its_sibling_takes_every_caller(faulty, load):
    keeper = keepers(faulty, GATEWAY)[0]
    for _ in range(3):
        await eventually(keeper.children)
        for worker in keeper.children():
            worker.kill()
            await asyncio.to_thread(worker.wait)
    async with httpx.AsyncClient(base_url=faulty.address, timeout=60, headers={"Connection": "close"}) as client:
        while not keeper.children():  # each on a connection of its own, which any process of the service may take
            answer = await client.post("/v1/text", json={"text": "I love it"})
            assert answer.status_code == 200, answer.text
    await eventually(lambda: len(workers(faulty, GATEWAY)) == 2)
    await _goes_on(load)
    assert set(load.codes()) <= {"", *CUT_OFF}


async def _goes_on(load: Record) -> None:
    """Wait until every kind of request is answered again, twice."""
    for _ in range(2):
        since = max(one.began for one in load.answers)
        await eventually(lambda since=since: _answered(load, {one.kind for one in load.answers}, since))


async def _answered(load: Record, kinds: set[str], since: float = 0.0) -> bool:
    await asyncio.sleep(0)
    return all(load.codes(kind, since)[""] for kind in kinds)


def _others(load: Record, kind: str) -> set[str]:
    return {code for other in {one.kind for one in load.answers} - {kind} for code in load.codes(other)}


def _texts(load: Record) -> set[str]:
    return {one.kind for one in load.answers if one.kind.startswith("text")}


async def test_nothing_is_left_of_processes_that_were_killed(faulty):
    await eventually(lambda: not any(_is_unburied(one) for one in faulty.family()))


def _is_unburied(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
