"""A service of its own with small limits: what it refuses, stops and leaves behind."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import httpx
import psutil
import pytest

from tests.contract.conftest import problem
from tests.serving import RunningService, running_service

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def tight(tmp_path_factory) -> Iterator[RunningService]:
    """One that takes at most 200 kB, and gives a request at most 4 s."""
    folder = tmp_path_factory.mktemp("tight")
    with running_service(folder, max_body_bytes=200_000, request_timeout_seconds=4) as running:
        yield running


def soon(condition) -> bool:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.1)
    return False


def test_a_body_that_says_it_is_too_large_is_refused_before_it_is_sent(tight):
    with socket.create_connection(("127.0.0.1", httpx.URL(tight.address).port), timeout=60) as connection:
        connection.sendall(b"POST /v1/text HTTP/1.1\r\nHost: x\r\nContent-Length: 200001\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize("route", ["/v1/text", "/v1/video"])
def test_a_body_is_counted_while_it_streams_in(tight, route):
    sent = 0

    def endless():
        nonlocal sent
        yield b'--limes\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        while True:
            sent += 10_000
            yield b"x" * 10_000

    headers = {"content-type": "application/json" if route == "/v1/text" else "multipart/form-data; boundary=limes"}
    response = httpx.post(tight.address + route, content=endless(), headers=headers, timeout=60)
    assert "0.2 MB" in problem(response, "too_large")["detail"]
    assert sent < 20_000_000
    assert soon(lambda: tight.kept_files() == [])


def test_a_file_just_below_the_limit_gets_through(tight):
    response = httpx.post(f"{tight.address}/v1/image", files={"file": b"\0" * 199_000}, timeout=60)
    assert response.status_code in (415, 422)


def test_a_body_that_never_comes_times_out(tight):
    with socket.create_connection(("127.0.0.1", httpx.URL(tight.address).port), timeout=60) as connection:
        head = b"POST /v1/text HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n"
        connection.sendall(head + b"{")
        assert connection.recv(4096).startswith(b"HTTP/1.1 504")


def test_an_upload_that_is_broken_off_leaves_no_file(tight):
    with socket.create_connection(("127.0.0.1", httpx.URL(tight.address).port), timeout=60) as connection:
        head = b"POST /v1/video HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=limes\r\n"
        part = b'--limes\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + b"x" * 50_000
        connection.sendall(head + b"Content-Length: 150000\r\n\r\n" + part)
        assert soon(lambda: tight.kept_files() != [])
    assert soon(lambda: tight.kept_files() == [])


def test_it_stops_when_asked_and_leaves_nothing_behind(tight):
    """The last test of this module: afterwards there is no service."""
    family = tight.family()
    assert len(family) > 1
    tight.stop()
    assert soon(
        lambda: not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in family)
    )
    assert list(tight.temp_folder.iterdir()) == []
