"""What one input gave, before fusion."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from service.domain.analysis import FacePart, Media, Notice, SpeechPart, TextPart, Transcript
from service.domain.explanation import Explanation, Piece
from service.domain.fusion import Opinion
from service.domain.labels import Modality
from service.domain.timeline import Moment
from service.features.occlusion import FaceView


@dataclass(frozen=True)
class Found:
    """What one input gave: an opinion and a part for each modality that it holds, and what came up beside them."""

    opinions: Mapping[Modality, Opinion] = field(default_factory=dict)
    text: TextPart | None = None
    speech: SpeechPart | None = None
    face: FacePart | None = None
    moments: Mapping[Modality, Sequence[Moment]] = field(default_factory=dict)
    transcript: Transcript | None = None
    pieces: tuple[Piece, ...] = ()
    """What can be left out of voice and faces; only where an explanation is wanted, as `views`."""
    views: Mapping[int, FaceView] = field(default_factory=dict)
    """How faces were seen, by the numbers of their tracks."""
    explanation: Explanation | None = None
    media: Media | None = None
    models: tuple[str, ...] = ()
    notices: tuple[Notice, ...] = ()


class Stopwatch:
    """Adds up the seconds that each step took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def add(self, seconds: Mapping[str, float]) -> None:
        """Count what an earlier pass took."""
        for step, took in seconds.items():
            self.seconds[step] = self.seconds.get(step, 0.0) + took

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[step] = self.seconds.get(step, 0.0) + time.perf_counter() - start


async def together(*work: Awaitable[Found]) -> list[Found]:
    """Wait for all; if one fails, cancel the others and raise its error."""
    tasks = [asyncio.ensure_future(item) for item in work]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
