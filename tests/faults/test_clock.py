"""The clock of the machine jumps an hour ahead and back under load: nobody is dropped, delayed or limited for it.

Nor does a job lose its worker, or an owner a result.
"""

from __future__ import annotations

import asyncio
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.faults.light_load import Record, eventually, light_load, requests
from tests.jobs_running import RunningWorker, ended, running_worker
from tests.serving import RunningService, running_service

pytestmark = pytest.mark.server

SOURCE = Path(__file__).with_name("clock_ahead.c")
"""Not libfaketime, which fakes waits as well: with it, sleeping fails with EINVAL after a jump back."""
HOUR = 3600.0
SENTENCE = b"What a wonderful day it has been for all of us here\n"


@dataclass(frozen=True)
class Clock:
    """The clock that a service sees, and the service."""

    file: Path
    service: RunningService

    def jump(self, seconds: float) -> None:
        """So far ahead of the real time it is from now on, for every process."""
        with self.file.open("r+b") as file:
            file.write(struct.pack("d", seconds))


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if sys.platform != "linux" or compiler is None:
        pytest.skip("Moving the clock of one service needs Linux and a C compiler.")
    file, library = tmp_path / "ahead", tmp_path / "clock_ahead.so"
    file.write_bytes(struct.pack("d", 0.0))
    subprocess.run((compiler, "-shared", "-fPIC", "-O2", "-o", str(library), str(SOURCE)), check=True)
    with monkeypatch.context() as patch:
        patch.setenv("LD_PRELOAD", str(library))
        patch.setenv("CLOCK_AHEAD", str(file))
        with running_service(tmp_path, transcript_model="off", rate_limit="100000/minute") as service:
            yield Clock(file, service)


async def test_a_clock_that_jumps_changes_nothing_but_the_times_that_are_told(clock: Clock, samples: Path):
    async with (
        light_load(clock.service.address, requests(samples), pause_seconds=0.1) as load,
        httpx.AsyncClient(base_url=clock.service.address, timeout=60) as client,
    ):
        start = await told(client)
        for jump in (HOUR, -HOUR, 0.0):
            clock.jump(jump)
            await more(load)
            assert abs(await told(client) - start - jump) < HOUR / 2
            ready = await client.get("/readyz")
            assert ready.status_code == 200, ready.text
            limited = await client.post("/v1/text", json={"text": "I love it"})
            assert limited.status_code == 200
            assert 0 <= int(limited.headers["ratelimit-reset"]) <= 60
    assert set(load.codes()) == {""}
    assert load.wrong() == []


async def test_a_clock_that_jumps_takes_no_job_from_its_worker_and_no_result_from_its_owner(clock: Clock):
    folder = clock.service.log.parent
    kept = {"job_hours": 0.5, "job_part_rows": 100, "min_free_bytes": 0, "state_folder": folder / "state"}
    with (
        running_worker(folder, ("-m", "tests.faults.hasty_worker"), **kept) as worker,
        httpx.Client(base_url=clock.service.address, timeout=60) as http,
    ):
        first = send(http, SENTENCE)
        assert (await asyncio.to_thread(ended, http, first, 300))["state"] == "done"
        running = send(http, SENTENCE * 1500)
        await eventually(lambda: http.get(f"/v1/jobs/{running}").json()["progress"]["done"] > 0, 300)
        clock.jump(HOUR)
        await eventually(lambda: "the clock jumped" in worker.log.read_text(), 300)
        assert (await asyncio.to_thread(ended, http, running, 300))["state"] == "done"
        clock.jump(0.0)
        await sweeps(worker)
        for job, rows in ((first, 1), (running, 1500)):
            assert len(http.get(f"/v1/jobs/{job}/result").json()["results"]) == rows
        begun = [line for line in worker.log.read_text().splitlines() if "job begun" in line]
        assert len(begun) == 2, "nobody took a job from a worker that was at it"


def send(http: httpx.Client, texts: bytes) -> str:
    """A job of texts; its identifier."""
    taken = http.post("/v1/jobs", files={"file": ("texts.txt", texts)})
    assert taken.status_code == 202, taken.text
    return taken.json()["id"]


async def sweeps(worker: RunningWorker) -> None:
    """Wait until results were looked after again."""
    before = worker.log.read_text().count("the clock jumped")
    await eventually(lambda: worker.log.read_text().count("the clock jumped") > before + 1)


async def told(client: httpx.AsyncClient) -> float:
    """The time that the service tells, as Unix time."""
    return (await client.get("/health")).json()["timestamp"]


async def more(load: Record) -> None:
    """Wait for some more answers."""
    enough = len(load.answers) + 15
    await eventually(lambda: len(load.answers) > enough)
