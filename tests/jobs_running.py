"""A real job worker beside a real service, which tests may kill and start again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from service.jobs.intake import Jobs, Wish
from tests.serving import CHECKOUT

WAIT_SECONDS = 180.0


@dataclass
class RunningWorker:
    """A worker process; `log` is what it wrote."""

    process: subprocess.Popen[bytes]
    log: Path

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.wait(60)

    def stop(self) -> int:
        """Ask it to end; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(120)


@contextmanager
def running_worker(
    folder: Path, program: tuple[str, ...] = ("-m", "service.worker"), **settings: object
) -> Iterator[RunningWorker]:
    """A worker with these settings; `folder` is that of the service that it works for."""
    log = folder / f"worker-{time.monotonic_ns()}.log"
    plain = {key: value for key, value in os.environ.items() if not key.startswith("SENTIMENT_")}
    own = {f"SENTIMENT_{name.upper()}": str(value) for name, value in settings.items()}
    metrics = folder / "bentoml" / "prometheus_multiproc_dir"
    if metrics.is_dir():
        own["PROMETHEUS_MULTIPROC_DIR"] = str(metrics)
    with log.open("wb") as output:
        process = subprocess.Popen(
            (sys.executable, *program), cwd=CHECKOUT, env={**plain, **own}, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield RunningWorker(process, log)
    finally:
        process.kill()
        process.wait(60)


async def submit(jobs: Jobs, wish: Wish, **files: Path | bytes) -> str:
    """Take a job in as a gateway does; its identifier."""
    await jobs.admit(0)
    with jobs.folders.request() as folder:
        for name, file in files.items():
            if isinstance(file, bytes):
                (folder / name).write_bytes(file)
            else:
                shutil.copyfile(file, folder / name)
        return (await jobs.take_in(wish, folder)).id


def until(done: Callable[[], Any], seconds: float = WAIT_SECONDS) -> Any:
    """Wait until `done()` is true; what it gave."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := done():
            return found
        time.sleep(0.1)
    raise AssertionError("it did not happen in time")


def ended(http: httpx.Client, job: str, seconds: float = WAIT_SECONDS) -> dict[str, Any]:
    """A job when it is over."""
    return until(lambda: _over(http, job), seconds)


def events(http: httpx.Client, job: str, last: int | None = None) -> list[tuple[int, str, dict[str, Any]]]:
    """All events of a job until its stream ends."""
    headers = {} if last is None else {"Last-Event-ID": str(last)}
    with http.stream("GET", f"/v1/jobs/{job}/events", headers=headers) as stream:
        assert stream.status_code == httpx.codes.OK, stream.read()
        blocks = "".join(stream.iter_text()).split("\n\n")
    found = []
    for block in blocks:
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if fields:
            found.append((int(fields["id"]), fields["event"], json.loads(fields["data"])))
    return found


def _over(http: httpx.Client, job: str) -> dict[str, Any] | None:
    body = http.get(f"/v1/jobs/{job}").raise_for_status().json()
    return body if body["state"] in ("done", "failed", "cancelled") else None
