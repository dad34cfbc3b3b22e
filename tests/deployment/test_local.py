"""`make run`, as somebody at a terminal uses it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from tests.serving import CHECKOUT, free_port

pytestmark = pytest.mark.server


def start(port: int, ui_port: int) -> subprocess.Popen[str]:
    """The service and the page on these ports."""
    return subprocess.Popen(
        (sys.executable, "-m", "deployment.local.run"),
        cwd=CHECKOUT,
        env={**os.environ, "PORT": str(port), "UI_PORT": str(ui_port)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def read_until(program: subprocess.Popen[str], words: str) -> str:
    """What it prints up to the line with these words."""
    assert program.stdout is not None
    lines = []
    for line in program.stdout:
        lines.append(line)
        if words in line:
            return "".join(lines)
    raise AssertionError("".join(lines))


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_both_programs_answer_at_the_addresses_that_are_printed_and_nothing_stays_behind(how: signal.Signals) -> None:
    port, ui_port = free_port(), free_port()
    before = set(Path("/tmp").glob("sentiment-*"))
    program = start(port, ui_port)
    try:
        printed = read_until(program, "Ctrl-C stops.")
        assert f"http://127.0.0.1:{port}" in printed and f"http://127.0.0.1:{ui_port}" in printed
        answer = httpx.post(f"http://127.0.0.1:{port}/v1/text", json={"text": "I love it"}).json()
        assert answer["sentiment"]["label"] == "positive"
        assert httpx.get(f"http://127.0.0.1:{ui_port}/").status_code == httpx.codes.OK
        family = psutil.Process(program.pid).children(recursive=True)
        program.send_signal(how)
        assert program.wait(60) == 0
        _, alive = psutil.wait_procs(family, timeout=5)
        assert alive == []
        assert set(Path("/tmp").glob("sentiment-*")) <= before
    finally:
        program.kill()


def test_a_port_that_is_taken_is_said_at_once() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        program = start(port, free_port())
        printed, _ = program.communicate(timeout=30)
    assert program.returncode == 1
    assert printed.strip() == f"Port {port} is taken; set PORT to another."
