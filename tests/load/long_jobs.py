"""Long jobs on a real worker: how long they take, and what memory they need while they run.

    python -m tests.load.long_jobs audio video texts [--write docs/benchmarks/jobs.md]

Two hours of audio, one hour of video and 100,000 texts, made of the sample files; the memory is that of the worker with
its decoding processes. It counts as flat if its last third is no higher than the second plus 2 %.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import platform
import statistics
import tempfile
import time
import wave
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from itertools import cycle, islice
from pathlib import Path

import av
import numpy as np
import psutil

from service.database import Database
from service.jobs.folders import MEDIA_RESULT, TEXTS_RESULT
from service.jobs.intake import Jobs, Wish
from service.jobs.store import Job
from service.settings import Settings
from tests.conftest import samples_folder
from tests.jobs_running import RunningWorker, running_worker, submit

SAMPLE_RATE = 16_000
AUDIO_SECONDS = 7200
VIDEO_SECONDS = 3600
ROWS = 100_000
PAUSE_SECONDS = 20
LIMIT_MEGABYTES = 200
EVERY_SECONDS = 1.0
OWNER = "long-jobs"
LASTING = {MEDIA_RESULT, TEXTS_RESULT, "lock"}
SENTENCES = ("I love how calm it is here", "The train leaves at nine", "What a dreadful waste of a day", "It is fine")


@dataclass
class Course:
    """One job's run: seconds since its begin with the bytes in use, and how it went."""

    name: str
    idle_bytes: int
    samples: list[tuple[float, int]] = field(default_factory=list)
    seconds: float = 0.0
    job: Job | None = None
    orphans: list[str] = field(default_factory=list)
    """Files that are left beside the result."""

    @property
    def peak_bytes(self) -> int:
        return max(used for _, used in self.samples)

    def third(self, number: int) -> int:
        """The median of a third of the run, 0 to 2."""
        share = max(1, len(self.samples) // 3)
        return round(statistics.median(used for _, used in self.samples[number * share : (number + 1) * share]))

    @property
    def is_flat(self) -> bool:
        return self.third(2) <= 1.02 * self.third(1)


def make_audio(path: Path, seconds: int) -> None:
    """Speech of the samples with pauses of quiet noise, as a WAV file."""
    spoken = [_decoded(file) for file in (samples_folder() / "audio" / "jfk.ogg",)]
    noise = (np.random.default_rng(0).normal(0, 3, PAUSE_SECONDS * SAMPLE_RATE)).astype(np.int16)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        written = 0
        for piece in cycle([piece for one in spoken for piece in (one, noise)]):
            file.writeframes(piece.tobytes())
            written += len(piece)
            if written >= seconds * SAMPLE_RATE:
                return


def make_video(path: Path, seconds: int) -> None:
    """The packets of a sample again and again: nothing is encoded."""
    with (
        av.open(str(samples_folder() / "video" / "portrait_with_speech.mp4")) as source,
        av.open(str(path), "w", format="mp4") as out,
    ):
        streams = {stream.index: out.add_stream_from_template(stream) for stream in source.streams}
        packets = [packet for packet in source.demux() if packet.dts is not None]
        length = max(float((packet.pts + (packet.duration or 0)) * packet.time_base) for packet in packets) + 0.5
        for turn in range(int(seconds / length) + 1):
            source.seek(0)
            for packet in source.demux():
                if packet.dts is None:
                    continue
                shift = round(turn * length / packet.time_base)
                packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                packet.stream = streams[packet.stream.index]
                out.mux(packet)


def make_texts(path: Path, rows: int) -> None:
    """A table of short sentences, no two the same."""
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("id", "text"))
        for number, sentence in enumerate(islice(cycle(SENTENCES), rows)):
            table.writerow((number, f"{sentence}, said visitor {number}"))


MAKERS: dict[str, tuple[Callable[[Path, int], None], int, str]] = {
    "audio": (make_audio, AUDIO_SECONDS, "2 h of audio"),
    "video": (make_video, VIDEO_SECONDS, "1 h of video"),
    "texts": (make_texts, ROWS, "100,000 texts"),
}


async def run(names: list[str], scale: float) -> list[Course]:
    """Each job in turn on one worker, after a short one that loads the models."""
    with tempfile.TemporaryDirectory(prefix="long-jobs-") as folder:
        state = Path(folder)
        settings = Settings(state_folder=state, min_free_bytes=0)
        database = Database.of(settings)
        jobs = Jobs(settings, database)
        with running_worker(state, state_folder=state, min_free_bytes=0, job_niceness=0) as worker:
            courses = []
            for name in names:
                make, size, title = MAKERS[name]
                for course in (Course("warming up", 0), Course(title, 0)):
                    path = state / "input"
                    warming = course.name == "warming up"
                    make(path, min(60 if name != "texts" else 1000, size) if warming else round(size * scale))
                    if not warming:
                        course.idle_bytes = _used(worker)
                    await _follow(course, await submit(jobs, _wish(name), **{_field(name): path}), jobs, worker)
                course.orphans = _orphans(jobs)
                courses.append(course)
                print(_line(course), flush=True)
        await database.close()
    return courses


