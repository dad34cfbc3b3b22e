"""What a live session says while it goes on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from service.domain.analysis import Face, TranscriptSegment
from service.domain.labels import Modality
from service.domain.sentiment import Sentiment


@dataclass(frozen=True)
class Result:
    """What one picture, some seconds of sound or one text say, fused with what else happened last."""

    sequence: int
    source: Modality
    """What came in."""
    time: float
    """When it was, in seconds of the session."""
    latency: float
    """Seconds from its capture, or without timestamps from its arrival, until this result was ready."""
    captured: int | None
    """The timestamp that came with it."""
    sentiment: Sentiment
    """Fused over the last seconds."""
    emotions: Mapping[str, float]
    modalities: Mapping[Modality, Sentiment]
    """What each modality said in the last seconds; only those that said something."""
    contributions: Mapping[Modality, float]
    """Each modality's share of the fused evidence; they add up to 1."""
    faces: tuple[Face, ...]
    """The faces of the picture, with the numbers of their tracks; empty for sound and texts."""
    dropped: int
    """Pictures of this session that gave way to newer ones, so far."""
    type: Literal["result"] = "result"


@dataclass(frozen=True)
class Words:
    """What was said in a stretch of speech."""

    language: str
    segments: tuple[TranscriptSegment, ...]
    type: Literal["transcript"] = "transcript"


@dataclass(frozen=True)
class Trouble:
    """Something of the session is lost, and the session goes on; `error` says what."""

    error: Exception


Event = Result | Words | Trouble
Tell = Callable[[Event], Awaitable[None]]
