"""Mixed traffic for a long time at 70 % of what the machine can do, then five times too much, then normal again.

    python -m tests.load.soak [--minutes 30] [--write docs/benchmarks/soak.md]

Texts make up most requests; pictures, voices, videos, texts to be kept and looks at what was kept take the share of the
processor that `MIX` gives them. The rates follow from a measurement at the start, on the same cores that send the load.
Beside them come jobs and live streams (`visits`), as often as is said there. In the steady part latency counts from
when a request was due, whether or not earlier ones were answered (no coordinated omission); in the overload, which no
client on these cores could send in time, from when it was sent.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import platform
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.jobs_running import RunningWorker, running_worker
from tests.load.bench import Requests, text_requests, texts
from tests.load.http_load import Result, get_request, json_request, load, upload_request
from tests.load.visits import Visits
from tests.serving import CHECKOUT, RunningService, own_bytes, running_service

EXAMPLES = CHECKOUT / "ui" / "examples"
MEDIA = {
    "picture": ("/v1/image", EXAMPLES / "portrait.jpg"),
    "voice": ("/v1/audio", EXAMPLES / "inaugural.ogg"),
    "video": ("/v1/video", EXAMPLES / "portrait_speaks.mp4"),
}
MIX = {"text": 0.62, "picture": 0.14, "voice": 0.1, "video": 0.05, "kept": 0.03, "history": 0.02}
"""Shares of the processor; what is left is for jobs and streams."""
UTILISATION = 0.7
OVERLOAD = 5.0
TEXT_P95_SECONDS = 0.2
MAX_ERROR_SHARE = 0.001
MAX_GROWTH = 1.02
RECOVERY_SECONDS = 5.0
AT_ONCE_SECONDS = 0.5
"""A refusal within this is at once, on a machine whose cores also send the load."""
SAMPLE_SECONDS = 2.0
CONNECTIONS = {"text": 256, "picture": 16, "voice": 16, "video": 16, "kept": 16, "history": 4}
OVER_CONNECTIONS = 600
"""More than are worked on at once, and few enough that one client can keep them all busy."""


@dataclass(frozen=True)
class Sample:
    """Service and worker at one moment: bytes that are theirs alone or their share, and descriptors."""

    at: float
    bytes: int
    descriptors: int


@dataclass(frozen=True)
class Verdict:
    """One promise, what was measured, and whether it was kept."""

    promise: str
    measured: str
    kept: bool


@dataclass
class Run:
    """Everything that was measured."""

    rates: dict[str, float] = field(default_factory=dict)
    """Requests a second of each kind, at the utilisation that is kept up."""
    steady: dict[str, Result] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)
    over: Result = field(default_factory=Result)
    after: Result = field(default_factory=Result)
    steady_seconds: float = 0.0
    over_seconds: float = 0.0


@dataclass(frozen=True)
class House:
    """The service, and the worker of its jobs."""

    service: RunningService
    worker: RunningWorker

    def family(self) -> list[psutil.Process]:
        """All processes of both that are alive."""
        worker = psutil.Process(self.worker.process.pid)
        return [*self.service.family(), worker, *worker.children(recursive=True)]


@contextmanager
def running_house(folder: Path, **settings: object) -> Iterator[House]:
    """Both with the same settings; `folder` is their own alone."""
    shared = {"state_folder": folder / "state", "temp_folder": folder / "uploads", "log_level": "warning", **settings}
    with running_service(folder, **shared) as service, running_worker(folder, **shared) as worker:
        yield House(service, worker)


async def soak(
    house: House,
    steady_seconds: float,
    over_seconds: float,
    mix: Mapping[str, float] = MIX,
    visits: Visits | None = None,
) -> Run:
    """Measure, keep it up, overload, and look how soon it is well again."""
    where, visits = _place(house.service), visits or Visits()
    run = Run(rates=await capacity(where, min(5.0, steady_seconds / 4), mix), over_seconds=over_seconds)
    watching = asyncio.create_task(watch(house, run.samples))
    loads = [load(where, requests(kind), CONNECTIONS[kind], steady_seconds, run.rates[kind]) for kind in mix]
    started = time.perf_counter()
    visited, steady = await asyncio.gather(visits.come(house.service.address, steady_seconds), asyncio.gather(*loads))
    run.steady, run.rates = dict(zip(mix, steady, strict=True)) | visited, run.rates | visits.rates()
    run.steady_seconds = time.perf_counter() - started
    watching.cancel()
    overload = run.rates["text"] / UTILISATION / mix["text"] * OVERLOAD
    run.over = await load(where, text_requests, OVER_CONNECTIONS, over_seconds, overload)
    run.after = await load(
        where, text_requests, CONNECTIONS["text"], min(2 * RECOVERY_SECONDS, over_seconds), run.rates["text"]
    )
    return run


async def capacity(where: tuple[str, int], seconds: float, mix: Mapping[str, float]) -> dict[str, float]:
    """Requests a second of each kind that together make up `UTILISATION` of the machine, by the mix."""
    rates = {}
    for kind, share in mix.items():
        connections = 64 if kind == "text" else 4
        await load(where, requests(kind), connections, 1.0)
        found = await load(where, requests(kind), connections, seconds)
        rates[kind] = UTILISATION * share * found.per_second
    return rates


def requests(kind: str) -> Requests:
    """Texts that differ, to be kept or not; or one question or one file again and again."""
    if kind == "text":
        return text_requests
    if kind == "kept":
        return _kept_requests
    if kind == "history":
        page = get_request("127.0.0.1", "/v1/history?limit=20")
        return lambda: itertools.repeat(page)
    route, file = MEDIA[kind]
    request = upload_request("127.0.0.1", route, file.read_bytes())
    return lambda: itertools.repeat(request)


def _kept_requests() -> Iterator[bytes]:
    for text in texts():
        yield json_request("127.0.0.1", "/v1/text", json.dumps({"text": text, "store": True}).encode())


def _place(service: RunningService) -> tuple[str, int]:
    host, port = service.address.removeprefix("http://").split(":")
    return host, int(port)


def took(result: Result, *statuses: int) -> list[float]:
    """Seconds from sending, of those with one of the statuses."""
    return [seconds for _, seconds, status in result.sent if status in statuses]


async def watch(house: House, samples: list[Sample]) -> None:
    """Look at memory and descriptors now and then, until cancelled."""
    while True:
        samples.append(await asyncio.to_thread(_sample, house))
        await asyncio.sleep(SAMPLE_SECONDS)


def _sample(house: House) -> Sample:
    memory = descriptors = 0
    for process in house.family():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied, OSError):
            memory += _bytes(process)
            descriptors += process.num_fds()
    return Sample(time.perf_counter(), memory, descriptors)


def _bytes(process: psutil.Process) -> int:
    """What a process holds. Raises `NoSuchProcess` for one that decodes a file, which comes and goes with it.

    The process that those are forked from stays, and is counted by all that it has in memory: its part of the pages
    that it shares with them would fall and rise with their number.
    """
    if not _decodes(process):
        return own_bytes(process)
    parent = process.parent()
    if parent is None or _decodes(parent):
        raise psutil.NoSuchProcess(process.pid)
    return process.memory_info().rss


def _decodes(process: psutil.Process) -> bool:
    return "-I" in process.cmdline()


def verdicts(run: Run) -> list[Verdict]:
    """What was promised against what was measured."""
    texts = run.steady["text"]
    calm, calm_sent = texts.percentile(0.95), percentile(took(texts, 200), 0.95)
    errors = sum(result.errors for result in run.steady.values())
    count = sum(len(result.latencies) for result in run.steady.values())
    _, second, last = _thirds([sample.bytes for sample in run.samples])
    _, handles, last_handles = _thirds([float(sample.descriptors) for sample in run.samples])
    answered, refused = took(run.over, 200), took(run.over, 429, 503)
    over, turned_away = percentile(answered, 0.95), percentile(refused, 0.95)
    lost = len(run.over.sent) - len(answered) - len(refused) + run.over.broken
    back = _recovered_after(run.after, 2 * calm_sent)
    return [
        Verdict("errors under 0.1 %", f"{errors} of {count:,}", errors <= MAX_ERROR_SHARE * count),
        Verdict("P95 of texts under 200 ms", f"{1000 * calm:.0f} ms", calm < TEXT_P95_SECONDS),
        Verdict(
            "memory: last third at most 2 % over the second",
            f"{second / 1e6:,.0f} MB, then {last / 1e6:,.0f} MB",
            last <= MAX_GROWTH * second,
        ),
        Verdict(
            "descriptors: last third at most 2 % over the second",
            f"{handles:.0f}, then {last_handles:.0f}",
            last_handles <= MAX_GROWTH * handles,
        ),
        Verdict(
            f"at {OVERLOAD:.0f} x capacity the answered keep P95 within 2 x",
            f"{1000 * over:.0f} ms after {1000 * calm_sent:.0f} ms, {len(answered) / run.over.seconds:,.0f} a second",
            over <= 2 * calm_sent,
        ),
        Verdict(
            "the rest get 429 or 503 at once",
            f"{len(refused):,} of {len(run.over.sent):,} in {1000 * turned_away:.0f} ms (P95), {lost} lost",
            lost == 0 and turned_away < AT_ONCE_SECONDS,
        ),
        Verdict(
            f"back to normal within {RECOVERY_SECONDS:.0f} s",
            f"{back:.1f} s" if back is not None else "not within 10 s",
            back is not None and back <= RECOVERY_SECONDS,
        ),
    ]


def percentile(values: Sequence[float], share: float) -> float:
    """0 for none."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else 0.0


