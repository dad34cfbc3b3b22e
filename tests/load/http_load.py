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
    """Connections that failed while an answer was awaited."""

    @property
    def per_second(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.seconds

    @property
    def errors(self) -> int:
        """Answers other than 200, and broken connections."""
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
    """When each next request is due, for all connections together."""
    for turn in itertools.count():
        due = start + turn / rate if rate else time.perf_counter()
        if due > start + seconds:
            return
        yield due


async def _connection(
    address: tuple[str, int], source: Iterator[bytes], schedule: Iterator[float], result: Result
) -> None:
    reader, writer = await asyncio.open_connection(*address)
    try:
        for due in schedule:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            asked = time.perf_counter()
            writer.write(next(source))
            status = await _read_answer(reader)
            result.latencies.append(time.perf_counter() - due)
            result.sent.append((asked, time.perf_counter() - asked, status))
            result.statuses[status] = result.statuses.get(status, 0) + 1
    except (OSError, asyncio.IncompleteReadError):
        result.broken += 1
    finally:
        writer.close()


async def _read_answer(reader: asyncio.StreamReader) -> int:
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    lengths = (line.split(b":")[1] for line in lines[1:] if line.lower().startswith(b"content-length:"))
    await reader.readexactly(int(next(lengths)))
    return int(lines[0].split()[1])


def _head(host: str, path: str, content_type: str, length: int) -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n"
    ).encode()
