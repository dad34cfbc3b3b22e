"""The process that keeps a worker alive."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil
import pytest

from tests.serving import CHECKOUT, free_port

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux alone")


@dataclass(frozen=True)
class Kept:
    """The program, and where it answers."""

    process: subprocess.Popen[bytes]
    port: int

    def ask(self, order: str = "hello") -> str:
        """What the worker says of itself: its pid, and why it was born."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
            connection.sendall(order.encode())
            return connection.recv(1000).decode()

    def eventually(self, birth: str) -> str:
        """The first answer of a worker of this birth."""
        deadline = time.monotonic() + 30
        while not (said := self.ask()).endswith(birth):
            assert time.monotonic() < deadline, said
            time.sleep(0.05)
        return said


@contextmanager
def kept(**environment: str) -> Iterator[Kept]:
    port = free_port()
    command = (sys.executable, "-m", "tests.contract.kept_program", str(port))
    process = subprocess.Popen(command, cwd=CHECKOUT, env={**os.environ, **environment})
    try:
        _wait_for(port)
        yield Kept(process, port)
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture
def program() -> Iterator[Kept]:
    with kept() as running:
        yield running


def test_a_worker_that_crashes_is_replaced_and_the_keeper_is_not(program):
    assert program.ask("crash").endswith("first")
    again = program.eventually("again")
    assert psutil.Process(int(again.split()[0])).ppid() == program.process.pid


def test_a_worker_that_is_killed_is_replaced(program):
    psutil.Process(int(program.ask().split()[0])).kill()
    program.eventually("again")


def test_who_calls_while_a_worker_crashes_again_and_again_hears_so_at_once(program):
    for _ in range(3):
        said = program.ask("crash")
    while not said.startswith("HTTP/1.1 503"):
        said = program.ask("crash")
    assert "\r\nRetry-After: 5\r\n" in said and '"code":"not_ready"' in said
    program.eventually("again")


def test_a_successor_answers_before_the_worker_leaves(program):
    first = int(program.ask("replace").split()[0])
    successor = int(program.eventually("successor").split()[0])
    assert successor != first
    psutil.wait_procs([psutil.Process(first)] if psutil.pid_exists(first) else [], timeout=30)
    assert not psutil.pid_exists(first)
    assert program.ask() == f"{successor} successor"


def test_a_worker_that_dies_before_it_hears_that_it_may_leave_takes_nobody_along(program):
    first = psutil.Process(int(program.ask("freeze").split()[0]))
    program.eventually("successor")
    first.kill()
    program.ask("crash")
    program.eventually("again")
    assert program.process.poll() is None


def test_a_successor_that_does_not_get_ready_replaces_nobody():
    with kept(FAIL="successor") as program:
        first = program.ask("replace")
        time.sleep(0.5)
        assert program.ask() == first


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_worker_and_keeper_and_nobody_listens_any_more(program, number):
    worker = psutil.Process(int(program.ask().split()[0]))
    program.process.send_signal(number)
    assert program.process.wait(30) == 0
    assert not worker.is_running()
    with pytest.raises(ConnectionRefusedError):
        program.ask()


def test_a_worker_ends_with_its_keeper(program):
    worker = psutil.Process(int(program.ask().split()[0]))
    program.process.kill()
    psutil.wait_procs([worker], timeout=30)
    assert not worker.is_running()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        else:
            return
