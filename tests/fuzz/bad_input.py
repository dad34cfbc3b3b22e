"""Sends the corpus of bad input to a real service, with a good request beside each.

    python -m tests.fuzz.bad_input [--short] [--address http://127.0.0.1:8000] [--write docs/benchmarks/bad-input.md]

Without an address it starts the service itself. Every case must be answered within its time: a Problem of status 4xx,
or where something is left to read, 200. The good request must get the answer that it gets alone. Meanwhile the memory
of the service's processes is watched.
"""

from __future__ import annotations

import argparse
import asyncio
import platform
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.alike import differences
from tests.fuzz.corpus import Case, cases, short
from tests.serving import RunningService, running_service

TIME_LIMIT_SECONDS = 60.0
"""More than the service gives a decoder that says nothing (20 s), and enough for 100 MB on a busy machine."""
DECODER_BYTES = 1_500_000_000
"""`Settings.decode_memory_bytes`: address space, so resident memory stays below."""
GATEWAY_GROWTH_BYTES = 200_000_000
PORTRAIT = Path(__file__).parents[2] / "ui" / "examples" / "portrait.jpg"
AT_ONCE = 4


@dataclass
class Outcome:
    """What came of all cases."""

    statuses: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    slowest: list[tuple[float, str]] = field(default_factory=list)
    decoder_bytes: int = 0
    """Most resident memory that a decoding process had."""
    gateway_growth_bytes: int = 0
    """Resident memory of the largest other process at the end, less what it had after the first good answers."""
    seconds: float = 0.0


async def send_all(address: str, sent: Sequence[Case], family: Sequence[psutil.Process]) -> Outcome:
    """Send the cases, a few at once; `family` are the service's processes."""
    outcome = Outcome()
    started = time.monotonic()
    async with httpx.AsyncClient(base_url=address, timeout=TIME_LIMIT_SECONDS, trust_env=False) as client:
        expected = [_judged(await _good(client, number)) for number in (0, 1)]
        memory = Memory(family)
        watching = asyncio.create_task(memory.watch())
        places = asyncio.Semaphore(AT_ONCE)

        async def try_one(number: int, case: Case) -> None:
            async with places:
                await _try(client, number, case, expected[number % 2], outcome)

        await asyncio.gather(*(try_one(number, case) for number, case in enumerate(sent)))
        watching.cancel()
    outcome.seconds = time.monotonic() - started
    outcome.slowest = sorted(outcome.slowest, reverse=True)[:5]
    outcome.decoder_bytes, outcome.gateway_growth_bytes = memory.decoder_bytes, memory.growth_bytes()
    outcome.wrong += _memory_verdicts(outcome)
    return outcome


def _memory_verdicts(outcome: Outcome) -> Iterator[str]:
    if outcome.decoder_bytes > DECODER_BYTES:
        yield f"a decoding process held {outcome.decoder_bytes:,} bytes"
    if outcome.gateway_growth_bytes > GATEWAY_GROWTH_BYTES:
        yield f"a process of the service grew by {outcome.gateway_growth_bytes:,} bytes"


async def _try(client: httpx.AsyncClient, number: int, case: Case, expected: Any, outcome: Outcome) -> None:
    started = time.monotonic()
    answer, good = await asyncio.gather(_send(client, case), _good(client, number), return_exceptions=True)
    outcome.slowest.append((time.monotonic() - started, case.name))
    outcome.statuses[_status(answer)] += 1
    outcome.wrong += [f"{case.name}: {wrong}" for wrong in _faults(case, answer)]
    if isinstance(good, BaseException) or differences(_judged(good), expected):
        said = repr(good) if isinstance(good, BaseException) else good.text[:200]
        outcome.wrong.append(f"{case.name}: the good request beside it got {said}")


async def _send(client: httpx.AsyncClient, case: Case) -> httpx.Response:
    return await client.post(case.path, content=case.body(), headers={"content-type": case.content_type})


async def _good(client: httpx.AsyncClient, number: int) -> httpx.Response:
    if number % 2:
        return await client.post("/v1/image", files={"file": PORTRAIT.read_bytes()})
    return await client.post("/v1/text", json={"text": "I love it"})


def _judged(response: httpx.Response) -> Any:
    """The verdict."""
    response.raise_for_status()
    verdict = response.json()["sentiment"]
    return verdict["label"], verdict["confidence"]


def _status(answer: httpx.Response | BaseException) -> str:
    if isinstance(answer, BaseException):
        return type(answer).__name__
    if answer.status_code == httpx.codes.OK:
        return "200"
    return f"{answer.status_code} {_problem(answer).get('code')}"


