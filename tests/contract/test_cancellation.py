from __future__ import annotations

import json
import socket
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.jobs_running import until
from tests.serving import RunningService

pytestmark = pytest.mark.server


def ended(service: RunningService, request_id: str) -> list[int]:
    """The status under which the log tells the end of a request; empty while it runs."""
    lines = [line for line in service.log.read_text().splitlines() if request_id in line]
    return [json.loads(line)["status"] for line in lines if "endpoint" in line and line.endswith("}")]


def arrived(service: RunningService) -> int:
    """Bytes of the uploads that the service holds now."""
    size = 0
    for file in service.kept_files():
        with suppress(FileNotFoundError):
            size += file.stat().st_size
    return size


def test_work_stops_when_the_client_goes_away(service: RunningService, http: httpx.Client, samples: Path):
    content = (samples / "video/portrait_with_speech.mp4").read_bytes()
    request = http.build_request("POST", "/v1/video", files={"file": content}, headers={"X-Request-ID": "impatient"})
    lines = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    head = f"POST /v1/video HTTP/1.1\r\n{lines}\r\n"
    with socket.create_connection((request.url.host, request.url.port)) as connection:
        connection.sendall(head.encode() + request.read())
        until(lambda: arrived(service) == len(content))
    assert until(lambda: ended(service, "impatient")) == [499]
    assert service.kept_files() == []
    assert http.get("/readyz").status_code == 200
