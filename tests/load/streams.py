"""How long live streams wait for their results: `python -m tests.load.streams [sessions] [seconds]`.

Each session sends two pictures a second and sound as it is spoken, from one process that shares the machine with the
service. Latency is counted here, from the moment before a picture is sent until its result has been read.
"""

from __future__ import annotations

import asyncio
import io
import itertools
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
import psutil
from PIL import Image

from tests.serving import CHECKOUT, RunningService, own_bytes, running_service
from ui.client.stream import AsyncStream, StreamResult, StreamSummary

PICTURES_PER_SECOND = 2.0
SOUND_SECONDS = 0.25
SAMPLE_RATE = 16_000
SIZE = (640, 480)
EXAMPLES = CHECKOUT / "ui" / "examples"


@dataclass
class Measured:
    """What one session saw."""

    sent: int = 0
    latencies: list[float] = field(default_factory=list)
    """Seconds, of pictures."""
    sound_latencies: list[float] = field(default_factory=list)
    """Seconds from the end of a step of sound to its result, as the service counts them."""
    dropped: int = 0
    late: float = 0.0
    """Seconds by which the sender fell behind its own clock at the most."""
    heard_seconds: float = 0.0


def pictures() -> list[bytes]:
    """The example portrait at places and sizes of a person who moves a little, as a camera's JPEGs."""
    portrait, found = Image.open(EXAMPLES / "portrait.jpg"), []
    for step in range(8):
        side = 400 + 10 * step
        scene = Image.new("RGB", SIZE, (150, 160, 170))
        scene.paste(portrait.resize((side, side)), (60 + 12 * step, 20))
        written = io.BytesIO()
        scene.save(written, "JPEG", quality=85)
        found.append(written.getvalue())
    return found


def speech() -> bytes:
    """The example speech as PCM."""
    with av.open(str(EXAMPLES / "inaugural.ogg")) as opened:
        resampler = av.AudioResampler("s16", "mono", SAMPLE_RATE)
        parts = [part.to_ndarray() for frame in opened.decode(audio=0) for part in resampler.resample(frame)]
    return np.concatenate(parts, axis=1)[0].tobytes()


async def session(address: str, seconds: float, shown: Sequence[bytes], spoken: bytes) -> Measured:
    """One session from start to summary."""
    measured = Measured()
    await asyncio.sleep(random.uniform(0, 1 / PICTURES_PER_SECOND))
    async with AsyncStream(address) as stream:
        sending = asyncio.gather(
            _send_pictures(stream, seconds, shown, measured), _send_sound(stream, seconds, spoken, measured)
        )
        reading = asyncio.create_task(_read(stream, measured))
        await sending
        await stream.stop()
        await reading
    return measured


async def _send_pictures(stream: AsyncStream, seconds: float, shown: Sequence[bytes], measured: Measured) -> None:
    started = time.time()
    for number, picture in zip(range(int(seconds * PICTURES_PER_SECOND)), itertools.cycle(shown), strict=False):
        due = started + number / PICTURES_PER_SECOND
        await asyncio.sleep(max(0.0, due - time.time()))
        measured.late = max(measured.late, time.time() - due)
        await stream.picture(picture)
        measured.sent += 1


async def _send_sound(stream: AsyncStream, seconds: float, spoken: bytes, measured: Measured) -> None:
    size = round(SOUND_SECONDS * SAMPLE_RATE) * 2
    started = time.time()
    for number in range(int(seconds / SOUND_SECONDS)):
        await asyncio.sleep(max(0.0, started + (number + 1) * SOUND_SECONDS - time.time()))
        at = number * size % (len(spoken) - size)
        await stream.sound(spoken[at : at + size], started + number * SOUND_SECONDS)


async def _read(stream: AsyncStream, measured: Measured) -> None:
    async for event in stream:
        if isinstance(event, StreamResult):
            if event.source == "face" and event.captured is not None:
                measured.latencies.append(time.time() - event.captured / 1000)
            elif event.source == "speech":
                measured.sound_latencies.append(event.latency)
        elif isinstance(event, StreamSummary):
            measured.dropped = event.dropped
            measured.heard_seconds = (event.analysis.media.seconds or 0.0) if event.analysis.media else 0.0


def quantile(values: Sequence[float], share: float) -> float:
    """By nearest rank; NaN of nothing."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(share * len(ranked)))] if ranked else float("nan")


def row(sessions: Sequence[Measured], seconds: float, busy: float, memory: float) -> str:
    """One line of the table."""
    every = [latency for one in sessions for latency in one.latencies]
    sound = [latency for one in sessions for latency in one.sound_latencies]
    worst = max(quantile(one.latencies, 0.95) for one in sessions)
    results = [len(one.latencies) for one in sessions]
    dropped, sent = sum(one.dropped for one in sessions), sum(one.sent for one in sessions)
    cells = (
        str(len(sessions)),
        f"{seconds:.0f}",
        *(f"{1000 * value:.0f}" for value in (quantile(every, 0.5), quantile(every, 0.95), worst, max(every))),
        *(f"{1000 * value:.0f}" for value in (quantile(sound, 0.5), quantile(sound, 0.95))),
        f"{dropped} of {sent}",
        f"{min(results)} to {max(results)}",
        f"{1000 * max(one.late for one in sessions):.0f}",
        f"{busy:.0f}",
        f"{memory / 1e6:.0f}",
    )
    return f"| {' | '.join(cells)} |"


COLUMNS = (
    "sessions",
    "seconds",
    "p50",
    "p95",
    "p95 of the slowest",
    "slowest picture",
    "sound p50",
    "sound p95",
    "pictures dropped",
    "results a session",
    "sender late",
    "processor %",
    "memory MB",
)


async def measure(address: str, sessions: int, seconds: float) -> list[Measured]:
    """So many sessions at once."""
    shown, spoken = pictures(), speech()
    return list(await asyncio.gather(*(session(address, seconds, shown, spoken) for _ in range(sessions))))


def main(sessions: int, seconds: float) -> None:
    """Print one row for a single session and one for all of them."""
    with tempfile.TemporaryDirectory() as folder, running_service(Path(folder)) as service:
        print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
        asyncio.run(measure(service.address, 1, 3.0))
        for count in (1, sessions):
            before, started = _spent(service), time.monotonic()
            measured = asyncio.run(measure(service.address, count, seconds))
            busy = 100 * (_spent(service) - before) / (time.monotonic() - started)
            memory = sum(own_bytes(process) for process in service.family())
            print(row(measured, seconds, busy, memory), flush=True)
            heard = statistics.fmean(one.heard_seconds for one in measured)
            print(f"heard {heard:.1f} s of {seconds:.1f} s on average", file=sys.stderr)


def _spent(service: RunningService) -> float:
    """Processor seconds of the service's processes, those included that have ended."""
    spent = 0.0
    for process in service.family():
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        spent += times.user + times.system + times.children_user + times.children_system
    return spent


if __name__ == "__main__":
    given = [float(number) for number in sys.argv[1:]]
    main(int(given[0]) if given else 20, given[1] if len(given) > 1 else 45.0)
