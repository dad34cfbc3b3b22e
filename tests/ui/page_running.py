"""Starts the page as `python -m ui.app` does, and stops it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.serving import CHECKOUT, free_port

READY_SECONDS = 180.0
STOP_SECONDS = 60.0


@dataclass(frozen=True)
class RunningPage:
    """A page at `address`; what is uploaded lies in `uploads`."""

    address: str
    uploads: Path


@contextmanager
def running_page(api_url: str, folder: Path, **settings: object) -> Iterator[RunningPage]:
    """The page, asking the service at `api_url`; `settings` are environment variables."""
    port = free_port()
    own = {"SENTIMENT_API_URL": api_url, "UI_PORT": port, "UI_UPLOADS": folder / "uploads", **settings}
    log = folder / "ui.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            (sys.executable, "-m", "ui.app"),
            cwd=CHECKOUT,
            env={**os.environ, **{name: str(value) for name, value in own.items()}},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_until_ready(process, address, log)
        yield RunningPage(address, folder / "uploads" / str(port))
        process.terminate()
        process.wait(STOP_SECONDS)
    finally:
        process.kill()
        process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{address}/health", timeout=5).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise RuntimeError(f"The page did not get ready:\n{log.read_text(errors='replace')[-4000:]}")
