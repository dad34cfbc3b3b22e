"""Live sessions of the page: one stream to the service for each open page, from its first frame to its summary."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from ui.answers import Analysis, TimelinePoint, TranscriptSegment
from ui.client.stream import AsyncStream, StreamResult, StreamSummary, StreamTranscript, StreamWarning
from ui.microphone import SAMPLE_RATE, Microphone
from ui.problems import ServiceError

State = Literal["waiting", "opening", "live", "ending", "ended"]

KEPT_PICTURES = 8
"""Pictures whose result may still come, so that faces can be drawn on the very picture that they were found in."""
MAX_WAITING_SOUNDS = 600
"""Chunks of a tenth of a second; the oldest goes if the service takes none for so long."""
TOGETHER_SECONDS = 0.05
LOST_SECONDS = 1.5
"""Chunks come this late at the most; a longer gap is a chunk that was lost, or a microphone that was off."""
KEPT_SECONDS = 60.0
QUIET_SECONDS = 15.0
"""Camera and microphone off for so long: the stream is summed up."""
SUMMARY_SECONDS = 30.0

Opener = Callable[[bool], AsyncStream]
"""Makes a stream that is not open yet, with or without a transcript."""


@dataclass
class Seen:
    """What is on the page now; `version` counts its changes."""

    state: State = "waiting"
    version: int = 0
    result: StreamResult | None = None
    latency: float | None = None
    """Seconds from when a picture came from the browser until its result was here."""
    picture: bytes | None = None
    """The picture that the last faces were found in."""
    faces: StreamResult | None = None
    points: deque[TimelinePoint] = field(default_factory=deque)
    words: deque[TranscriptSegment] = field(default_factory=lambda: deque(maxlen=6))
    warning: StreamWarning | None = None
    summary: Analysis | None = None
    error: ServiceError | None = None
    dropped: int = 0


class LiveSession:
    """One page's stream. A frame starts it; `stop`, silence or the service end it.

    Taking a frame never waits: Gradio forgets what comes from a device while the frame before is still being taken.
    """

    def __init__(self, opener: Opener, clock: Callable[[], float] = time.time) -> None:
        self._opener = opener
        self._clock = clock
        self.transcribe = False
        self.seen = Seen()
        self._fresh()

    def _fresh(self) -> None:
        self._microphone = Microphone()
        self._shown: deque[tuple[int, bytes]] = deque(maxlen=KEPT_PICTURES)
        self._picture: tuple[float, bytes] | None = None
        self._sounds: deque[tuple[float, bytes]] = deque(maxlen=MAX_WAITING_SOUNDS)
        self._heard_until: float | None = None
        self._news = asyncio.Event()
        self._stops = False
        self._running: asyncio.Task[None] | None = None

    def picture(self, data: bytes) -> None:
        """A picture came from the browser; if one waits to be sent, this one takes its place."""
        if self._goes_on():
            self._picture = (self._clock(), data)
            self._news.set()

    def sound(self, wav: bytes) -> None:
        """A chunk of the microphone came. Raises `NotSound`."""
        if self._goes_on():
            samples = self._microphone.hear(wav)
            self._sounds.append((self._captured(len(samples) / 2 / SAMPLE_RATE), samples))
            self._news.set()

    def _captured(self, lasted: float) -> float:
        """When a chunk began: where the one before ended, unless so much time has passed that one was lost."""
        begun = self._clock() - lasted
        if self._heard_until is not None and begun - self._heard_until < LOST_SECONDS:
            begun = self._heard_until
        self._heard_until = begun + lasted
        return begun

    async def stop(self) -> None:
        """Sum up, and wait for it."""
        if self._running is not None:
            self._change(state="ending")
            self._stops = True
            self._news.set()
            await asyncio.wait([self._running], timeout=SUMMARY_SECONDS)
        await self.close()

    def again(self) -> None:
        """Forget what was, and wait for a frame."""
        if self.seen.state == "ended":
            self.seen = Seen(version=self.seen.version + 1)
            self._fresh()

    async def close(self) -> None:
        """Let go of the stream at once."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])

    def _goes_on(self) -> bool:
        """Whether frames are taken now; the first opens the stream."""
        if self.seen.state == "waiting":
            self._change(state="opening")
            self._running = asyncio.create_task(self._run())
        return self.seen.state in ("opening", "live")

    async def _run(self) -> None:
        try:
            async with self._opener(self.transcribe) as stream:
                self._change(state="live")
                sending = asyncio.create_task(self._send(stream))
                try:
                    async for event in stream:
                        self._note(event)
                finally:
                    sending.cancel()
        except ServiceError as error:
            self._change(error=error)
        finally:
            self._change(state="ended")

    async def _send(self, stream: AsyncStream) -> None:
        """Send what waits, until it is stopped or nothing has come for a while."""
        try:
            while await self._more():
                while self._sounds:
                    captured, samples = self._gathered()
                    if samples:
                        await stream.sound(samples, captured)
                picture, self._picture = self._picture, None
                if picture is not None:
                    self._shown.append((round(1000 * picture[0]), picture[1]))
                    await stream.picture(picture[1], picture[0])
            self._change(state="ending")
            await stream.stop()
        except ServiceError:
            return  # whoever reads the stream hears why it is closed

    def _gathered(self) -> tuple[float, bytes]:
        """All sound that waits, up to where some was lost: browsers give it in tenths of a second."""
        captured, samples = self._sounds.popleft()
        while self._sounds and abs(self._sounds[0][0] - captured - len(samples) / 2 / SAMPLE_RATE) < TOGETHER_SECONDS:
            samples += self._sounds.popleft()[1]
        return captured, samples

    async def _more(self) -> bool:
        """Wait for a frame; False when there will be none."""
        try:
            await asyncio.wait_for(self._news.wait(), QUIET_SECONDS)
        except (asyncio.TimeoutError, TimeoutError):
            return False
        self._news.clear()
        return not self._stops

    def _note(self, event: Any) -> None:
        if isinstance(event, StreamResult):
            self._note_result(event)
        elif isinstance(event, StreamTranscript):
            self.seen.words.extend(event.segments)
            self._change()
        elif isinstance(event, StreamWarning):
            self._change(warning=event)
        elif isinstance(event, StreamSummary):
            self._change(summary=event.analysis, dropped=event.dropped)

    def _note_result(self, result: StreamResult) -> None:
        if result.source == "face" and result.captured is not None:
            self.seen.latency = max(0.0, self._clock() - result.captured / 1000)
            picture = next((data for captured, data in self._shown if captured == result.captured), None)
            self._change(picture=picture or self.seen.picture, faces=result)
        _extend(self.seen.points, result)
        self._change(result=result, dropped=result.dropped)

    def _change(self, **changed: Any) -> None:
        for name, value in changed.items():
            setattr(self.seen, name, value)
        self.seen.version += 1


def _extend(points: deque[TimelinePoint], result: StreamResult) -> None:
    """One point a second: the last verdict in it; what is older than `KEPT_SECONDS` goes."""
    start = float(int(result.time))
    said = result.modalities
    point = TimelinePoint(start, start + 1.0, result.sentiment, said.get("text"), said.get("speech"), said.get("face"))
    while points and points[-1].start >= start:
        points.pop()
    points.append(point)
    while points[-1].end - points[0].start > KEPT_SECONDS:
        points.popleft()
