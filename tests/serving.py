"""Starts the real service, as `make serve` does, and stops it without leaving a process behind."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

CHECKOUT = Path(__file__).parents[1]
READY_SECONDS = 180.0
STOP_SECONDS = 90.0
STARTS = 3
_drawn: set[int] = set()


@dataclass(frozen=True)
class RunningService:
    """A service that answers at `address`; `temp_folder` is where it keeps uploads."""

    address: str
    temp_folder: Path
    log: Path
    process: subprocess.Popen[bytes]

    def family(self) -> list[psutil.Process]:
        """Its processes that are alive."""
        if self.process.poll() is not None:
            return []
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children(recursive=True)]

    def kept_files(self) -> list[Path]:
        """The uploads that it holds now."""
        # Not `rglob`, which fails on a folder that is removed meanwhile.
        return [Path(folder, name) for folder, _, names in os.walk(self.temp_folder) for name in names]

    def stop(self) -> None:
        """Ask it to stop, and wait until it has."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.wait(STOP_SECONDS)


class PortTaken(RuntimeError):
    """BentoML's supervisor looked for a port of its own, and somebody else took it before it did."""


@contextmanager
def running_service(
    folder: Path,
    identifier: str = "service.app:Gateway",
    cwd: Path = CHECKOUT,
    port: int | None = None,
    **settings: object,
) -> Iterator[RunningService]:
    """The service that `identifier` names, with these settings (`max_body_bytes=1000`); `folder` is its own alone."""
    port = port or free_port()
    environment = _environment(folder, port, settings)
    running = _started(lambda: _start(folder, identifier, cwd, port, environment))
    family = running.family()
    try:
        yield running
        running.stop()
    finally:
        _kill([*family, *running.family()])
        running.process.wait()


def _started(start: Callable[[], RunningService], tries: int = STARTS) -> RunningService:
    """A service that is ready; one whose supervisor found its port taken is started again."""
    running = start()
    try:
        _wait_until_ready(running)
    except BaseException as error:
        _kill(running.family())
        if isinstance(error, PortTaken) and tries > 1:
            return _started(start, tries - 1)
        raise
    return running


def _start(folder: Path, identifier: str, cwd: Path, port: int, environment: dict[str, str]) -> RunningService:
    log = folder / "service.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            (sys.executable, "-m", "bentoml", "serve", identifier, "--port", str(port)),
            cwd=cwd,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    return RunningService(f"http://127.0.0.1:{port}", folder / "uploads", log, process)


def _kill(family: list[psutil.Process]) -> None:
    for left in family:
        with suppress(psutil.NoSuchProcess):
            left.kill()
    psutil.wait_procs(family, STOP_SECONDS)


def own_bytes(process: psutil.Process) -> int:
    """Memory of a process, in which pages that several share count in parts (PSS), so that a sum is true."""
    return process.memory_full_info().pss if sys.platform == "linux" else process.memory_info().rss


def free_port() -> int:
    """A port of the loopback address that nobody listens on.

    It is below those that the system gives to whoever asks for any, or connects somewhere: one of them could be taken
    before the service is there, by its own supervisor even. No port is drawn twice.
    """
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            if port not in _drawn:
                _drawn.add(port)
                return port


@contextmanager
def closed_port() -> Iterator[int]:
    """A port of the loopback address that refuses whoever calls: it is taken, and nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def _environment(folder: Path, port: int, settings: dict[str, object]) -> dict[str, str]:
    plain = {key: value for key, value in os.environ.items() if not key.startswith("SENTIMENT_")}
    own = {
        "BENTOML_HOME": str(folder / "bentoml"),
        "BENTOML_DO_NOT_TRACK": "True",
        "PORT": str(port),
        "SENTIMENT_TEMP_FOLDER": str(folder / "uploads"),
        "SENTIMENT_STATE_FOLDER": str(folder / "state"),
    }
    return {**plain, **own, **{f"SENTIMENT_{name.upper()}": str(value) for name, value in settings.items()}}


def _wait_until_ready(running: RunningService) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if running.process.poll() is not None or " ended with code " in running.log.read_text(errors="replace"):
            break
        try:
            if httpx.get(f"{running.address}/readyz", timeout=5).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    log = [line for line in running.log.read_text(errors="replace").splitlines() if '"service.access"' not in line]
    told = "\n".join(["The service did not get ready:", *(line[:600] for line in log[-30:])])
    raise PortTaken(told) if "ZMQError: Address already in use" in told else RuntimeError(told)
