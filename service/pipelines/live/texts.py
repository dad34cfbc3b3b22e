"""What is written in a live session: texts, each read once as it comes, and as a whole in the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from service.domain.sentiment import Prediction
from service.domain.timeline import Moment
from service.media import TooLarge
from service.pipelines import Options
from service.pipelines.found import Found
from service.pipelines.live.clock import Frame
from service.pipelines.text import predict, read_text
from service.runners import Models

WAITING = 4
"""So many texts may wait; then whoever sends them waits."""


@dataclass(frozen=True)
class Read:
    """A text, when it came in seconds of the session, and what the model says of it."""

    text: str
    at: float
    prediction: Prediction | None

    @property
    def moments(self) -> list[Moment]:
        """What it said; nothing where there is nothing to read."""
        return [Moment(self.at, self.at, self.prediction)] if self.prediction else []


class Texts:
    """The texts that wait, and those that were read."""

    def __init__(self, models: Models, max_characters: int) -> None:
        """All texts together may have `max_characters`."""
        self.read: list[Read] = []
        self._models = models
        self._room = self._limit = max_characters
        self._waiting: asyncio.Queue[tuple[str, Frame] | None] = asyncio.Queue(maxsize=WAITING)

    async def put(self, text: str, frame: Frame) -> None:
        """Take a text in; waits while too many are waiting. Raises `TooLarge` when all have too many characters."""
        self._room -= len(text)
        if self._room < 0:
            raise TooLarge(f"The texts of a stream have at most {self._limit:,} characters together; start another.")
        await self._waiting.put((text, frame))

    async def close(self) -> None:
        """No text will come any more."""
        await self._waiting.put(None)

    async def each(self) -> AsyncIterator[tuple[str, Frame]]:
        """Text after text; ends after `close`."""
        while (given := await self._waiting.get()) is not None:
            yield given

    async def look(self, text: str, at: float) -> Read:
        """Read one text. Raises `RunnerError`."""
        (prediction,) = await predict([text], self._models)
        self.read.append(Read(text, at, prediction))
        return self.read[-1]

    async def finish(self, options: Options) -> Found:
        """All texts as one, and when each came. Raises `RunnerError`."""
        if not self.read:
            return Found()
        found = await read_text("\n".join(one.text for one in self.read), options, self._models)
        moments = [moment for one in self.read for moment in one.moments]
        return replace(found, moments={"text": moments} if found.opinions else {})
