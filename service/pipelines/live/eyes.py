"""What a live session sees: always the newest picture."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence

from service.domain.analysis import Face, Media, Notice
from service.domain.sentiment import verdict
from service.media import MediaError, Undecodable
from service.media.decoder import LivePictures, Picture
from service.pipelines.face import Sighting, Watcher, see
from service.pipelines.found import Found
from service.pipelines.live.clock import Frame
from service.pipelines.media import Tools
from service.runners import RunnerError

MAX_REFUSED = 20
"""So many pictures in a row that cannot be read are no accident."""


class Eyes:
    """The newest picture, and the faces so far."""

    def __init__(self, tools: Tools, *, explain: bool = False) -> None:
        """`explain` keeps what an explanation needs but views: no picture outlives its answer."""
        self._tools = tools
        self.frame_seconds = 1 / tools.settings.frames_per_second
        self._pictures: LivePictures = tools.decoder.live_pictures()
        self._watcher = Watcher(tools.models, self.frame_seconds, explain)
        self._waiting: Frame | None = None
        self._news = asyncio.Event()
        self._closed = False
        self._refused = 0
        self._size: tuple[int, int] | None = None
        self.dropped = 0
        self.seen = 0
        self.seconds = 0.0

    def show(self, frame: Frame) -> None:
        """Put a picture in the place of the one that waits."""
        if self._waiting is not None:
            self.dropped += 1
        self._waiting = frame
        self._news.set()

    def close(self) -> None:
        """No picture will come any more; one that waits is still looked at."""
        self._closed = True
        self._news.set()

    async def frames(self) -> AsyncIterator[Frame]:
        """The newest picture each time, no sooner than the pace allows; ends after `close`."""
        pace = 1 / self._tools.settings.stream_pictures_per_second
        while True:
            await self._news.wait()
            frame, self._waiting = self._waiting, None
            if not self._closed:
                self._news.clear()
            if frame is None:
                return
            started = time.monotonic()
            yield frame
            if not self._closed:
                await asyncio.sleep(max(0.0, started + pace - time.monotonic()))

    async def look(self, frame: Frame) -> list[Sighting]:
        """The faces of a picture, largest first. Raises `MediaError` and `RunnerError`."""
        picture: Picture = await self._pictures.decode(frame.data)
        self._size = (picture.width, picture.height)
        (sightings,) = await see([picture.pixels], [picture.scale], self._tools.models)
        self._refused = 0
        return sightings

    def follow(self, at: float, sightings: Sequence[Sighting]) -> tuple[Face, ...]:
        """Take the faces in; as they are in this picture, each with its track's number."""
        self.seen += 1
        self.seconds = max(self.seconds, at + self.frame_seconds)
        return tuple(
            Face(
                box=sighting.box,
                score=sighting.score,
                quality=sighting.quality,
                sentiment=verdict(sighting.prediction.probabilities),
                emotions=sighting.prediction.emotions,
                track=track,
                start=at,
                end=at + self.frame_seconds,
            )
            for sighting, track in zip(sightings, self._watcher.follow(at, sightings), strict=True)
        )

    def forgive(self, error: MediaError | RunnerError) -> None:
        """A picture is lost. Raises `Undecodable` when too many in a row cannot be read."""
        self._refused += isinstance(error, MediaError)
        if self._refused >= MAX_REFUSED:
            raise Undecodable(f"{MAX_REFUSED} pictures in a row could not be read; the last: {error}") from error

    def finish(self, seconds: float) -> Found:
        """What all faces said."""
        width, height = self._size or (None, None)
        media = Media(seconds, width, height, self.seen)
        if not self.seen:
            return Found(media=media, notices=(Notice("no_video", "No picture was sent."),))
        return self._watcher.finish(self._tools.settings.min_face_quality, media)

    async def end(self) -> None:
        """End the decoding process."""
        await self._pictures.close()
