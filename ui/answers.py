"""What the service answers, as values with names.

Scores are in [0, 1], valence is in [-1, 1], times are in seconds, offsets count Unicode code points, boxes are pixels
of the upright picture. What a newer service adds is ignored here and kept in `Analysis.raw`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import TypeAdapter

Label = Literal["negative", "neutral", "positive"]
Modality = Literal["text", "speech", "face"]

LABELS: tuple[Label, ...] = ("negative", "neutral", "positive")
MODALITIES: tuple[Modality, ...] = ("text", "speech", "face")


@dataclass(frozen=True)
class Sentiment:
    """A verdict; `label` is None when the service abstains, and `reason` says why."""

    label: Label | None
    valence: float
    confidence: float
    probabilities: Mapping[str, float]
    abstained: bool = False
    reason: str | None = None

    @property
    def leaning(self) -> str:
        """The most probable label, also where it was withheld."""
        return max(self.probabilities, key=self.probabilities.__getitem__, default="neutral")

    @property
    def grounded(self) -> bool:
        """Whether there was anything to go on."""
        return self.reason != "no_evidence"

    @property
    def telling(self) -> bool:
        """Whether its numbers say something: not those of a pool of contradictions, nor of nothing."""
        return self.reason not in ("no_evidence", "conflict")


@dataclass(frozen=True)
class Notice:
    """Something that the reader should know; not an error."""

    code: str
    detail: str


@dataclass(frozen=True)
class Sentence:
    """One sentence of a text."""

    start: int
    end: int
    text: str
    sentiment: Sentiment


@dataclass(frozen=True)
class Aspect:
    """What the sentences that mention a term say."""

    term: str
    sentiment: Sentiment
    spans: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class TextPart:
    """What the words say."""

    sentiment: Sentiment
    text: str
    source: str = "given"
    emotions: Mapping[str, float] = field(default_factory=dict)
    aspects: tuple[Aspect, ...] = ()
    sentences: tuple[Sentence, ...] = ()


@dataclass(frozen=True)
class SpeechSegment:
    """One stretch of speech."""

    start: float
    end: float
    sentiment: Sentiment
    emotions: Mapping[str, float] = field(default_factory=dict)
    quality: float = 1.0


@dataclass(frozen=True)
class SpeechPart:
    """What the voice says."""

    sentiment: Sentiment
    emotions: Mapping[str, float] = field(default_factory=dict)
    speech_seconds: float = 0.0
    segments: tuple[SpeechSegment, ...] = ()


@dataclass(frozen=True)
class Face:
    """One face: `box` is x, y, width, height; `track` is its number; `start` and `end` are None for a picture."""

    box: tuple[float, float, float, float]
    sentiment: Sentiment | None = None
    emotions: Mapping[str, float] = field(default_factory=dict)
    score: float = 1.0
    quality: float = 1.0
    track: int = 1
    start: float | None = None
    end: float | None = None


@dataclass(frozen=True)
class FacePart:
    """What the faces say."""

    sentiment: Sentiment
    emotions: Mapping[str, float] = field(default_factory=dict)
    faces: tuple[Face, ...] = ()


@dataclass(frozen=True)
class Modalities:
    """What each modality says; None where it was not given."""

    text: TextPart | None = None
    speech: SpeechPart | None = None
    face: FacePart | None = None

    def present(self) -> dict[Modality, TextPart | SpeechPart | FacePart]:
        """Those that were given, by name, in the order of `MODALITIES`."""
        parts = {"text": self.text, "speech": self.speech, "face": self.face}
        return {name: part for name in MODALITIES if (part := parts[name]) is not None}


@dataclass(frozen=True)
class Fusion:
    """How the modalities were combined."""

    method: str = ""
    contributions: Mapping[str, float] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)
    quality: Mapping[str, float] = field(default_factory=dict)
    conflict: float = 0.0
    without: Mapping[str, Sentiment] = field(default_factory=dict)


@dataclass(frozen=True)
class TimelinePoint:
    """The fused verdict over one stretch of time, and what each modality said there."""

    start: float
    end: float
    sentiment: Sentiment
    text: Sentiment | None = None
    speech: Sentiment | None = None
    face: Sentiment | None = None

    def of(self, modality: Modality) -> Sentiment | None:
        """What this modality said; None where it was silent."""
        return {"text": self.text, "speech": self.speech, "face": self.face}[modality]


@dataclass(frozen=True)
class TranscriptSegment:
    """A stretch of speech in words."""

    start: float
    end: float
    text: str
    confidence: float = 1.0


@dataclass(frozen=True)
class Transcript:
    """What was said."""

    text: str
    language: str = "en"
    confidence: float = 1.0
    segments: tuple[TranscriptSegment, ...] = ()


@dataclass(frozen=True)
class WordWeight:
    """How far a word moves the valence."""

    start: int
    end: int
    text: str
    weight: float


@dataclass(frozen=True)
class Heatmap:
    """Where in a face its expression is: `weights` by rows from forehead to chin; the PNG is to be laid over `box`."""

    track: int
    box: tuple[float, float, float, float]
    label: str
    weights: tuple[tuple[float, ...], ...] = ()
    strongest: float = 1.0
    png_base64: str = ""
    seconds: float | None = None


@dataclass(frozen=True)
class Reason:
    """A part of what was sent and where it is, how far it moves the verdict, and the verdict without it."""

    kind: str
    modality: Modality
    weight: float
    without: Sentiment
    text: str | None = None
    span: tuple[int, int] | None = None
    seconds: tuple[float, float] | None = None
    box: tuple[float, float, float, float] | None = None
    track: int | None = None


@dataclass(frozen=True)
class Explanation:
    """What the verdict rests on; `reasons` has what moves it furthest first."""

    words: tuple[WordWeight, ...] = ()
    heatmaps: tuple[Heatmap, ...] = ()
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True)
class Media:
    """What was read from the file."""

    seconds: float | None = None
    width: int | None = None
    height: int | None = None
    frames_read: int | None = None


@dataclass(frozen=True)
class PredictionSet:
    """The labels of which one is the true one as often as was asked for, likeliest first."""

    coverage: float
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Analysis:
    """One fused, calibrated verdict and everything it rests on. `raw` is the JSON as it came."""

    id: str
    created: str
    kind: str
    sentiment: Sentiment
    emotions: Mapping[str, float] = field(default_factory=dict)
    modalities: Modalities = field(default_factory=Modalities)
    fusion: Fusion = field(default_factory=Fusion)
    timeline: tuple[TimelinePoint, ...] = ()
    transcript: Transcript | None = None
    explanation: Explanation | None = None
    media: Media | None = None
    models: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[Notice, ...] = ()
    timings: Mapping[str, float] = field(default_factory=dict)
    prediction_set: PredictionSet | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class Model:
    """One model that the service answers with."""

    name: str
    version: str
    task: str = ""
    modality: str | None = None
    sha256: str | None = None
    labels: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    scores: Mapping[str, Any] = field(default_factory=dict)
    licence: str | None = None
    commercial_use: bool | None = None
    limits: tuple[str, ...] = ()
    served: bool = True


@dataclass(frozen=True)
class Use:
    """What the operator declared: modalities that are refused, and one sentence about why."""

    name: str = "general"
    restricted: tuple[str, ...] = ()
    reason: str | None = None


@dataclass(frozen=True)
class Health:
    """How the service is: healthy, degraded (answers, but something is missing) or unhealthy."""

    status: Literal["healthy", "degraded", "unhealthy"]
    uptime_seconds: float = 0.0
    dependencies: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class JobProgress:
    """So much of a total, in the job's unit (`seconds`, `rows`, `files`); `fraction` is in [0, 1]."""

    fraction: float = 0.0
    done: float = 0.0
    total: float | None = None
    unit: str = ""


