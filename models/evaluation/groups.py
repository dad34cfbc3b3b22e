"""Whether some are judged worse than others: scores by who speaks, in what language and how high, and by light."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from models.evaluation.answers import Answers
from models.evaluation.measures import BOOTSTRAPS
from models.evaluation.pitch import median_pitch
from models.training.calibration import macro_recall
from models.training.data import decode
from service.domain.labels import SENTIMENTS

LANGUAGES = {"en": "English (RAVDESS)", "pl": "Polish (nEMO)"}
NEGATIVE = SENTIMENTS.index("negative")

PITCHES, LIGHTS = ("low", "middle", "high"), ("dark", "middle", "bright")
THIRDS = {name: rank for names in (PITCHES, LIGHTS) for rank, name in enumerate(names)}

Mask = NDArray[np.bool_]
Traits = Mapping[str, str]
"""The group that an item belongs to, by what is grouped by."""


@dataclass(frozen=True)
class GroupScore:
    """How the items of one group are judged; shares in [0, 1].

    `answered` is what the service would use unless it was told otherwise; scores are of all that it can judge at all.
    `macro_recall` is over the three sentiments with its 95 % interval, so that groups of other mixtures compare;
    `wrongly_negative` is a share of what is not negative; `too_sure` is mean confidence less accuracy.
    """

    by: str
    group: str
    rows: int
    speakers: int | None
    answered: float
    accuracy: float
    macro_recall: float
    low: float
    high: float
    wrongly_negative: float
    too_sure: float


def voice_traits(rows: Sequence[Mapping[str, Any]]) -> list[Traits]:
    """Gender, language and third of pitch of each recording."""
    pitches = np.array([median_pitch(decode(row["audio"])) or np.nan for row in rows])
    thirds = in_thirds(pitches, PITCHES, "Hz")
    return [
        {
            "gender": row["gender"],
            "language": LANGUAGES[row["language"]],
            "median pitch": third,
        }
        for row, third in zip(rows, thirds, strict=True)
    ]


def speaker_traits(rows: Sequence[Mapping[str, Any]]) -> list[Traits]:
    """Gender and speaker of each recording, of test and validation speakers."""
    splits = {"test": "", "val": ", validation"}
    return [
        {
            "gender, validation speakers too": row["gender"],
            "speaker": f"{row['speaker']}, {row['gender']}{splits[row['split']]}",
        }
        for row in rows
    ]


def speakers(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Who speaks in each recording."""
    return [row["speaker"] for row in rows]


def face_traits(rows: Sequence[Mapping[str, Any]]) -> list[Traits]:
    """The third of brightness of each picture, which is a crop of a face: its mean luminance, 0 to 255."""
    bright = np.array([_luminance(row["image"]) for row in rows])
    return [{"brightness": third} for third in in_thirds(bright, LIGHTS, "of 255")]


def in_thirds(values: NDArray[np.float64], names: tuple[str, str, str], unit: str) -> list[str]:
    """The third that each value (n,) lies in, with its bounds in words; `unknown` where the value is nan."""
    first, second = np.nanquantile(values, (1 / 3, 2 / 3))
    low, high = f"{first:.0f}", f"{second:.0f} {unit}"
    said = (f"{names[0]}, up to {low} {unit}", f"{names[1]}, up to {high}", f"{names[2]}, above {high}")
    return ["unknown" if np.isnan(one) else said[int(one > first) + int(one > second)] for one in values]


def by_group(
    answers: Answers, traits: Sequence[Traits], spoken_by: Sequence[str] | None = None, least_quality: float = 0.0
) -> list[GroupScore]:
    """The scores of every group; `traits` and `spoken_by` are in the order of the answers.

    Those of less than `least_quality` are scored, but are no answers by default.
    """
    found = []
    for by in traits[0]:
        groups = np.array([one[by] for one in traits])
        found += [
            _score(by, group, groups == group, answers, spoken_by, least_quality=least_quality)
            for group in _ordered(groups)
        ]
    return found


def gaps(scores: Iterable[GroupScore]) -> dict[str, tuple[GroupScore, GroupScore]]:
    """For each thing that is grouped by, the group with the lowest macro-recall and the one with the highest."""
    by: dict[str, list[GroupScore]] = {}
    for score in scores:
        by.setdefault(score.by, []).append(score)
    return {
        name: (min(each, key=lambda one: one.macro_recall), max(each, key=lambda one: one.macro_recall))
        for name, each in by.items()
    }


def _ordered(groups: Iterable[str]) -> list[str]:
    """Thirds as they rise, anything else by name."""
    return sorted(set(groups), key=lambda group: (THIRDS.get(group.split(",")[0], 0), group))


def _score(
    by: str, group: str, here: Mask, answers: Answers, spoken_by: Sequence[str] | None, *, least_quality: float
) -> GroupScore:
    mine = [one for one, is_here in zip(answers.opinions, here, strict=True) if is_here]
    told = np.array([one is not None for one in mine])
    said = np.array([one.prediction.probabilities for one in mine if one is not None])
    labels, chosen = answers.labels[here][told], said.argmax(axis=1)
    low, high = _interval(chosen, labels)
    accuracy = float((chosen == labels).mean())
    harmless = labels != NEGATIVE
    return GroupScore(
        by=by,
        group=group,
        rows=len(mine),
        speakers=None if spoken_by is None else len(set(np.array(spoken_by)[here])),
        answered=round(sum(one is not None and one.quality >= least_quality for one in mine) / len(mine), 4),
        accuracy=round(accuracy, 4),
        macro_recall=round(macro_recall(chosen, labels, len(SENTIMENTS)), 4),
        low=low,
        high=high,
        wrongly_negative=round(float((chosen[harmless] == NEGATIVE).sum() / max(harmless.sum(), 1)), 4),
        too_sure=round(float(said.max(axis=1).mean()) - accuracy, 4),
    )


def _interval(chosen: NDArray[np.int64], labels: NDArray[np.int64], seed: int = 0) -> tuple[float, float]:
    """95 % interval of the macro-recall over items drawn anew (Efron 1979)."""
    drawn = np.random.default_rng(seed).integers(0, len(labels), (BOOTSTRAPS, len(labels)))
    recalls = [macro_recall(chosen[rows], labels[rows], len(SENTIMENTS)) for rows in drawn]
    low, high = np.percentile(recalls, (2.5, 97.5))
    return round(float(low), 4), round(float(high), 4)


def _luminance(encoded: bytes) -> float:
    return float(np.mean(np.asarray(cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_GRAYSCALE))))
