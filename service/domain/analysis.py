"""The answer: one `Analysis`, whatever went in.

Attribute docstrings become the descriptions in the OpenAPI document.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from typing_extensions import TypedDict  # pydantic asks for this one before Python 3.12

from service.domain.explanation import Explanation
from service.domain.fusion import Fusion
from service.domain.labels import WarningCode
from service.domain.sentiment import Sentiment
from service.domain.sets import PredictionSet
from service.domain.timeline import TimelinePoint

Kind = Literal["text", "audio", "image", "video", "multimodal"]


@dataclass(frozen=True)
class Notice:
    """Something that the reader of the answer should know; not an error."""

    code: WarningCode
    detail: str


@dataclass(frozen=True)
class SentencePart:
    """One sentence: offsets in code points of the text as sent."""

    start: int
    end: int
    text: str
    sentiment: Sentiment


@dataclass(frozen=True)
class AspectPart:
    """What the sentences that mention a term say; abstains if none does."""

    term: str
    sentiment: Sentiment
    spans: tuple[tuple[int, int], ...] = ()
    """Where the term stands: start and end in code points."""


@dataclass(frozen=True)
class TextPart:
    """What the words say."""

    sentiment: Sentiment
    emotions: Mapping[str, float]
    text: str
    source: Literal["given", "transcript"]
    aspects: tuple[AspectPart, ...] = ()
    sentences: tuple[SentencePart, ...] = ()
    """Filled when `detail` is full."""


@dataclass(frozen=True)
class SpeechSegment:
    """One stretch of speech (seconds)."""

    start: float
    end: float
    sentiment: Sentiment
    emotions: Mapping[str, float]
    quality: float


@dataclass(frozen=True)
class SpeechPart:
    """What the voice says."""

    sentiment: Sentiment
    emotions: Mapping[str, float]
    speech_seconds: float
    """Seconds in which somebody speaks."""
    segments: tuple[SpeechSegment, ...] = ()


@dataclass(frozen=True)
class Face:
    """One face, or in a video one face followed over time. The box is in pixels of the upright picture."""

    box: tuple[float, float, float, float]
    """x, y, width, height; in a video where the face was best seen."""
    score: float
    """How sure the detector is, in [0, 1]."""
    quality: float
    """How well the face is seen (size, sharpness, pose, light), in [0, 1]."""
    sentiment: Sentiment
    emotions: Mapping[str, float]
    track: int = 1
    """The number of the face; the same face keeps it through a video. It names nobody."""
    start: float | None = None
    end: float | None = None
    """From when to when it is seen, in seconds; null for a picture."""


@dataclass(frozen=True)
class FacePart:
    """What the faces say."""

    sentiment: Sentiment
    emotions: Mapping[str, float]
    faces: tuple[Face, ...] = ()


class Modalities(TypedDict, total=False):
    """What each modality says; only what was given appears."""

    text: TextPart
    speech: SpeechPart
    face: FacePart


@dataclass(frozen=True)
class TranscriptSegment:
    """A stretch of speech in words (seconds)."""

    start: float
    end: float
    text: str
    confidence: float


@dataclass(frozen=True)
class Transcript:
    """What was said."""

    text: str
    language: str
    confidence: float
    """exp of the mean log-probability of the words, in [0, 1]."""
    segments: tuple[TranscriptSegment, ...] = ()


@dataclass(frozen=True)
class Media:
    """What was read from the file."""

    seconds: float | None = None
    width: int | None = None
    height: int | None = None
    frames_read: int | None = None


@dataclass(frozen=True)
class Analysis:
    """One fused, calibrated verdict and everything it rests on."""

    id: str
    created: str
    """When the answer was made (RFC 3339, UTC)."""
    kind: Kind
    sentiment: Sentiment
    emotions: Mapping[str, float]
    modalities: Modalities
    fusion: Fusion
    timeline: tuple[TimelinePoint, ...] = ()
    transcript: Transcript | None = None
    explanation: Explanation | None = None
    media: Media | None = None
    models: Mapping[str, str] = field(default_factory=dict)
    """Which models answered, as name@version; `calibration` is the recalibration profile, where one is in use."""
    warnings: tuple[Notice, ...] = ()
    timings: Mapping[str, float] = field(default_factory=dict)
    """Seconds spent in each step."""
    prediction_set: PredictionSet | None = None
    """The labels of which one is the true one as often as `coverage` asked; null unless it was asked for."""
