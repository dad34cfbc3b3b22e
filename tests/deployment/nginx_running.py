"""Runs the real nginx with the files of `deployment/nginx`, at ports and in folders of a test's own."""

from __future__ import annotations

import os
import re
import shutil
import signal
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.deployment.certificates import certificate
from tests.serving import CHECKOUT, free_port

FOLDER = CHECKOUT / "deployment" / "nginx"
START_SECONDS = 20.0
WORKERS = 2
AS_ROOT = "user root;" if os.getuid() == 0 else ""
"""As root its workers would become another user, who may not write into a test's folder."""


@dataclass(frozen=True)
class Front:
    """An nginx that answers at `address`; `trust` knows its certificate."""

    address: str
    plain: str
    folder: Path
    trust: ssl.SSLContext
    process: subprocess.Popen[bytes]

    def client(self, **options: object) -> httpx.Client:
        """A client that speaks HTTP/1.1 to it."""
        return httpx.Client(base_url=self.address, verify=self.trust, timeout=30, **options)  # type: ignore[arg-type]

    def workers(self) -> set[int]:
        """The processes that take new connections now."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return {int(number) for number in children if _title(number) == "nginx: worker process"}

    def reload(self) -> None:
        """Read the files again; return when new workers have taken over."""
        before = self.workers()
        self.process.send_signal(signal.SIGHUP)
        wait_until(lambda: len(self.workers() - before) == len(self.workers()) == WORKERS)


def _title(process: str) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_text().strip("\0 ")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def wait_until(condition: Callable[[], bool], seconds: float = START_SECONDS) -> None:
    """A bound that a slow machine keeps."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s"
        time.sleep(0.02)


def written(folder: Path, services: Sequence[int], page: int, edit: Callable[[str], str] = lambda text: text) -> Path:
    """The files with loopback ports in place of the public ones; `edit` breaks `nginx.conf`."""
    for name in ("problem.conf", "problems.conf", "proxy.conf"):
        shutil.copy(FOLDER / name, folder / name)
    upstreams = (FOLDER / "upstreams.conf").read_text()
    for number, port in enumerate(services, 11):
        upstreams = _replaced(upstreams, f"10.0.0.{number}:8000", f"127.0.0.1:{port}")
    upstreams = re.sub(r" *server 10\.0\.0\.1\d:8000.*\n", "", upstreams)
    (folder / "upstreams.conf").write_text(_replaced(upstreams, "10.0.0.21:7860", f"127.0.0.1:{page}"))
    text = edit((FOLDER / "nginx.conf").read_text())
    text = _replaced(text, "worker_processes auto;", f"worker_processes {WORKERS};")
    text = _replaced(text, "/run/nginx.pid", f"{folder}/nginx.pid")
    text = _replaced(text, "/dev/stdout", f"{folder}/access.log")
    text = _replaced(text, "error_log stderr", f"error_log {folder}/error.log")
    text = _replaced(text, "/tmp/nginx-", f"{folder}/nginx-")
    (folder / "nginx.conf").write_text(text)
    return folder / "nginx.conf"


@contextmanager
def running_nginx(
    program: Path,
    folder: Path,
    services: Sequence[int],
    page: int,
    edit: Callable[[str], str] = lambda text: text,
) -> Iterator[Front]:
    """nginx in front of these ports of the loopback address."""
    secure, plain = free_port(), free_port()
    trust = certificate(folder / "tls")
    file = written(folder, services, page, edit)
    text = _replaced(file.read_text(), "listen 443 ", f"listen 127.0.0.1:{secure} ")
    file.write_text(_replaced(text, "listen 80;", f"listen 127.0.0.1:{plain};"))
    command = (program, "-c", file, "-g", f"daemon off; {AS_ROOT}")
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen([str(word) for word in command], stdout=output, stderr=subprocess.STDOUT)
    front = Front(f"https://127.0.0.1:{secure}", f"http://127.0.0.1:{plain}", folder, trust, process)
    try:
        wait_until(lambda: answers(front) and len(front.workers()) == WORKERS)
        yield front
    finally:
        process.terminate()
        process.wait(START_SECONDS)


def answers(front: Front) -> bool:
    """Whether it takes requests; fails if it has ended."""
    assert front.process.poll() is None, "it has ended; its folder has `output` and `error.log`"
    try:
        return bool(httpx.get(front.plain).status_code)
    except httpx.TransportError:
        return False


def _replaced(text: str, old: str, new: str) -> str:
    assert old in text, f"{old!r} is no longer in the file"
    return text.replace(old, new)