def _thirds(values: Sequence[float]) -> tuple[float, float, float]:
    """The median of each third: a peak is no trend."""
    length = max(1, len(values) // 3)
    parts = (values[:length], values[length : 2 * length], values[2 * length :] or values[-1:])
    first, second, last = (percentile(part, 0.5) for part in parts)
    return first, second, last


def _recovered_after(after: Result, limit: float) -> float | None:
    """Seconds until texts are answered within the limit again, for a second on end."""
    started = min((asked for asked, _, _ in after.sent), default=0.0)
    for half_seconds in range(int(4 * RECOVERY_SECONDS)):
        start = started + half_seconds / 2
        window = [(seconds, status) for asked, seconds, status in after.sent if start <= asked < start + 1]
        well = [seconds for seconds, status in window if status == 200 and seconds <= max(limit, TEXT_P95_SECONDS)]
        if window and len(well) >= 0.95 * len(window):
            return half_seconds / 2
    return None


def page(run: Run) -> str:
    """The run as a page."""
    lines = [
        "# Soak and overload\n",
        f"{time.strftime('%Y-%m-%d')}, {platform.machine()}, {psutil.cpu_count()} cores, Python "
        f"{platform.python_version()}. `make soak`; the load comes from the same cores.\n",
        f"{run.steady_seconds / 60:.1f} minutes at {UTILISATION:.0%} of capacity, then {run.over_seconds:.0f} s of "
        f"texts, {len(run.over.sent) / run.over.seconds:,.0f} a second sent of {OVERLOAD:.0f} times capacity.\n",
        "| promise | measured | kept |\n|---|---|---|",
        *(f"| {one.promise} | {one.measured} | {'yes' if one.kept else '**no**'} |" for one in verdicts(run)),
        "\n| kind | a second | requests | P50 ms | P95 ms | not 200 |\n|---|---|---|---|---|---|",
    ]
    for kind, result in run.steady.items():
        p50, p95 = (1000 * result.percentile(share) for share in (0.5, 0.95))
        count = len(result.latencies)
        lines.append(f"| {kind} | {run.rates[kind]:.2f} | {count:,} | {p50:.0f} | {p95:.0f} | {result.errors} |")
    memory = [sample.bytes / 1e6 for sample in run.samples]
    lines.append(
        f"\nMemory of service and worker (proportional, without the processes of single files): {memory[0]:,.0f} MB at "
        f"first, {max(memory):,.0f} MB at most."
    )
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    """Run, print the page; 1 if a promise was broken."""
    parser = argparse.ArgumentParser(description="Keep the service busy for a long time, then far too busy.")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--overload-seconds", type=float, default=60.0)
    parser.add_argument("--write", type=Path, help="write the page there too")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="sentiment-") as name:
        folder = Path(name)
        with running_house(folder) as house:
            run = asyncio.run(soak(house, 60 * asked.minutes, asked.overload_seconds))
    text = page(run)
    print(text)
    if asked.write:
        asked.write.write_text(text)
    return int(not all(verdict.kept for verdict in verdicts(run)))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
