"""Coverage-guided fuzzing of the decoders as they are installed, native code included.

    python -m tests.fuzz.decoders --minutes 10 [--seed 1] [--write docs/benchmarks/fuzz.md] [--findings FOLDER]

The wheels of PyAV and Pillow carry FFmpeg, libjpeg, libwebp and others as machine code without instrumentation. Frida's
Stalker follows the decoding thread and tells each block of that code that runs for the first time (`following.js`), so
an input that reaches new code is kept and mutated further, as AFL does. What kills, hangs or fools the decoding code is
then given to the real decoder, whose processes are confined, and must be answered with one of its errors.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import importlib.metadata
import platform
import random
import selectors
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from service.media import MediaError
from service.media.decoder import Decoder
from service.media.limits import Limits
from service.media.sniff import HEAD_BYTES, Format, sniff
from tests.fuzz.decoding_target import ANSWER
from tests.fuzz.mutation import mutated
from tests.fuzz.seeds import healthy

CHECKOUT = Path(__file__).parents[2]
FOLLOWING = Path(__file__).with_name("following.js")
HANG_SECONDS = 20.0
"""As `Settings.decode_stall_seconds`: the service kills a decoder that gives nothing for so long."""
MAX_RSS_BYTES = 2_500_000_000
ORDERS_OF_A_PROCESS = 20_000

OUTCOMES: Mapping[bytes, str] = {
    b"o": "decoded",
    b"r": "refused",
    b"m": "out of memory, told as undecodable",
    b"u": "unforeseen exception, told as undecodable",
    b"w": "wrong answer",
}


class Died(Exception):
    """The decoding process ended; `status` is negative for a signal."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the process ended with status {status}")
        self.status = status


class Hung(Exception):
    """It gave no answer in time."""


class Target:
    """A decoding process that is followed."""

    def __init__(self) -> None:
        import frida

        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.decoding_target"],
            cwd=CHECKOUT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        (self.pid,) = struct.unpack("<I", self._read(4))
        self._session = frida.attach(self.pid)
        script = self._session.create_script(FOLLOWING.read_text())
        script.load()
        self._follower: Any = script.exports_sync
        self._follower.follow(self.pid)
        self.orders = 0

    def decode(self, format: Format, data: bytes) -> tuple[bytes, list[str]]:
        """How it went, and the blocks that ran for the first time in this process. Raises `Died` or `Hung`."""
        operation = b"p" if format.kind == "image" else b"r"
        body = operation + (format.reader or "").encode().ljust(15, b"\0") + data
        self.orders += 1
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(len(body).to_bytes(4, "little") + body)
            self._process.stdin.flush()
        except BrokenPipeError:
            raise Died(self._process.wait()) from None
        outcome, _ = ANSWER.unpack(self._read(ANSWER.size))
        return outcome, self._follower.fresh()

    def is_worn(self) -> bool:
        """Whether it has grown too large or done enough."""
        return self.orders >= ORDERS_OF_A_PROCESS or psutil.Process(self.pid).memory_info().rss > MAX_RSS_BYTES

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            try:
                pipe.close()
            except BrokenPipeError:
                continue

    def _read(self, size: int) -> bytes:
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            if not selector.select(HANG_SECONDS):
                raise Hung
        data = self._process.stdout.read(size)
        if len(data) < size:
            raise Died(self._process.wait())
        return data


@dataclass
class Found:
    """What a run came to."""

    executions: int = 0
    skipped: int = 0
    """Mutants that the service would refuse by their first bytes, before any decoder sees them."""
    seconds: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter)
    blocks: set[str] = field(default_factory=set)
    seed_blocks: int = 0
    corpus: dict[str, list[bytes]] = field(default_factory=lambda: defaultdict(list))
    findings: dict[str, tuple[str, Format, bytes]] = field(default_factory=dict)
    """What killed, hung or fooled the decoding code, by digest: what it did, its format, the file."""


