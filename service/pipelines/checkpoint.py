"""Where a pass over a recording stands, so that another process can go on from there to the same answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from service.domain.labels import Modality
from service.domain.timeline import Moment
from service.features.speech import SAMPLE_RATE
from service.media.stream import Frames, Samples
from service.pipelines.face import Sighting, Watcher
from service.pipelines.speech import Ear, Heard, Listener


@dataclass(frozen=True)
class Checkpoint:
    """The end of one part: what was added in it, and what is in mind there.

    `heard_seconds` and `seen_seconds` say up to where sound and pictures were worked on; what comes after them follows.
    """

    heard_seconds: float
    seen_seconds: float
    ear: Ear
    heard: Heard
    seen: list[tuple[int, Sighting]] = field(default_factory=list)
    """Views of faces with the numbers of their tracks."""
    best: Mapping[int, Sighting] = field(default_factory=dict)
    """By track how a face was seen best until then, where the answer is to be explained."""
    frames_read: int = 0
    timings: Mapping[str, float] = field(default_factory=dict)
    """Seconds spent in each step, from the beginning."""


class Notebook(Protocol):
    """Keeps the parts of one recording that are done."""

    part_seconds: float
    """So much of the recording is one part."""

    def last(self) -> Checkpoint | None:
        """Where an earlier pass stopped, with all that it had found until then; None at the beginning."""
        ...

    def begin(self, total_seconds: float | None) -> None:
        """The recording is open; it lasts about so long, if that is known."""

    def reach(self, seconds: float) -> None:
        """It is read up to here."""

    async def keep(self, part: Checkpoint) -> None:
        """Write a part down for good. What it raises ends the pass."""


class Bookmark:
    """Keeps a notebook for one pass: resumes from it, says what is to be skipped, and writes part after part."""

    def __init__(self, notebook: Notebook, listener: Listener, watcher: Watcher | None) -> None:
        self._notebook = notebook
        self._listener = listener
        self._watcher = watcher
        last = notebook.last()
        self.timings: Mapping[str, float] = last.timings if last else {}
        self.heard_seconds = last.heard_seconds if last else 0.0
        self.seen_seconds = last.seen_seconds if last else -1.0
        if last is not None:
            listener.resume(last.ear, last.heard)
            if watcher is not None:
                watcher.resume(last.seen, last.frames_read, last.best)
        self._remember()
        self._next = self._reached() + notebook.part_seconds

    def _reached(self) -> float:
        return max(self.heard_seconds, self.seen_seconds, 0.0)

    @property
    def is_due(self) -> bool:
        """Whether a part's worth has been read since the last one was kept."""
        return self._reached() >= self._next

    @property
    def has_news(self) -> bool:
        """Whether anything has been read since the last part was kept."""
        return (self.heard_seconds, self.seen_seconds) != self._kept

    @property
    def start_seconds(self) -> float:
        """Nothing before this has to be decoded again."""
        return min((seconds for seconds in (self.heard_seconds, self.seen_seconds) if seconds > 0), default=0.0)

    def unread(self, chunk: Samples | Frames) -> Samples | Frames | None:
        """What of a chunk was not worked on before; from then on it counts as worked on."""
        rest = self._unheard(chunk) if isinstance(chunk, Samples) else self._unseen(chunk)
        self._notebook.reach(self._reached())
        return rest

    def _unheard(self, chunk: Samples) -> Samples | None:
        known = round((self.heard_seconds - chunk.start) * SAMPLE_RATE)
        if known >= len(chunk.samples):
            return None
        known = max(known, 0)
        start = chunk.start + known / SAMPLE_RATE
        self.heard_seconds = chunk.start + len(chunk.samples) / SAMPLE_RATE
        return Samples(start, chunk.samples[known:]) if known else chunk

    def _unseen(self, chunk: Frames) -> Frames | None:
        new = [place for place, time in enumerate(chunk.times) if time > self.seen_seconds]
        if not new:
            return None
        self.seen_seconds = chunk.times[new[-1]]
        times = tuple(chunk.times[place] for place in new)
        return Frames(times[0], times, tuple(chunk.pictures[place] for place in new))

    async def keep(self, timings: Mapping[str, float]) -> None:
        """Write down what came since the last time; nothing may be at work meanwhile."""
        part = Checkpoint(
            heard_seconds=self.heard_seconds,
            seen_seconds=self.seen_seconds,
            ear=await self._listener.pause(),
            heard=self._listener.heard.since(self._written),
            seen=self._watcher.since(self._lengths) if self._watcher else [],
            best=dict(self._watcher.best) if self._watcher else {},
            frames_read=self._watcher.frames_read if self._watcher else 0,
            timings=dict(timings),
        )
        await self._notebook.keep(part)
        self._remember()
        self._next = self._reached() + self._notebook.part_seconds

    def _remember(self) -> None:
        self._kept = self.heard_seconds, self.seen_seconds
        self._written = self._listener.heard.lengths
        self._lengths = {number: len(track) for number, track in self._watcher.tracks.items()} if self._watcher else {}


def moments_of(part: Checkpoint, frame_seconds: float) -> dict[Modality, list[Moment]]:
    """What one part says over its time, as far as it is known before the whole is."""
    return {
        "speech": list(part.heard.moments),
        "face": [Moment(s.time, s.time + frame_seconds, s.prediction, s.quality) for _, s in part.seen],
    }
