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
    """One page's stream. Pictures and sound start it; `stop`, silence or the service end it."""

    def __init__(self, opener: Opener, clock: Callable[[], float] = time.time) -> None:
        self._opener = opener
        self._clock = clock
        self.transcribe = False
        self._fresh()

    def _fresh(self) -> None:
        self.seen = Seen()
        self._stream: AsyncStream | None = None
        self._microphone = Microphone()
        self._pictures: deque[tuple[int, bytes]] = deque(maxlen=KEPT_PICTURES)
        self._reading: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._last = self._clock()

    async def picture(self, data: bytes) -> None:
        """A picture came from the browser."""
        now = self._clock()
        if await self._opened():
            self._pictures.append((round(1000 * now), data))
            await self._send(lambda stream: stream.picture(data, now))

    async def sound(self, wav: bytes) -> None:
        """A chunk of the microphone came. Raises `NotSound`."""
        if await self._opened():
            samples = self._microphone.hear(wav)
            captured = self._clock() - len(samples) / 2 / SAMPLE_RATE
            if samples:
                await self._send(lambda stream: stream.sound(samples, captured))

    async def stop(self) -> None:
        """Sum up, and wait for it."""
        if self.seen.state == "live" and self._stream is not None:
            self._change(state="ending")
            await self._send(lambda stream: stream.stop())
        if self._reading is not None:
            await asyncio.wait([self._reading], timeout=SUMMARY_SECONDS)
        await self.close()

    def again(self) -> None:
        """Forget what was, and wait for a frame."""
        if self.seen.state == "ended":
            version = self.seen.version
            self._fresh()
            self._change(version=version + 1)

    async def close(self) -> None:
        """Let go of the stream at once."""
        if self.seen.state != "waiting":
            self._change(state="ended")
        for task in (self._watching, self._reading):
            if task is not None and task is not asyncio.current_task():
                task.cancel()
        stream, self._stream = self._stream, None
        if stream is not None:
            await stream.aclose()

    async def _opened(self) -> bool:
        """Whether frames go out now; the first opens the stream."""
        self._last = self._clock()
        if self.seen.state == "waiting":
            self._change(state="opening")
            stream = self._opener(self.transcribe)
            try:
                await stream.open()
            except ServiceError as error:
                self._change(state="ended", error=error)
                return False
            if self.seen.state != "opening":  # it was stopped meanwhile
                await stream.aclose()
                return False
            self._stream = stream
            self._change(state="live")
            self._reading = asyncio.create_task(self._read(stream))
            self._watching = asyncio.create_task(self._watch())
        return self.seen.state == "live"

    async def _send(self, send: Callable[[AsyncStream], Any]) -> None:
        """What cannot be sent is not missed here: the reader hears why the stream has ended."""
        if self._stream is not None:
            try:
                await send(self._stream)
            except ServiceError:
                return

    async def _read(self, stream: AsyncStream) -> None:
        try:
            async for event in stream:
                self._note(event)
        except ServiceError as error:
            self._change(error=error)
        self._change(state="ended")
        await self.close()

    async def _watch(self) -> None:
        """Sum up when nothing has come for a while."""
        while self._clock() - self._last < QUIET_SECONDS:
            await asyncio.sleep(1.0)
        if self.seen.state == "live":
            self._change(state="ending")
            await self._send(lambda stream: stream.stop())

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
            picture = next((data for captured, data in self._pictures if captured == result.captured), None)
            self._change(picture=picture or self.seen.picture, faces=result)
        _extend(self.seen.points, result)
        self._change(result=result, dropped=result.dropped)

    def _change(self, **changed: Any) -> None:
        for name, value in changed.items():
            setattr(self.seen, name, value)
        if "version" not in changed:
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
