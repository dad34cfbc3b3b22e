"""A service that is told to stop: what it has begun it ends, and what is new it refuses."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import httpx

from tests.deployment.conformance.check import must
from tests.deployment.conformance.target import EXAMPLES, PATIENCE_SECONDS, Target

BOUNDARY = "conformance"
NOTICES_WITHIN_SECONDS = 60.0


def stops_without_dropping(target: Target, stop: Callable[[], object]) -> None:
    """A request that has begun before `stop` (which returns at once) and ends after it is answered.

    The target must be the service itself, by plain HTTP: who stands before it would hold a request back until it is
    whole. Raises `Missed`.
    """
    line, rest = _half_sent(target)
    stop()
    _wait_until_not_ready(target)
    line.send(rest)
    answer = line.getresponse()
    content = answer.read()
    line.close()
    must(answer.status == 200, f"the request that had begun got {answer.status}: {content[:200]!r}")


def _half_sent(target: Target) -> tuple[http.client.HTTPConnection, bytes]:
    """A connection on which half of a picture has been sent, and the other half."""
    parts = urlsplit(target.address)
    line = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=PATIENCE_SECONDS)
    picture = (EXAMPLES / "portrait.jpg").read_bytes()
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n'.encode()
    body = head + picture + f"\r\n--{BOUNDARY}--\r\n".encode()
    line.putrequest("POST", "/v1/image")
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}", "Content-Length": str(len(body))}
    for name, value in {**headers, **target.headers}.items():
        line.putheader(name, value)
    line.endheaders()
    half = len(body) // 2
    line.send(body[:half])
    _wait_until_begun(target)
    return line, body[half:]


def _wait_until_begun(target: Target) -> None:
    """What was sent first on one connection has arrived when what was sent later on another is answered."""
    target.http.get("/livez")


def _wait_until_not_ready(target: Target) -> None:
    deadline = time.monotonic() + NOTICES_WITHIN_SECONDS
    while time.monotonic() < deadline:
        try:
            with httpx.Client(base_url=target.address, timeout=10) as http:
                if http.get("/readyz").status_code != 200:
                    return
        except httpx.TransportError:
            return
        time.sleep(0.05)
    must(False, "it was told to stop, and is ready all the same")
