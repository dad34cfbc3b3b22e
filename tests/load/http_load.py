"""A load generator small enough not to be the bottleneck: raw HTTP/1.1 over kept-alive connections.

Answers are read by their Content-Length and thrown away; only status, latency and errors are kept.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field


@dataclass
class Result:
    """What a run saw; latencies in seconds."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)
    sent: list[tuple[float, float, int]] = field(default_factory=list)
    """Of each answer: when it was asked for (`time.perf_counter`), the seconds from then on, and its status."""
    broken: int = 0
    """Requests that were sent and never answered in full."""

    @property
    def per_second(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.seconds

    @property
    def errors(self) -> int:
        """Answers other than 200, and requests without one."""
        return self.broken + sum(count for status, count in self.statuses.items() if status != 200)

    def percentile(self, share: float) -> float:
        """The latency in seconds that this share of the answers kept within."""
        ordered = sorted(self.latencies)
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def json_request(host: str, path: str, body: bytes) -> bytes:
    """A POST of JSON, ready to be sent."""
    return _head(host, path, "application/json", len(body)) + body


def upload_request(host: str, path: str, content: bytes) -> bytes:
    """A POST of one file in the field `file`, ready to be sent."""
    boundary = b"limit-of-a-part"
    body = (
        b"--" + boundary + b'\r\nContent-Disposition: form-data; name="file"; filename="sample"\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n" + content + b"\r\n--" + boundary + b"--\r\n"
    )
    return _head(host, path, f"multipart/form-data; boundary={boundary.decode()}", len(body)) + body


def get_request(host: str, path: str) -> bytes:
    """A GET, ready to be sent."""
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()


async def load(
    address: tuple[str, int], requests: Callable[[], Iterator[bytes]], connections: int, seconds: float, rate: float = 0
) -> Result:
    """Send requests over so many connections for a while: as fast as they are answered, or `rate` a second in all.

    With a rate, latency counts from when a request was due, so that a stall is seen (no coordinated omission).
    """
    start = time.perf_counter()
    schedule, source, result = _schedule(start, seconds, rate), requests(), Result()
    await asyncio.gather(*(_connection(address, source, schedule, result) for _ in range(connections)))
    result.seconds = time.perf_counter() - start
    return result


def _schedule(start: float, seconds: float, rate: float) -> Iterator[float]:
    """When each next request is due, for all connections together; the first of each kind not at the same moment."""
    for turn in itertools.count():
        due = start + (turn + 0.5) / rate if rate else time.perf_counter()
        if due > start + seconds:
            return
        yield due


async def _connection(
    address: tuple[str, int], source: Iterator[bytes], schedule: Iterator[float], result: Result
) -> None:
    """One request after the other; a connection that the service has closed between two is opened again."""
    client = _Client(address)
    try:
        for due in schedule:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            asked = time.perf_counter()
            try:
                status = await client.ask(next(source))
            except (OSError, asyncio.IncompleteReadError):
                result.broken += 1
                client.close()
                continue
            result.latencies.append(time.perf_counter() - due)
            result.sent.append((asked, time.perf_counter() - asked, status))
            result.statuses[status] = result.statuses.get(status, 0) + 1
    finally:
        client.close()


class _Client:
    """A connection that is open when it is needed, as that of any client of HTTP/1.1."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes) -> int:
        """The status of the answer. Raises `OSError` or `IncompleteReadError` if none came."""
        reader, writer = await self._open()
        writer.write(request)
        status, last = await _read_answer(reader)
        if last:
            self.close()
        return status

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None or self._streams[0].at_eof():
            self.close()
            self._streams = await asyncio.open_connection(*self._address)
        return self._streams

    def close(self) -> None:
        """Until the next request."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def _read_answer(reader: asyncio.StreamReader) -> tuple[int, bool]:
    """The status, and whether the service closes the connection after it."""
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.lower().split(b"\r\n")
    headers = dict(line.split(b": ", 1) for line in lines if line)
    await reader.readexactly(int(headers[b"content-length"]))
    return int(first.split()[1]), headers.get(b"connection") == b"close"


def _head(host: str, path: str, content_type: str, length: int) -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n"
    ).encode()
