"""How many requests at once one instance answers with the P95 that we promise: what Cloud Run calls concurrency.

    python -m tests.load.concurrency [--seconds 8] [--write docs/benchmarks/concurrency.md]

The mix is mostly texts, some pictures and a few recordings. Load generator and service share the cores, so that a
machine of two stands for an instance of a little less than two.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path

from deployment.facts import facts
from tests.load.bench import SAMPLES, Row, Server, row, text_requests
from tests.load.http_load import load, upload_request

LEVELS = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64)
OF_FIFTY = {"text": 45, "picture": 4, "voice": 1}
"""What is asked for, of fifty requests: fewer recordings than the one in twenty that a P95 does not see."""


def mixed_requests() -> Iterator[bytes]:
    """Requests as `OF_FIFTY` has them, spread evenly."""
    texts = text_requests()
    picture = upload_request("127.0.0.1", "/v1/image", (SAMPLES / "image/astronaut.jpg").read_bytes())
    voice = upload_request("127.0.0.1", "/v1/audio", (SAMPLES / "audio/jfk.ogg").read_bytes())
    for turn in itertools.count(1):
        if turn % (50 // OF_FIFTY["voice"]) == 0:
            yield voice
        elif turn % (50 // OF_FIFTY["picture"]) == 0:
            yield picture
        else:
            yield next(texts)


def rows(server: Server, seconds: float, most_p95: float) -> Iterator[Row]:
    """One level after another, until one is far from what is promised."""
    address = ("127.0.0.1", server.port)
    asyncio.run(load(address, mixed_requests, 4, seconds))
    for level in LEVELS:
        found = row("mixed", level, asyncio.run(load(address, mixed_requests, level, seconds)))
        yield found
        if found.p95 > 2 * most_p95:
            return


def best(found: Sequence[Row], most_p95: float) -> int:
    """The last level before the first that breaks the promise; 0 if the first does."""
    kept = itertools.takewhile(lambda one: one.p95 <= most_p95 and not one.errors, found)
    return max((one.connections for one in kept), default=0)


def page(found: Sequence[Row], concurrency: int, most_p95: float, seconds: float) -> str:
    """The result, as a page of Markdown."""
    mix = ", ".join(f"{number} {what}" for what, number in OF_FIFTY.items())
    lines = [
        "# Concurrency of an instance",
        "",
        f"`python -m tests.load.concurrency --seconds {seconds:g}`, {datetime.now(timezone.utc):%Y-%m-%d}, "
        f"{os.cpu_count()} cores that load generator and service share. Of fifty requests: {mix}.",
        "",
        "| at once | answers/s | P50 ms | P95 ms | errors |",
        "|---|---|---|---|---|",
        *(f"| {o.connections} | {o.per_second:,.1f} | {o.p50:,.1f} | {o.p95:,.1f} | {o.errors} |" for o in found),
        "",
        f"P95 stays below {most_p95:g} ms, without an error, up to **{concurrency}** at once.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.load.concurrency", description="Requests at once that keep the P95."
    )
    parser.add_argument("--seconds", type=float, default=8.0, help="of each level")
    parser.add_argument("--write", type=Path)
    given = parser.parse_args()
    most_p95 = 1000 * facts()["targets"]["latency_p95_seconds"]
    with Server() as server:
        found = list(rows(server, given.seconds, most_p95))
    text = page(found, best(found, most_p95), most_p95, given.seconds)
    print(text)
    if given.write:
        given.write.write_text(text)


if __name__ == "__main__":
    main()
