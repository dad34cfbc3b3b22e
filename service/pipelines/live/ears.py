"""What a live session hears: every sound, in steps."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import numpy as np

from service.domain.analysis import Notice
from service.domain.timeline import Moment
from service.features.speech import SAMPLE_RATE, Samples
from service.media.pcm import Pcm
from service.media.stream import Samples as Chunk
from service.pipelines.found import Found
from service.pipelines.live.clock import Frame
from service.pipelines.live.events import Words
from service.pipelines.live.start import Start
from service.pipelines.media import Tools
from service.pipelines.speech import Listener, without_doubtful_words

STEP_SECONDS = 2.0
"""Sound is heard in steps of this length, as it is when a file is decoded: hence the same numbers."""

BACKLOG_SECONDS = 30.0
"""So much sound may wait; then whoever sends it waits."""

MAX_GAP_SECONDS = 60.0
MIN_GAP_SECONDS = 0.1
"""Between these, missing sound becomes silence; less is jitter, more a broken clock (as in `media.audio`)."""


@dataclass(frozen=True)
class Step:
    """Sound to be heard at once, and the frame that it ended in."""

    chunk: Chunk
    last: Frame


@dataclass(frozen=True)
class Heard:
    """What one step brought: moments of speech that ended, the voice in speech that goes on, words."""

    moments: Sequence[Moment]
    speaking: Moment | None
    words: Sequence[Words]


class Ears:
    """Sound that waits, gathered into steps, and what was heard so far."""

    def __init__(self, start: Start, tools: Tools) -> None:
        self._settings = tools.settings
        self._language = start.options.language
        options = start.options
        self._listener = Listener(tools.models, self._language, options.transcribe == "auto", explain=options.explain)
        self._pcm = Pcm(start.sample_rate)
        self._timestamps = start.timestamps
        self._gathered: list[Samples] = []
        self._count = 0
        self._received = 0
        self._told = 0
        self._steps: deque[Step] = deque()
        self._last: Frame | None = None
        self._news, self._room = asyncio.Event(), asyncio.Event()
        self._closed = False

    @property
    def seconds(self) -> float:
        """How far the sound reaches that has come."""
        return self._received / SAMPLE_RATE

    async def play(self, frame: Frame, begun: float) -> None:
        """Take sound in that began at this time; waits while too much is waiting."""
        self._last = frame
        self._fill_gap(begun)
        self._gather(self._pcm.add(frame.data))
        while len(self._steps) * STEP_SECONDS > BACKLOG_SECONDS:
            self._room.clear()
            await self._room.wait()

    def close(self) -> None:
        """No sound will come any more."""
        self._gather(self._pcm.finish())
        if self._count and self._last is not None:
            self._step(self._count)
        self._closed = True
        self._news.set()

    async def steps(self) -> AsyncIterator[Step]:
        """Step after step; ends after `close`."""
        while True:
            await self._news.wait()
            if not self._steps:
                return
            step = self._steps.popleft()
            if not self._steps and not self._closed:
                self._news.clear()
            self._room.set()
            yield step

    async def hear(self, step: Step) -> Heard:
        """Hear one step. Raises `RunnerError`."""
        listener = self._listener
        moments = len(listener.heard.moments)
        await listener.feed(step.chunk)
        await listener.take_down()
        return Heard(listener.heard.moments[moments:], await listener.now(), self.words())

    def words(self) -> list[Words]:
        """What was put into words since this was asked last."""
        new = self._listener.heard.transcripts[self._told :]
        self._told += len(new)
        return [Words(one.language, one.segments) for one in new if one.segments]

    async def finish(self) -> Found:
        """What the whole sound says. Raises `RunnerError`."""
        if not self._received:
            return Found(notices=(Notice("no_audio", "No sound was sent."),))
        return without_doubtful_words(await self._listener.finish(), self._settings.min_transcript_confidence)

    def cancel(self) -> None:
        """Give up what is being put into words."""
        self._listener.cancel()

    def _fill_gap(self, begun: float) -> None:
        """Silence for what is missing, by the sender's clock; without one, sound is as long as its samples."""
        gap = begun - self.seconds
        known = self._timestamps or not self._received
        if known and MIN_GAP_SECONDS < gap < MAX_GAP_SECONDS:
            self._gather(np.zeros(round(gap * SAMPLE_RATE), np.float32))

    def _gather(self, samples: Samples) -> None:
        self._gathered.append(samples)
        self._count += len(samples)
        self._received += len(samples)
        whole = round(STEP_SECONDS * SAMPLE_RATE)
        while self._count >= whole and self._last is not None:
            self._step(whole)

    def _step(self, size: int) -> None:
        samples = np.concatenate(self._gathered)
        start = (self._received - self._count) / SAMPLE_RATE
        assert self._last is not None  # whoever gathers has played
        self._steps.append(Step(Chunk(start, samples[:size]), self._last))
        self._gathered, self._count = [samples[size:]], self._count - size
        self._news.set()
