"""Runs the service, a job worker and the user interface on this machine until Ctrl-C, and leaves nothing behind.

    python -m deployment.local.run [service] [worker] [ui]

`PORT` (8000) and `UI_PORT` (7860) move the ports; everything else is in `service/settings.py`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from service.lifeline import die_with_parent
from service.settings import load_settings

CHECKOUT = Path(__file__).parents[2]
READY_SECONDS = 120.0
GRACE_SECONDS = 15.0
"""Past what the service's own settings give to its running requests."""
REST_SECONDS = 1.0
"""So long after a worker ended, another is started."""


@dataclass(frozen=True)
class Program:
    """Something that is started, waited for and stopped."""

    name: str
    command: tuple[str, ...]
    port: int
    ready_path: str
    environment: tuple[tuple[str, str], ...] = ()

    @property
    def address(self) -> str:
        """Where a browser finds it."""
        return f"http://127.0.0.1:{self.port}"


def programs(names: Sequence[str], home: Path) -> list[Program]:
    """The programs of these names; `home` is a folder of this run's own."""
    port, ui_port = int(os.environ.get("PORT", "8000")), int(os.environ.get("UI_PORT", "7860"))
    service = Program(
        name="service",
        command=(sys.executable, "-m", "bentoml", "serve", "service.app:Gateway", "--port", str(port)),
        port=port,
        ready_path="/readyz",
        environment=(
            ("BENTOML_HOME", str(home)),
            ("BENTOML_DO_NOT_TRACK", "True"),
            ("PORT", str(port)),
            ("TMPDIR", str(home)),
        ),
    )
    ui = Program(
        name="ui",
        command=(sys.executable, "-m", "ui.app"),
        port=ui_port,
        ready_path="/health",
        environment=(
            ("SENTIMENT_API_URL", os.environ.get("SENTIMENT_API_URL", service.address)),
            ("UI_PORT", str(ui_port)),
        ),
    )
    return [program for program in (service, ui) if program.name in names]


def worker(home: Path) -> Program:
    """A job worker, whose metrics go where the service's are: it is started after the service, which wipes them."""
    return Program(
        name="worker",
        command=(sys.executable, "-m", "service.worker"),
        port=0,
        ready_path="",
        environment=(
            ("PROMETHEUS_MULTIPROC_DIR", str(home / "prometheus_multiproc_dir")),
            ("TMPDIR", str(home)),
        ),
    )


def main(names: Sequence[str]) -> int:
    """Start what is named, wait until it is ready, run until a signal or until one of them ends."""
    for stop in (signal.SIGINT, signal.SIGTERM):  # a shell's background jobs begin with SIGINT ignored
        signal.signal(stop, _interrupt)
    with private_folder() as home, contextlib.ExitStack() as running:
        names = names or ("service", "worker", "ui")
        wanted = programs(names, home)
        taken = [program for program in wanted if _port_taken(program.port)]
        if taken:
            variable = "PORT" if taken[0].name == "service" else "UI_PORT"
            print(f"Port {taken[0].port} is taken; set {variable} to another.", file=sys.stderr)
            return 1
        try:
            started = [(program, running.enter_context(process(program))) for program in wanted]
            for program, child in started:
                wait_until_ready(program, child)
            for program in wanted:
                print(f"{program.name:8} {program.address}", flush=True)
            children = [child for _, child in started]
            if "worker" not in names:
                print("Ctrl-C stops.", flush=True)
                return _watch(children)
            print("worker   takes jobs\nCtrl-C stops.", flush=True)
            return _watch_with_worker(children, worker(home))
        except KeyboardInterrupt:
            print("\nStopping.", flush=True)
            return 0
        except (RuntimeError, TimeoutError) as error:
            print(error, file=sys.stderr)
            return 1


@contextlib.contextmanager
def private_folder() -> Iterator[Path]:
    """BentoML's home, which no two servers may share since each wipes the metrics there, and all temporary files.

    Its path is short: BentoML's sockets are in it, and macOS allows them 104 characters.
    """
    folder = Path(tempfile.mkdtemp(prefix="sentiment-", dir="/tmp"))  # nosec B108
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def process(program: Program) -> Iterator[subprocess.Popen[bytes]]:
    """A running program in a process group of its own, which is gone on exit."""
    child = subprocess.Popen(
        program.command,
        cwd=CHECKOUT,
        env={**os.environ, **dict(program.environment)},
        start_new_session=True,
        preexec_fn=die_with_parent,  # noqa: PLW1509 (there are no threads yet)
    )
    try:
        yield child
    finally:
        _stop(child)


def wait_until_ready(program: Program, child: subprocess.Popen[bytes]) -> None:
    """Raises `RuntimeError` if the program ends, `TimeoutError` if it is not ready in time."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise RuntimeError(f"The {program.name} ended with code {child.returncode} before it was ready.")
        address = program.address + program.ready_path
        with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=2):  # nosec B310
            return
        time.sleep(0.1)
    raise TimeoutError(f"The {program.name} was not ready within {READY_SECONDS:.0f} s.")


def _watch_with_worker(children: Sequence[subprocess.Popen[bytes]], program: Program) -> int:
    """The same beside a worker, which is started again however it ends: what it worked on goes on where it was."""
    (home,) = (Path(value) for name, value in program.environment if name == "PROMETHEUS_MULTIPROC_DIR")
    home.mkdir(parents=True, exist_ok=True)
    while True:
        with process(program) as child:
            while child.poll() is None:
                if any(other.poll() is not None for other in children):
                    return _watch(children)
                time.sleep(0.2)
        print(f"The worker ended with code {child.returncode}; another is started.", file=sys.stderr, flush=True)
        time.sleep(REST_SECONDS)


def _watch(children: Sequence[subprocess.Popen[bytes]]) -> int:
    """Wait until one of them ends; its exit code, or 1 for a clean end that nobody asked for."""
    while all(child.poll() is None for child in children):
        time.sleep(0.2)
    return max((child.returncode or 1) for child in children if child.returncode is not None)


def _stop(child: subprocess.Popen[bytes]) -> None:
    """SIGTERM to the program, which stops its own children, then SIGKILL to whatever is left of them."""
    if child.poll() is None:
        family = psutil.Process(child.pid).children(recursive=True)
        child.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            settings = load_settings()
            child.wait(settings.drain_delay_seconds + settings.graceful_seconds + GRACE_SECONDS)
        for left in (child, *family):
            with contextlib.suppress(psutil.NoSuchProcess):
                left.kill()
    child.wait()


def _port_taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
