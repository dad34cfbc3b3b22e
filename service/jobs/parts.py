"""The finished parts of a recording, on disk: whoever takes the job on later goes on after the last of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from pydantic import TypeAdapter

from service.features.occlusion import write_crop
from service.features.speech import write_samples
from service.jobs.folders import read_json, write_whole
from service.jobs.progress import Progress
from service.pipelines.checkpoint import Checkpoint
from service.pipelines.face import Sighting
from service.pipelines.speech import Ear, Heard


@dataclass(frozen=True)
class News:
    """What one part added."""

    heard: Heard
    seen: list[tuple[int, Sighting]]


@dataclass(frozen=True)
class Standing:
    """Where the pass stood after `parts` parts; it takes the place of the one before."""

    parts: int
    heard_seconds: float
    seen_seconds: float
    ear: Ear
    frames_read: int
    timings: Mapping[str, float]
    best: Mapping[int, Sighting] = field(default_factory=dict)


_NEWS = TypeAdapter(News)
_STANDING = TypeAdapter(Standing)

Reach = Callable[[str, Progress], None]
Kept = Callable[[str, Checkpoint], Awaitable[None]]


class PartsNotebook:
    """A `Notebook` in a folder: a file a part with what it added, and one with where the pass stands."""

    def __init__(self, folder: Path, name: str, part_seconds: float, reach: Reach, kept: Kept) -> None:
        """`name` is the recording's; `reach` hears how far it is read, `kept` of each part that is safe."""
        self.part_seconds = part_seconds
        self._folder = folder
        self._name = name
        self._reach = reach
        self._kept = kept
        self._total: float | None = None
        self._parts = 0
        self._last: Checkpoint | None = None

    def read(self) -> None:
        """Look up where an earlier pass stopped, blocking."""
        stored = read_json(self._standing_path)
        if stored is None:
            return
        standing = _STANDING.validate_python(stored)
        heard, seen = Heard(), []
        for part in range(1, standing.parts + 1):
            news = _NEWS.validate_python(read_json(self._part_path(part)))
            heard.add(news.heard)
            seen += news.seen
        self._parts = standing.parts
        self._last = Checkpoint(
            heard_seconds=standing.heard_seconds,
            seen_seconds=standing.seen_seconds,
            ear=standing.ear,
            heard=heard,
            seen=seen,
            best=standing.best,
            frames_read=standing.frames_read,
            timings=standing.timings,
        )

    def last(self) -> Checkpoint | None:
        """Where an earlier pass stopped, as `read` found it; it is handed over once."""
        last, self._last = self._last, None
        return last

    def begin(self, total_seconds: float | None) -> None:
        """The recording lasts about so long."""
        self._total = total_seconds

    def reach(self, seconds: float) -> None:
        """It is read up to here."""
        self._reach(self._name, Progress(seconds, self._total and max(self._total, seconds)))

    async def keep(self, part: Checkpoint) -> None:
        """Write a part down for good. Raises `NoSpace` and what whoever hears of it raises."""
        await asyncio.to_thread(self._write, part)
        self._parts += 1
        await self._kept(self._name, part)

    def _write(self, part: Checkpoint) -> None:
        """First what was added, then where it stands: a part without its standing is written over."""
        number = self._parts + 1
        standing = Standing(
            number, part.heard_seconds, part.seen_seconds, part.ear, part.frames_read, part.timings, part.best
        )
        write_whole(self._part_path(number), _json(News(part.heard, part.seen)))
        write_whole(self._standing_path, _json(standing))

    @property
    def _standing_path(self) -> Path:
        return self._folder / f"{self._name}.json"

    def _part_path(self, part: int) -> Path:
        return self._folder / f"{self._name}-{part:05}.json"


def _json(value: Any) -> bytes:
    return orjson.dumps(value, default=_plain, option=orjson.OPT_NON_STR_KEYS)


def _plain(value: Any) -> Any:
    """Samples, crops of faces and numpy's numbers, which JSON does not know."""
    if isinstance(value, np.ndarray):
        return write_crop(value) if value.dtype == np.uint8 else write_samples(value)
    if isinstance(value, np.floating):
        return float(value)
    raise TypeError(f"{type(value).__name__} cannot be written down")
