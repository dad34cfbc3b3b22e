"""Recalibration on labelled rows: temperatures, bounds of prediction sets and a threshold, judged on rows unseen.

The whole procedure is measured in cross-validation: each fifth of the rows by what was fitted on the other four. What
goes into a profile is fitted on all rows, in the same way.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from models.evaluation.evidence import Evidence, Judgeable
from models.evaluation.measures import Floats, Labels, conformal_scores
from models.training.calibration import softmax
from service.domain.fusion import FusionRule, decide
from service.domain.labels import MODALITIES, SENTIMENTS, Modality
from service.domain.sentiment import LEAST, Sentiment

LEAST_ROWS = 100
"""Fewer rows with an opinion are not judged: split conformal prediction needs 99 for a coverage of 0.99, and even with
100 chance alone makes a calibration error of 0.1 (`chance_ece`)."""

FOLDS = 5
SEED = 11
TEMPERATURES = np.geomspace(0.25, 4.0, 557)
"""Those that are tried, in steps of half a percent. One beyond these would say that the labels mean something else than
the model's, not how sure it may be."""

Subset = tuple[Modality, ...]


@dataclass(frozen=True)
class Recalibration:
    """What was fitted on some rows."""

    temperatures: Mapping[Modality, float]
    least_probability: Mapping[Subset, Mapping[str, float]]
    min_confidence: float


@dataclass(frozen=True)
class HeldOut:
    """What one modality, or several fused, say of the rows that have them all: as shipped, and recalibrated unseen."""

    before: Floats
    """Probabilities (n, 3)."""
    after: Floats
    least_probability: Sequence[Mapping[str, float]]
    """For each row the bounds of prediction sets that were fitted without it."""
    labels: Labels


@dataclass(frozen=True)
class Answered:
    """How many of the rows with evidence got a label, and how often it was the right one (0 where none did)."""

    share: float
    accuracy: float


def judged_subsets(rows: Sequence[Judgeable]) -> list[Subset]:
    """The modalities, and the choices of them, that enough rows have together."""
    choices = (choice for size in range(1, len(MODALITIES) + 1) for choice in combinations(MODALITIES, size))
    return [choice for choice in choices if len(having(rows, choice)) >= LEAST_ROWS]


def having(rows: Sequence[Judgeable], subset: Subset) -> list[Judgeable]:
    """The rows in which all of these modalities say something."""
    return [row for row in rows if row.evidence.keys() >= set(subset)]


def fit_temperature(evidence: Sequence[Evidence], labels: Sequence[int]) -> float:
    """The one of `TEMPERATURES` with the smallest cross-entropy (Guo et al. 2017) of the averaged predictions."""
    logs = np.log(np.maximum(np.concatenate([one.said for one in evidence]), LEAST))
    weights = np.concatenate([one.weights for one in evidence])
    rows = np.repeat(np.arange(len(evidence)), [len(one.weights) for one in evidence])
    true = np.asarray(labels)[rows]

    def loss(temperature: float) -> float:
        right = softmax(logs, temperature)[np.arange(len(true)), true]
        return -float(np.log(np.maximum(np.bincount(rows, weights * right), LEAST)).mean())

    return round(float(min(TEMPERATURES, key=loss)), 4)


def recalibrate(
    rows: Sequence[Judgeable], subsets: Sequence[Subset], share: float, max_conflict: float
) -> Recalibration:
    """All that is fitted on these rows; `share` of those with evidence shall be answered."""
    temperatures: dict[Modality, float] = {
        name: fit_temperature([row.evidence[name] for row in those], [row.label for row in those])
        for (name, *others) in subsets
        if not others and (those := having(rows, (name,)))
    }
    sets = {subset: conformal_scores(*probabilities(having(rows, subset), subset, temperatures)) for subset in subsets}
    verdicts = [verdict_of(row, temperatures, FusionRule(max_conflict=max_conflict)) for row in rows if row.evidence]
    return Recalibration(temperatures, sets, threshold(verdicts, share))


def probabilities(
    rows: Sequence[Judgeable], subset: Subset, temperatures: Mapping[Modality, float]
) -> tuple[Floats, Labels]:
    """Pooled over these modalities alone (n, 3), and the labels (n,)."""
    rule = FusionRule()
    told = [decide(row.opinions(temperatures, subset), rule).distribution for row in rows]
    return np.array(told).reshape(-1, len(SENTIMENTS)), np.array([row.label for row in rows], np.int64)


def verdict_of(row: Judgeable, temperatures: Mapping[Modality, float], rule: FusionRule) -> Sentiment:
    """The fused verdict over all that the row has."""
    return decide(row.opinions(temperatures), rule)


def threshold(verdicts: Sequence[Sentiment], share: float) -> float:
    """The confidence that this share of the rows reaches, rounded down to four digits; 1 if none shall be answered.

    Rows whose modalities contradict each other are withheld whatever their confidence.
    """
    told = sorted((one.confidence for one in verdicts if one.label is not None), reverse=True)
    wanted = round(share * len(verdicts))
    if not wanted or not told:
        return 1.0
    return math.floor(told[min(wanted, len(told)) - 1] * 1e4) / 1e4


def cross_validated(
    rows: Sequence[Judgeable], subsets: Sequence[Subset], share: float, max_conflict: float
) -> tuple[dict[Subset, HeldOut], Answered]:
    """Each row as it comes out with what the other folds' rows fitted."""
    fold = folds([row.label for row in rows])
    fitted = [
        recalibrate([row for row, one in zip(rows, fold, strict=True) if one != number], subsets, share, max_conflict)
        for number in range(FOLDS)
    ]
    verdicts = [
        verdict_of(row, fitted[one].temperatures, FusionRule(fitted[one].min_confidence, max_conflict))
        for row, one in zip(rows, fold, strict=True)
    ]
    return {subset: _held_out(rows, fold, fitted, subset) for subset in subsets}, answered(rows, verdicts)


def answered(rows: Sequence[Judgeable], verdicts: Sequence[Sentiment]) -> Answered:
    """How often the verdicts over rows with evidence are given, and right."""
    pairs = [(one.label, SENTIMENTS[row.label]) for row, one in zip(rows, verdicts, strict=True) if row.evidence]
    right = [said == true for said, true in pairs if said is not None]
    share = len(right) / len(pairs) if pairs else 0.0
    return Answered(round(share, 4), round(float(np.mean(right)), 4) if right else 0.0)


def folds(labels: Sequence[int]) -> NDArray[np.int64]:
    """The fold of each row (n,): by chance, but the labels are shared out evenly."""
    given, random = np.asarray(labels), np.random.default_rng(SEED)
    fold = np.empty(len(given), np.int64)
    for label in range(len(SENTIMENTS)):
        places = np.flatnonzero(given == label)
        fold[random.permutation(places)] = np.arange(len(places)) % FOLDS
    return fold


def _held_out(
    rows: Sequence[Judgeable], fold: NDArray[np.int64], fitted: Sequence[Recalibration], subset: Subset
) -> HeldOut:
    those = [(row, fitted[one]) for row, one in zip(rows, fold, strict=True) if row.evidence.keys() >= set(subset)]
    before, labels = probabilities([row for row, _ in those], subset, {})
    after = np.concatenate([probabilities([row], subset, one.temperatures)[0] for row, one in those])
    return HeldOut(before, after, [one.least_probability[subset] for _, one in those], labels)