@dataclass(frozen=True)
class Job:
    """Work that outlives its request. `problem` is the Problem of a job that failed, as it came."""

    id: str
    state: Literal["queued", "running", "done", "failed", "cancelled"]
    kind: str = ""
    progress: JobProgress = field(default_factory=JobProgress)
    created: str | None = None
    started: str | None = None
    ended: str | None = None
    expires: str | None = None
    problem: Mapping[str, Any] | None = None

    @property
    def over(self) -> bool:
        """Whether it will never change again."""
        return self.state in ("done", "failed", "cancelled")


@dataclass(frozen=True)
class Receipt:
    """What a deletion removed, and the number of the service's audit row that says so."""

    removed: int = 0
    audit: int | None = None


_ANALYSIS = TypeAdapter(Analysis)
_MODELS = TypeAdapter(tuple[Model, ...])
_HEALTH = TypeAdapter(Health)
_USE = TypeAdapter(Use)
_JOB = TypeAdapter(Job)
_JOB_PROGRESS = TypeAdapter(JobProgress)


def analysis(body: Mapping[str, Any]) -> Analysis:
    """Raises `pydantic.ValidationError` if this is not an answer of the service."""
    return _ANALYSIS.validate_python({**body, "raw": body})


def models(body: object) -> tuple[Model, ...]:
    """Raises `pydantic.ValidationError` if this is not the service's list of models."""
    return _MODELS.validate_python(body["models"] if isinstance(body, dict) and "models" in body else body)


def use(body: Mapping[str, Any]) -> Use:
    """What a service tells of its use; one that says nothing restricts nothing. Raises `pydantic.ValidationError`."""
    return _USE.validate_python(body.get("use") or {})


def health(body: object) -> Health:
    """Raises `pydantic.ValidationError` if this is not a report of health."""
    return _HEALTH.validate_python(body)


def job(body: object) -> Job:
    """Raises `pydantic.ValidationError` if this is not a job."""
    return _JOB.validate_python(body)


def job_progress(body: object) -> JobProgress:
    """Raises `pydantic.ValidationError` if this does not say how far a job is."""
    return _JOB_PROGRESS.validate_python(body)


def receipt(header: str) -> Receipt:
    """Reads `removed=3; audit=17`; raises `ValueError` for anything else that is not empty."""
    numbers = dict(part.strip().split("=", 1) for part in header.split(";")) if header else {}
    return Receipt(int(numbers.get("removed", 0)), int(numbers["audit"]) if "audit" in numbers else None)
