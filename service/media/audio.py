"""Sound, inside the decoding process: any rate, layout and sample format becomes mono at 16 kHz without gaps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction

import av
import numpy as np
from av.error import BlockingIOError, EOFError
from av.filter import Graph
from numpy.typing import NDArray

SAMPLE_RATE = 16_000

CHUNK_SAMPLES = 2 * SAMPLE_RATE

_GAP_SECONDS = 0.1
"""Clocks that differ by less are jitter: containers round times, coders delay by a frame."""

_MAX_GAP_SECONDS = 60.0
"""A longer jump is a broken clock rather than silence, and is left out."""


@dataclass
class Sound:
    """Gathers decoded frames into chunks of `CHUNK_SAMPLES`; sample n is heard at n / `SAMPLE_RATE` seconds."""

    origin_seconds: float
    _parts: list[NDArray[np.float32]] = field(default_factory=list)
    _gathered: int = 0
    _sent: int = 0
    _resampler: Graph | None = None
    _setup: tuple[object, ...] = ()

    @property
    def seconds(self) -> float:
        """How far the sound reaches."""
        return (self._sent + self._gathered) / SAMPLE_RATE

    def begin_at(self, seconds: float) -> None:
        """The first frame that will be added is heard at this time, not at 0."""
        self._sent = max(0, round(seconds * SAMPLE_RATE))

    def add(self, frame: av.AudioFrame) -> Iterator[tuple[float, NDArray[np.float32]]]:
        """Take one frame in; yields the chunks that are full as (start in seconds, samples)."""
        yield from self._flush_on_change(frame)
        yield from self._fill_gap(frame)
        yield from self._resample(frame)

    def finish(self) -> Iterator[tuple[float, NDArray[np.float32]]]:
        """What is left at the end."""
        yield from self._drain()
        if self._gathered:
            yield self._chunk(np.concatenate(self._parts))

    def _flush_on_change(self, frame: av.AudioFrame) -> Iterator[tuple[float, NDArray[np.float32]]]:
        """A resampler is made for one rate, layout and format; streams may change theirs on the way."""
        setup = (frame.sample_rate, frame.layout.name, frame.format.name)
        if setup != self._setup:
            yield from self._drain()
            self._setup, self._resampler = setup, resampler(frame)

    def _drain(self) -> Iterator[tuple[float, NDArray[np.float32]]]:
        yield from self._resample(None)
        self._resampler = None

    def _resample(self, frame: av.AudioFrame | None) -> Iterator[tuple[float, NDArray[np.float32]]]:
        """Push one frame, or None for the end, and gather what comes out."""
        if self._resampler is not None:
            for resampled in pull(self._resampler, frame):
                yield from self._append(mono(resampled))

    def _fill_gap(self, frame: av.AudioFrame) -> Iterator[tuple[float, NDArray[np.float32]]]:
        """Silence up to where the frame says that it starts."""
        if frame.time is None:
            return
        gap = frame.time - self.origin_seconds - self.seconds
        if _GAP_SECONDS < gap < _MAX_GAP_SECONDS:
            yield from self._append(np.zeros(round(gap * SAMPLE_RATE), np.float32))

    def _append(self, samples: NDArray[np.float32]) -> Iterator[tuple[float, NDArray[np.float32]]]:
        self._parts.append(samples)
        self._gathered += samples.size
        if self._gathered < CHUNK_SAMPLES:
            return
        gathered = np.concatenate(self._parts)
        for start in range(0, gathered.size - CHUNK_SAMPLES + 1, CHUNK_SAMPLES):
            yield self._chunk(gathered[start : start + CHUNK_SAMPLES])
        rest = gathered[gathered.size // CHUNK_SAMPLES * CHUNK_SAMPLES :]
        self._parts, self._gathered = [rest], rest.size

    def _chunk(self, samples: NDArray[np.float32]) -> tuple[float, NDArray[np.float32]]:
        start = self._sent / SAMPLE_RATE
        self._sent += samples.size
        self._gathered -= samples.size
        return start, samples


def pull(graph: Graph, frame: av.AudioFrame | None) -> Iterator[av.AudioFrame]:
    """Push one frame, or None for the end, through a resampler; what comes out of it."""
    graph.push(frame)
    while True:
        try:
            resampled = graph.pull()
        except (BlockingIOError, EOFError):
            return
        if isinstance(resampled, av.AudioFrame):
            yield resampled


def resampler(frame: av.AudioFrame) -> Graph:
    """From frames like `frame` to planes of float32 at `SAMPLE_RATE`; as `av.AudioResampler`, but without threads."""
    graph = Graph()
    graph.threads = 1
    source = graph.add(
        "abuffer",
        sample_rate=str(frame.sample_rate),
        sample_fmt=frame.format.name,
        channel_layout=frame.layout.name,
        time_base=str(frame.time_base or Fraction(1, frame.sample_rate)),
    )
    target = graph.add("aformat", sample_rates=str(SAMPLE_RATE), sample_fmts="fltp", channel_layouts=frame.layout.name)
    graph.link_nodes(source, target, graph.add("abuffersink")).configure()
    return graph


def mono(frame: av.AudioFrame) -> NDArray[np.float32]:
    """The mean of the channels (swresample's own mix would be louder by 3 dB than each)."""
    channels = frame.to_ndarray()
    return channels.mean(axis=0, dtype=np.float32)