class Fuzzer:
    """Mutates what reached new code, and keeps what does so again."""

    def __init__(self, seed: int) -> None:
        self.found = Found()
        self._chance = random.Random(seed)
        self._target = Target()

    def run(self, seconds: float, at_least: int = 0) -> Found:
        """The seeds first, then their mutants until the time is up and so many files were decoded."""
        started = time.monotonic()
        for data in healthy().values():
            self._try(data, keep=True)
        self.found.seed_blocks = len(self.found.blocks)
        while time.monotonic() < started + seconds or self.found.executions < at_least:
            self._try(self._next())
        self._target.close()
        self.found.seconds = time.monotonic() - started
        return self.found

    def _next(self) -> bytes:
        """A mutant; each format gets its turn, and what was found last is tried most."""
        entries = self.found.corpus[self._chance.choice(list(self.found.corpus))]
        newest = len(entries) - 1 - min(int(self._chance.expovariate(0.1)), len(entries) - 1)
        data = entries[newest] if self._chance.random() < 0.7 else self._chance.choice(entries)
        return mutated(data, entries, self._chance)

    def _try(self, data: bytes, keep: bool = False) -> None:
        format = sniff(data[:HEAD_BYTES])
        if format.reader is None or format.kind == "text":
            self.found.skipped += 1
            return
        self.found.executions += 1
        try:
            outcome, fresh = self._target.decode(format, data)
        except (Died, Hung) as error:
            what = "hung" if isinstance(error, Hung) else str(error)
            self._note(what, format, data)
            self._restart()
            return
        self.found.outcomes[OUTCOMES[outcome]] += 1
        if outcome == b"w":
            self._note(OUTCOMES[outcome], format, data)
        if keep or not self.found.blocks.issuperset(fresh):
            self.found.blocks.update(fresh)
            self.found.corpus[format.reader].append(data)
        if self._target.orders % 500 == 0 and self._target.is_worn():
            self._restart()

    def _note(self, what: str, format: Format, data: bytes) -> None:
        self.found.outcomes[what] += 1
        if sum(kind == what for kind, _, _ in self.found.findings.values()) < 20:
            self.found.findings[hashlib.sha256(data).hexdigest()[:16]] = (what, format, data)

    def _restart(self) -> None:
        self._target.close()
        self._target = Target()


def libraries(found: Found) -> dict[str, int]:
    """Blocks reached in each library."""
    return dict(
        Counter(block.rpartition("+")[0].split("-")[0].split(".cpython")[0] for block in found.blocks).most_common()
    )


async def confined(found: Found) -> list[str]:
    """Give every finding to the real decoder; what it did, and whether that is an answer to give."""
    decoder = Decoder(Limits())
    await decoder.start()
    try:
        return [await _verdict(decoder, digest, *finding) for digest, finding in found.findings.items()]
    finally:
        await decoder.close()


async def _verdict(decoder: Decoder, digest: str, what: str, format: Format, data: bytes) -> str:
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        started = time.monotonic()
        try:
            await _read(decoder, format, Path(file.name))
            answer = "was read"
        except MediaError as error:
            answer = f"was refused: {error}"
        return f"{digest} ({format.name}, {len(data):,} bytes, {what}) {answer} ({time.monotonic() - started:.1f} s)"


async def _read(decoder: Decoder, format: Format, path: Path) -> None:
    if format.kind == "image":
        await decoder.picture(path)
        return
    async with decoder.stream(path, audio=True, video=True, max_seconds=300.0, frames_per_second=2.0) as stream:
        async for _ in stream:
            pass


def report(found: Found, verdicts: list[str]) -> Iterator[str]:
    """The run as a page."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("av", "pillow", "frida"))
    rate = found.executions / max(found.seconds, 1e-9)
    yield "# Fuzzing of the decoders\n"
    yield f"{time.strftime('%Y-%m-%d')}, {platform.machine()}, Python {platform.python_version()}, {versions}.\n"
    yield "`make fuzz`, or `python -m tests.fuzz.decoders --minutes 10`. How it is guided: `tests/fuzz/decoders.py`.\n"
    yield f"- {found.executions:,} files decoded in {found.seconds:,.0f} s ({rate:,.0f} a second), one process"
    yield f"- {found.skipped:,} mutants more were refused by their first bytes, as the service does"
    yield f"- blocks of native code reached: {found.seed_blocks:,} by the {len(healthy())} healthy files,"
    yield f"  {len(found.blocks):,} at the end"
    yield f"- kept for reaching new code: {sum(map(len, found.corpus.values())):,} files\n"
    yield "| outcome | files |\n|---|---|"
    yield from (f"| {what} | {count:,} |" for what, count in found.outcomes.most_common())
    yield "\n| library | blocks |\n|---|---|"
    yield from (f"| {name} | {count:,} |" for name, count in list(libraries(found).items())[:16])
    yield "\n## What killed, hung or fooled the decoding code, given to the confined decoder\n"
    yield from (f"- {verdict}" for verdict in verdicts or ["nothing"])


def main(arguments: list[str]) -> int:
    """Fuzz, print the page; 1 if a wrong answer got through."""
    parser = argparse.ArgumentParser(description="Fuzz the decoders, guided by their native code.")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--write", type=Path, help="write the page there too")
    parser.add_argument("--findings", type=Path, help="folder for the files that did harm")
    asked = parser.parse_args(arguments)
    found = Fuzzer(asked.seed).run(60 * asked.minutes)
    page = "\n".join([*report(found, asyncio.run(confined(found))), f"\nSeed {asked.seed}."]) + "\n"
    print(page)
    if asked.write:
        asked.write.write_text(page)
    if asked.findings:
        asked.findings.mkdir(parents=True, exist_ok=True)
        for digest, (_, _, data) in found.findings.items():
            (asked.findings / digest).write_bytes(data)
    return int(any(what == OUTCOMES[b"w"] for what, _, _ in found.findings.values()))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
