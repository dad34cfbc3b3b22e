"""Throughput, latency, start-up and memory of the real service, beside the same models called in process.

    make bench            # prints the table that the README shows

Everything runs on the same cores, load generator included. The in-process figures give each model the largest batch
that the service gives it and every core, so that the ratio says what HTTP, batching and processes cost.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil

from models.registry import default_model
from service.runners.text import TextModel
from tests.load.http_load import Result, json_request, load, upload_request
from tests.serving import free_port, own_bytes

CHECKOUT = Path(__file__).parents[2]
SAMPLES = Path(os.environ.get("SENTIMENT_DATA") or CHECKOUT.parent / "shared" / "data") / "samples"
SECONDS = 8.0
WARM_SECONDS = 2.0
CONNECTIONS = (1, 16, 64)
Requests = Callable[[], Iterator[bytes]]


@dataclass(frozen=True)
class Row:
    """One line of the table; milliseconds where it says so."""

    what: str
    connections: int
    per_second: float
    p50: float
    p95: float
    errors: int


def texts() -> Iterator[str]:
    """Different texts of about 16 tokens, so that no cache helps."""
    for number in itertools.count():
        yield f"I did not expect to like the new menu, but order {number} was quick and really good today"


def text_requests() -> Iterator[bytes]:
    """Requests for `/v1/text`."""
    for text in texts():
        yield json_request("127.0.0.1", "/v1/text", json.dumps({"text": text}).encode())


def upload_requests(route: str, file: Path) -> Requests:
    """The same upload again and again."""
    request = upload_request("127.0.0.1", route, file.read_bytes())
    return lambda: itertools.repeat(request)


def in_process(batch: int = 64, seconds: float = SECONDS) -> float:
    """Texts a second that the same int8 model reads in this process, one model a core, in batches."""
    cores = psutil.cpu_count() or 1
    models = [TextModel.load(default_model("text-sentiment")) for _ in range(cores)]
    with ThreadPoolExecutor(cores) as pool:
        start = time.perf_counter()
        counts = pool.map(lambda model: _read_for(model, batch, start + seconds), models)
        return sum(counts) / (time.perf_counter() - start)


def _read_for(model: TextModel, batch: int, until: float) -> int:
    source, read = texts(), 0
    while time.perf_counter() < until:
        read += len(model.predict(list(itertools.islice(source, batch))))
    return read


class Server:
    """The service as `make serve` starts it, on a free port."""

    def __enter__(self) -> Server:
        self.port = free_port()
        self.log = tempfile.TemporaryFile()
        start = time.perf_counter()
        command = [sys.executable, "-m", "deployment.local.run", "service"]
        environment = {**os.environ, "PORT": str(self.port), "LOG_LEVEL": "warning"}
        self.process = subprocess.Popen(command, cwd=CHECKOUT, env=environment, stdout=self.log, stderr=self.log)
        wait_until_ready(self.port)
        self.start_seconds = time.perf_counter() - start
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(60)
        self.log.close()

    def measure(self, what: str, requests: Requests, connections: int, rate: float = 0) -> Row:
        """Load it, after a short warm-up."""
        address = ("127.0.0.1", self.port)
        asyncio.run(load(address, requests, connections, WARM_SECONDS))
        result = asyncio.run(load(address, requests, connections, SECONDS, rate))
        return row(what, connections, result)

    def memory(self) -> list[tuple[str, float]]:
        """Megabytes of the processes of each name, shared pages in parts."""
        family = psutil.Process(self.process.pid).children(recursive=True)
        found: Counter[str] = Counter()
        for process in family:
            found[_name(process)] += own_bytes(process)
        return [(name, amount / 1e6) for name, amount in found.items()]


def row(what: str, connections: int, result: Result) -> Row:
    """A result as a line of the table."""
    p50, p95 = (1000 * result.percentile(share) for share in (0.5, 0.95))
    return Row(what, connections, result.per_second, p50, p95, result.errors)


def rows(server: Server) -> Iterator[Row]:
    """Every measurement over HTTP."""
    capacity = 0.0
    for connections in CONNECTIONS:
        row_of_text = server.measure("text", text_requests, connections)
        capacity = max(capacity, row_of_text.per_second)
        yield row_of_text
    yield server.measure("text at 70 % of capacity", text_requests, 64, rate=0.7 * capacity)
    media = {
        "voice (11 s)": ("/v1/audio", SAMPLES / "audio/jfk.ogg"),
        "picture (512 px)": ("/v1/image", SAMPLES / "image/astronaut.jpg"),
        "video (9 s)": ("/v1/video", SAMPLES / "video/portrait_with_speech.mp4"),
    }
    for what, (route, file) in media.items():
        if not file.exists():
            print(f"skipped {what}: {file} is missing", file=sys.stderr)
            continue
        for connections in (1, 16):
            yield server.measure(what, upload_requests(route, file), connections)


def table(lines: Sequence[Row]) -> str:
    """Markdown."""
    head = "| through HTTP | connections | answers/s | P50 ms | P95 ms | errors |\n|---|---|---|---|---|---|\n"
    return head + "\n".join(
        f"| {r.what} | {r.connections} | {r.per_second:,.1f} | {r.p50:,.1f} | {r.p95:,.1f} | {r.errors} |"
        for r in lines
    )


def wait_until_ready(port: int, seconds: float = 120) -> None:
    """Raises `TimeoutError`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2):
                return
        except OSError:
            time.sleep(0.05)
    raise TimeoutError("The service did not become ready.")


def _name(process: psutil.Process) -> str:
    line = process.cmdline()
    if "--service-name" in line:
        return line[line.index("--service-name") + 1]
    return "decoder" if "-I" in line else "supervisor"


def main() -> None:
    """Measure and print."""
    alone = in_process()
    with Server() as server:
        lines = list(rows(server))
        memory = server.memory()
        start_seconds = server.start_seconds
    best = max(line.per_second for line in lines if line.what == "text")
    cores = psutil.cpu_count()
    print(f"{time.strftime('%Y-%m-%d')}, {platform.machine()}, {cores} cores, Python {platform.python_version()}\n")
    print(table(lines))
    print(f"\nIn process, {cores} cores, batches of 64: {alone:,.0f} texts/s; through HTTP {best / alone:.2f} of that.")
    print(f"Ready {start_seconds:.1f} s after start. Memory: {sum(size for _, size in memory):,.0f} MB:")
    print("\n".join(f"- {name}: {size:,.0f} MB" for name, size in sorted(memory)))


if __name__ == "__main__":
    main()
