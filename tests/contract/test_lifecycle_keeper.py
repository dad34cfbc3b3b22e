"""The process that keeps a worker alive."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.jobs_running import until
from tests.serving import CHECKOUT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux alone")


REST_FOR_EVER = "1000"


@dataclass(frozen=True)
class Kept:
    """The program, and where it answers."""

    process: subprocess.Popen[bytes]
    port: int

    def ask(self, order: str = "hello") -> str:
        """What the worker says of itself: its pid, and why it was born."""
        with self.call() as connection:
            connection.sendall(f"GET /{order}?a=b HTTP/1.1\r\nHost: x\r\nX-Request-ID: id-7\r\n\r\n".encode())
            return b"".join(iter(lambda: connection.recv(10_000), b"")).decode()

    def call(self) -> socket.socket:
        """A connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=120)

    def eventually(self, birth: str) -> str:
        """The first answer of a worker of this birth."""
        deadline = time.monotonic() + 120
        while not (said := self.ask()).endswith(birth):
            assert time.monotonic() < deadline, said
            time.sleep(0.05)
        return said

    def worker(self) -> psutil.Process:
        """The worker that its keeper has now."""
        return until(lambda: psutil.Process(self.process.pid).children())[0]


@contextmanager
def kept(folder: Path, **environment: str) -> Iterator[Kept]:
    with socket.create_server(("127.0.0.1", 0)) as listener, keeper_of(listener, folder, **environment) as program:
        yield program


@contextmanager
def keeper_of(listener: socket.socket, folder: Path, **environment: str) -> Iterator[Kept]:
    """One of the programs that serve a socket."""
    command = (sys.executable, "-m", "tests.contract.kept_program", str(listener.fileno()), str(folder / "serving"))
    process = subprocess.Popen(command, cwd=CHECKOUT, env={**os.environ, **environment}, pass_fds=(listener.fileno(),))
    program = Kept(process, listener.getsockname()[1])
    try:
        assert program.ask().endswith("first")
        yield program
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Kept]:
    with kept(tmp_path) as running:
        yield running


@pytest.fixture
def resting(tmp_path: Path) -> Iterator[Kept]:
    """A program whose worker crashed, and whose keeper has all the time before it starts another."""
    with kept(tmp_path, REST=REST_FOR_EVER) as running:
        running.ask("crash")
        until(lambda: not psutil.Process(running.process.pid).children())
        yield running


def test_a_worker_that_crashes_is_replaced_and_the_keeper_is_not(program):
    assert program.ask("crash").endswith("first")
    again = program.eventually("again")
    assert psutil.Process(int(again.split()[0])).ppid() == program.process.pid


def test_a_worker_that_is_killed_is_replaced(program):
    psutil.Process(int(program.ask().split()[0])).kill()
    program.eventually("again")


def test_who_calls_while_there_is_no_worker_hears_so_at_once_as_the_contract_says(resting):
    head, _, body = resting.ask("v1/a%20text").partition("\r\n\r\n")
    status, *lines = head.splitlines()
    headers = dict(line.lower().split(": ", 1) for line in lines)
    assert status == "HTTP/1.1 503 Service Unavailable"
    assert headers["content-type"] == "application/problem+json" and headers["retry-after"].isdigit()
    assert headers["x-request-id"] == "id-7" and headers["cache-control"] == "no-store"
    problem = json.loads(body)
    assert (problem["code"], problem["status"], problem["request_id"]) == ("not_ready", 503, "id-7")
    assert problem["instance"] == "/v1/a text" and problem["title"] and problem["detail"]


def test_who_sends_a_large_body_reads_that_there_is_no_worker(resting):
    with resting.call() as connection:
        body = bytes(20_000_000)
        connection.sendall(b"POST /v1/video HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body))
        connection.sendall(body)
        assert connection.recv(10_000).startswith(b"HTTP/1.1 503 ")


def test_callers_that_say_nothing_hold_up_nobody(resting):
    silent = [resting.call() for _ in range(60)]
    assert resting.ask().startswith("HTTP/1.1 503 ")
    silent[-1].setblocking(False)
    with pytest.raises(BlockingIOError):  # it was not this one's turn to be let go
        silent[-1].recv(1)
    for connection in silent:
        connection.close()


def test_a_keeper_without_a_worker_takes_no_caller_from_the_workers_of_others(tmp_path):
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        keeper_of(listener, tmp_path) as whole,
        keeper_of(listener, tmp_path, REST=REST_FOR_EVER) as broken,
    ):
        answers = f"{whole.worker().pid} first"
        broken.worker().kill()
        until(lambda: not psutil.Process(broken.process.pid).children())
        assert {whole.ask() for _ in range(50)} == {answers}
        whole.worker().kill()
        until(lambda: whole.ask() == f"{whole.worker().pid} again")  # meanwhile both may turn callers away


def test_a_successor_answers_before_the_worker_leaves(program):
    first = int(program.ask("replace").split()[0])
    successor = int(program.eventually("successor").split()[0])
    assert successor != first
    until(lambda: not psutil.pid_exists(first))
    assert program.ask() == f"{successor} successor"


def test_a_worker_that_dies_before_it_hears_that_it_may_leave_takes_nobody_along(program):
    first = psutil.Process(int(program.ask("freeze").split()[0]))
    program.eventually("successor")
    first.kill()
    program.ask("crash")
    program.eventually("again")
    assert program.process.poll() is None


def test_a_successor_that_does_not_get_ready_replaces_nobody(tmp_path):
    with kept(tmp_path, FAIL="successor") as program:
        first = program.ask("replace")
        time.sleep(0.5)
        assert program.ask() == first


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_worker_and_keeper_and_nobody_listens_any_more(program, number):
    worker = psutil.Process(int(program.ask().split()[0]))
    program.process.send_signal(number)
    assert program.process.wait(60) == 0
    assert not worker.is_running()
    with pytest.raises(ConnectionRefusedError):
        program.call()


def test_a_worker_ends_with_its_keeper(program):
    worker = psutil.Process(int(program.ask().split()[0]))
    program.process.kill()
    until(lambda: not worker.is_running())
