"""A real Redis on a free port, which tests may stop, freeze and start again."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from tests.serving import free_port

START_SECONDS = 120.0


@dataclass
class RunningRedis:
    """A Redis at `url` that keeps nothing on disk."""

    program: str
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = ("--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")
        self.process = subprocess.Popen((self.program, *options), stdout=subprocess.DEVNULL, cwd="/")
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("Redis did not start.")
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop it; connections are cut."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(START_SECONDS)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """While it takes connections and answers nothing."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False


@contextmanager
def running_redis() -> Iterator[RunningRedis]:
    """A Redis of a test's own; skips the test where none is installed."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("There is no redis-server; install Debian's package `redis-server`.")
    redis = RunningRedis(program)
    try:
        redis.start()
        yield redis
    finally:
        redis.stop()
