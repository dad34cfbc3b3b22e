"""What a verdict rests on: parts of the input, each with the verdict that there would be without it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from service.domain.fusion import FusionRule, Opinion, decide
from service.domain.labels import Label, Modality
from service.domain.sentiment import Sentiment

ReasonKind = Literal["word", "sentence", "segment", "face"]

MOST_OF_A_KIND = 16
"""At most so many reasons of one kind are given, those that move the verdict furthest."""

FAINTEST_WORD = 0.01
"""Words that move the valence by less are no reasons."""


@dataclass(frozen=True)
class WordWeight:
    """How far a word moves the valence of its text: valence with it minus valence without it."""

    start: int
    end: int
    text: str
    weight: float


@dataclass(frozen=True)
class Heatmap:
    """Where in a face its expression is: each place covered in turn, and how far that moved the verdict on the face.

    A weight is the probability of `label` as the face was seen minus that with the place covered: what speaks for the
    label is above 0, what speaks against it below.
    """

    track: int
    """The number of the face."""
    box: tuple[float, float, float, float]
    """Where to lay the map over the upright picture: x, y, width, height in its pixels."""
    seconds: float | None
    """Which moment of a video was looked at, where the face was best seen; null for a picture."""
    label: Label
    """The most probable sentiment of this face, at this moment."""
    weights: tuple[tuple[float, ...], ...]
    """Rows from the forehead to the chin of the upright face, each from the picture's left to its right."""
    strongest: float
    """The weight that is drawn in full colour; smaller ones are fainter."""
    png_base64: str
    """The map as a PNG with transparency, in base64: amber speaks for the label, blue against it. It shows no face."""


@dataclass(frozen=True)
class Reason:
    """A part of what was sent, where it is, and the verdict without it."""

    kind: ReasonKind
    """A word or sentence of the text (of a transcript: what was said in one breath), a stretch of the voice, a face."""
    modality: Modality
    weight: float
    """Valence of the verdict minus that of the verdict without this part, in [-2, 2]."""
    without: Sentiment
    """The verdict if this part were not there and all else were as it is."""
    text: str | None = None
    span: tuple[int, int] | None = None
    """Start and end in code points of `modalities.text.text`."""
    seconds: tuple[float, float] | None = None
    """Start and end in the recording."""
    box: tuple[float, float, float, float] | None = None
    """x, y, width, height in pixels of the upright picture; in a video where the face was best seen."""
    track: int | None = None
    """The number of the face."""


@dataclass(frozen=True)
class Explanation:
    """What the verdict rests on; filled when `explain` is true."""

    words: tuple[WordWeight, ...] = ()
    heatmaps: tuple[Heatmap, ...] = ()
    """Of the faces that move the verdict furthest, at most four."""
    reasons: tuple[Reason, ...] = ()
    """What moves the verdict furthest comes first; at most sixteen of a kind."""


@dataclass(frozen=True)
class Piece:
    """A part of the input that can be left out, as a `Reason` points at it, and what its modality says without it."""

    kind: ReasonKind
    modality: Modality
    without: Opinion | None
    """None where nothing of the modality is left."""
    text: str | None = None
    span: tuple[int, int] | None = None
    seconds: tuple[float, float] | None = None
    box: tuple[float, float, float, float] | None = None
    track: int | None = None


def reasons(pieces: Iterable[Piece], opinions: Mapping[Modality, Opinion], rule: FusionRule) -> list[Reason]:
    """Each piece with the fused verdict that there would be without it, what moves it furthest first."""
    whole = decide(opinions, rule)
    found = [_reason(piece, opinions, rule, whole) for piece in pieces]
    return sorted(found, key=lambda reason: -abs(reason.weight))


def strongest(ranked: Sequence[Reason]) -> tuple[Reason, ...]:
    """The first `MOST_OF_A_KIND` of each kind, without words that hardly move anything; the order stays."""
    kept: list[Reason] = []
    counts: dict[ReasonKind, int] = {}
    for reason in ranked:
        faint = reason.kind == "word" and abs(reason.weight) < FAINTEST_WORD
        if not faint and counts.get(reason.kind, 0) < MOST_OF_A_KIND:
            counts[reason.kind] = counts.get(reason.kind, 0) + 1
            kept.append(reason)
    return tuple(kept)


def _reason(piece: Piece, opinions: Mapping[Modality, Opinion], rule: FusionRule, whole: Sentiment) -> Reason:
    rest: dict[Modality, Opinion] = {name: opinion for name, opinion in opinions.items() if name != piece.modality}
    if piece.without is not None:
        rest[piece.modality] = piece.without
    without = decide(rest, rule)
    return Reason(
        kind=piece.kind,
        modality=piece.modality,
        weight=whole.valence - without.valence,
        without=without,
        text=piece.text,
        span=piece.span,
        seconds=piece.seconds,
        box=piece.box,
        track=piece.track,
    )
