"""How the scores fall as texts, recordings and pictures get worse: accuracy against the strength of each damage."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from models.evaluation.answers import Answers, Spoil, untouched
from models.evaluation.heads import ASKING
from models.evaluation.spoiling import among_voices, compressed, crowd, further_away, mistyped, noisy
from models.training.data import decode, read_table
from models.training.face_data import ENLARGEMENT, PICTURE_SIDE
from service.domain.fusion import Opinion
from service.domain.labels import Modality
from service.features.speech import SAMPLE_RATE, Samples
from service.runners import Models
from service.settings import Settings

FACE_PIXELS = ENLARGEMENT * PICTURE_SIDE
"""The side of a face as `answers.picture` shows it."""

SMALL_FACE_PIXELS = 48

ROWS: Mapping[Modality, int] = {"text": 1000, "speech": 300, "face": 300}
"""So many test items, from all over the set, are damaged in each way."""

BABBLE_SECONDS = 60
TALKERS, CLIPS_EACH = 12, 6
CALM = ("neutral", "calm")
"""How the voices of the babble sound, so that it has no mood of its own."""

Damaging = Callable[[Any, float], Any]


@dataclass(frozen=True)
class Point:
    """Scores at one strength of a damage. Accuracy counts no answer as a wrong one; shares in [0, 1].

    `answered` is what the service would use unless it was told otherwise, `quality` its mean opinion of the input.
    """

    at: float | None
    """The strength; None: undamaged."""
    rows: int
    accuracy: float
    low: float
    high: float
    answered: float
    accuracy_of_answered: float | None
    quality: float


@dataclass(frozen=True)
class Curve:
    """The same items undamaged, and damaged in one way at several strengths, the mildest first."""

    name: str
    modality: Modality
    axis: str
    commonest: float
    """The accuracy of always answering the commonest sentiment."""
    clean: Point
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Damage:
    """A way to damage what a modality is given."""

    name: str
    modality: Modality
    axis: str
    strengths: tuple[float, ...]
    by: Damaging
    first: Spoil = untouched
    """What is done to the items that count as undamaged."""


def damages(name: Modality) -> list[Damage]:
    """All that are measured of a modality. Raises `DataMissing` where the voices for the babble are not there."""
    return {"text": to_texts, "speech": to_voices, "face": to_faces}[name]()


def to_texts() -> list[Damage]:
    """Typing errors."""
    shares = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4)
    return [Damage("typing errors", "text", "share of letters mistyped", shares, mistyped)]


def to_voices() -> list[Damage]:
    """White noise and other people's voices, equally loud."""
    axis, decibels = "signal-to-noise ratio, dB", (20.0, 15.0, 10.0, 5.0, 0.0, -5.0)
    return [
        Damage("white noise", "speech", axis, decibels, noisy),
        Damage("other voices", "speech", axis, decibels, partial(among_voices, babble=_babble())),
    ]


def to_faces() -> list[Damage]:
    """JPEG of a large and of a small face, and distance."""
    qualities = (50.0, 30.0, 20.0, 10.0, 5.0)
    sides = (96.0, 64.0, 48.0, 32.0, 24.0, 16.0, 12.0)
    large, little = f"face of {FACE_PIXELS} pixels", f"face of {SMALL_FACE_PIXELS} pixels"
    return [
        Damage(large, "face", "JPEG quality", qualities, compressed),
        Damage(little, "face", "JPEG quality", qualities, small_and_compressed, small),
        Damage("smaller", "face", "side of the face, pixels", sides, with_side),
    ]


def with_side(pixels: Any, side: float) -> Any:
    """The picture of a face with this side in pixels."""
    return further_away(pixels, side / FACE_PIXELS)


def small(pixels: Any) -> Any:
    """The picture of a face of `SMALL_FACE_PIXELS`."""
    return with_side(pixels, SMALL_FACE_PIXELS)


def small_and_compressed(pixels: Any, quality: float) -> Any:
    """The same after JPEG."""
    return compressed(small(pixels), quality)


async def curves(name: Modality, models: Models, most: int | None = None) -> list[Curve]:
    """Each damage to this modality at each strength, on the same test items: at most `most` of them."""
    rows = min(most or ROWS[name], ROWS[name])
    found, clean = [], {}
    for damage in damages(name):
        if damage.first not in clean:
            clean[damage.first] = await ASKING[name](models, "test", damage.first, rows)
        found.append(await curve(damage, clean[damage.first], models, rows))
    return found


async def curve(damage: Damage, clean: Answers, models: Models, rows: int) -> Curve:
    """One damage at each strength, beside the answers to the same items undamaged."""
    ask, least = ASKING[damage.modality], least_quality(damage.modality)
    points = []
    for at in damage.strengths:
        worse = await ask(models, "test", partial(_damaged, damage.by, at), rows)
        points.append(point(at, worse, least))
    commonest = round(float(np.bincount(clean.labels).max() / len(clean.labels)), 4)
    return Curve(damage.name, damage.modality, damage.axis, commonest, point(None, clean, least), tuple(points))


def least_quality(name: Modality) -> float:
    """Below this quality the service uses no answer of a modality unless it is told otherwise."""
    return Settings().min_face_quality if name == "face" else 0.0


def point(at: float | None, answers: Answers, least: float = 0.0) -> Point:
    """The scores of these answers; those of less quality than `least` are no answers by default."""
    labels = zip(answers.opinions, answers.labels, strict=True)
    right = np.array([one is not None and likeliest(one) == label for one, label in labels])
    quality = np.array([0.0 if one is None else one.quality for one in answers.opinions])
    used = np.array([one is not None for one in answers.opinions]) & (quality >= least)
    low, high = wilson(int(right.sum()), len(right))
    return Point(
        at=at,
        rows=len(right),
        accuracy=round(float(right.mean()), 4),
        low=low,
        high=high,
        answered=round(float(used.mean()), 4),
        accuracy_of_answered=round(float(right[used].mean()), 4) if used.any() else None,
        quality=round(float(quality.mean()), 4),
    )


def wilson(right: int, rows: int) -> tuple[float, float]:
    """The 95 % interval of a share that was counted (Wilson 1927)."""
    share, z = right / rows, 1.96
    middle = (share + z * z / (2 * rows)) / (1 + z * z / rows)
    half = z / (1 + z * z / rows) * np.sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows))
    return round(float(max(middle - half, 0.0)), 4), round(float(min(middle + half, 1.0)), 4)


def strength(point: Point) -> str:
    """The strength of a damage in few characters: `none`, `15 %` for a share of 0.15, else the number."""
    if point.at is None:
        return "none"
    return f"{100 * point.at:.0f} %" if 0 < point.at < 1 else f"{point.at:.0f}".replace("-", "\u2212")


def _damaged(by: Damaging, at: float, given: Any) -> Any:
    return by(given, at)


def likeliest(opinion: Opinion) -> int:
    """The number of the likeliest sentiment."""
    return int(np.argmax(opinion.prediction.probabilities))


def _babble() -> Samples:
    """The neutral voices of RAVDESS's training actors, talking at once for `BABBLE_SECONDS`."""
    rows = [row for row in read_table("speech/ravdess", "train") if row["emotion"] in CALM]
    speakers = sorted({row["speaker"] for row in rows})[:TALKERS]
    clips = [[decode(row["audio"]) for row in rows if row["speaker"] == one][:CLIPS_EACH] for one in speakers]
    return crowd(clips, BABBLE_SECONDS * SAMPLE_RATE)