def _problem(answer: httpx.Response) -> Mapping[str, Any]:
    if answer.headers.get("content-type") != "application/problem+json":
        return {}
    return answer.json()


def _faults(case: Case, answer: httpx.Response | BaseException) -> Iterator[str]:
    if isinstance(answer, BaseException):
        yield f"no answer: {answer!r}"
    elif answer.status_code == httpx.codes.OK:
        if case.must == "refuse":
            yield f"was answered: {answer.text[:200]}"
        with suppress(StopIteration):
            yield f"has numbers that are none: {next(_not_numbers(answer.json()))}"
    elif not 400 <= answer.status_code < 500 or not _problem(answer).get("code"):
        yield f"got {answer.status_code} {answer.text[:200]}"
    elif case.must == "answer":
        yield f"was refused: {answer.text[:200]}"


def _not_numbers(value: Any, path: str = "") -> Iterator[str]:
    """Where a score is null, which is how NaN is written."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in ("valence", "confidence") and inner is None:
                yield f"{path}/{key}"
            yield from _not_numbers(inner, f"{path}/{key}")
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from _not_numbers(inner, f"{path}/{place}")


class Memory:
    """Watches the service's processes: those that decode come and go."""

    def __init__(self, family: Sequence[psutil.Process]) -> None:
        self._root = family[0]
        self._before = _resident(family, decoding=False)
        self.decoder_bytes = 0

    async def watch(self) -> None:
        """Look again and again until cancelled."""
        while True:
            decoding = _resident(self._root.children(recursive=True), decoding=True)
            self.decoder_bytes = max([self.decoder_bytes, *decoding.values()])
            await asyncio.sleep(0.2)

    def growth_bytes(self) -> int:
        """Of the process that has grown most since the beginning."""
        now = _resident(self._before, decoding=False)
        return max(size - self._before[process] for process, size in now.items())


def _resident(processes: Iterable[psutil.Process], *, decoding: bool) -> dict[psutil.Process, int]:
    """Resident bytes of those that decode, or of the others; what ends meanwhile is left out."""
    found = {}
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            if ("-I" in process.cmdline()) == decoding:
                found[process] = process.memory_info().rss
    return found


def page(outcome: Outcome, count: int) -> str:
    """The run as a page."""
    lines = [
        "# Bad input\n",
        f"{time.strftime('%Y-%m-%d')}, {platform.machine()}, {psutil.cpu_count()} cores, Python "
        f"{platform.python_version()}. `make bad-input`; the cases: `python -m tests.fuzz.corpus`.\n",
        f"- {count} requests in {outcome.seconds:.0f} s, {AT_ONCE} at once, a good request beside each",
        f"- largest decoding process {outcome.decoder_bytes / 1e6:,.0f} MB of {DECODER_BYTES / 1e6:,.0f}",
        f"- the service's own processes grew by {outcome.gateway_growth_bytes / 1e6:,.0f} MB at most",
        f"- wrong: {len(outcome.wrong)}\n",
        "| answer | cases |\n|---|---|",
        *(f"| {status} | {count} |" for status, count in outcome.statuses.most_common()),
        "\nSlowest, with the good request beside it:\n",
        *(f"- {seconds:.1f} s: {name}" for seconds, name in outcome.slowest),
    ]
    if outcome.wrong:
        lines += ["\n## Wrong\n", *(f"- {wrong}" for wrong in outcome.wrong)]
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    """Send them, print the page; 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description="Send bad input to a real service.")
    parser.add_argument("--short", action="store_true", help="about 60 cases")
    parser.add_argument("--only", help="cases whose name begins so")
    parser.add_argument("--write", type=Path, help="write the page there too")
    asked = parser.parse_args(arguments)
    sent = [case for case in (short() if asked.short else cases()) if case.name.startswith(asked.only or "")]
    with tempfile.TemporaryDirectory(prefix="sentiment-") as folder, running_service(Path(folder)) as service:
        outcome = asyncio.run(send_all(service.address, sent, service.family()))
        outcome.wrong += leftovers(service, since=0)
    text = page(outcome, len(sent))
    print(text)
    if asked.write:
        asked.write.write_text(text)
    return int(bool(outcome.wrong))


def leftovers(service: RunningService, since: int) -> list[str]:
    """Files that a request left behind, and stack traces in the log from its byte `since` on."""
    log = service.log.read_bytes()[since:].decode(errors="replace")
    found = [f"left behind: {path}" for path in service.kept_files()]
    found += [
        f"in the log: {line[:300]}" for line in log.splitlines() if '"level":"error"' in line or "Traceback" in line
    ]
    return found


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