async def _follow(course: Course, identifier: str, jobs: Jobs, worker: RunningWorker) -> None:
    began = time.monotonic()
    while True:
        job = await jobs.find(identifier, OWNER)
        assert job is not None, "the job is gone"
        course.samples.append((time.monotonic() - began, _used(worker)))
        if job.state in ("done", "failed"):
            break
        if len(course.samples) % 60 == 0:
            print(f"  {job.done:,.0f} {job.unit}, {course.samples[-1][1] / 1e6:.0f} MB", flush=True)
        await asyncio.sleep(EVERY_SECONDS)
    course.seconds, course.job = time.monotonic() - began, job
    if job.state != "done":
        raise SystemExit(f"{course.name}: {job.problem}")


def _used(worker: RunningWorker) -> int:
    """Memory of the worker and its decoding processes that is theirs alone."""
    process = psutil.Process(worker.process.pid)
    used = 0
    for one in (process, *process.children(recursive=True)):
        try:
            used += one.memory_full_info().uss
        except psutil.NoSuchProcess:
            continue
    return used


def _orphans(jobs: Jobs) -> list[str]:
    """What lies in the folder of the jobs and is neither a result nor a lock."""
    files = [path for path in jobs.folders.root.rglob("*") if path.is_file()]
    return [str(path.relative_to(jobs.folders.root)) for path in files if path.name not in LASTING]


def _wish(name: str) -> Wish:
    options = {"language": "en"}
    wish = Wish(owner=OWNER, kind=name, request={"options": options, "files": [name]}, digest="", unit="seconds")
    if name != "texts":
        return wish
    return replace(wish, unit="rows", request={"options": options, "format": "csv", "column": None})


def _field(name: str) -> str:
    return "file" if name == "texts" else name


def _decoded(path: Path) -> np.ndarray:
    resampler = av.AudioResampler("s16", "mono", SAMPLE_RATE)
    with av.open(str(path)) as source:
        frames = [out for frame in source.decode(audio=0) for out in resampler.resample(frame)]
    return np.concatenate([frame.to_ndarray()[0] for frame in frames])


def _line(course: Course) -> str:
    idle, peak = course.idle_bytes / 1e6, course.peak_bytes / 1e6
    thirds = " / ".join(f"{course.third(number) / 1e6:.0f}" for number in range(3))
    flat = "yes" if course.is_flat else "no"
    held = "yes" if peak - idle <= LIMIT_MEGABYTES else "no"
    parts = course.job.parts if course.job else 0
    return (
        f"| {course.name} | {course.seconds:.0f} s | {parts} | {idle:.0f} | {peak:.0f} | {peak - idle:+.0f} ({held}) "
        f"| {thirds} ({flat}) | {', '.join(course.orphans) or 'none'} |"
    )


def report(courses: list[Course], scale: float) -> str:
    """The page for `docs/benchmarks`."""
    now = datetime.now(timezone.utc)
    curves = [
        f"{course.name}: "
        + ", ".join(f"{used / 1e6:.0f}" for _, used in course.samples[:: max(1, len(course.samples) // 30)])
        for course in courses
    ]
    return "\n".join(
        [
            "# Long jobs",
            "",
            f"{now:%Y-%m-%d %H:%M} UTC, {psutil.cpu_count()} cores ({platform.machine()}), Python "
            f"{platform.python_version()}, load average {psutil.getloadavg()[0]:.1f} at the end"
            + ("" if scale == 1 else f", inputs at {scale:g} of their length")
            + ".",
            "`python -m tests.load.long_jobs` on one worker beside other work. Memory is the unique set size of the",
            "worker and its decoding processes, in MB; idle is with all models loaded, after a short job of the same",
            "kind. The audio is speech with pauses (a third is speech), as 16 kHz WAV; the video a face that speaks.",
            "",
            "| job | took | parts | idle | peak | above idle (≤ 200?) | medians of thirds (flat?) | orphan files |",
            "|---|---|---|---|---|---|---|---|",
            *(_line(course) for course in courses),
            "",
            "Memory over the run (MB):",
            "",
            *(f"- {curve}" for curve in curves),
            "",
        ]
    )


def main() -> None:
    """Run what is named, print, and write if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("jobs", nargs="*", default=list(MAKERS))
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full length")
    parser.add_argument("--write", type=Path, help="where the page goes")
    asked = parser.parse_args()
    page = report(asyncio.run(run(asked.jobs, asked.scale)), asked.scale)
    print(page)
    if asked.write:
        asked.write.parent.mkdir(parents=True, exist_ok=True)
        asked.write.write_text(page)


if __name__ == "__main__":
    main()
