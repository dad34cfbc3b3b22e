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
class Fit:
    """What was fitted for one modality, or for several fused."""

    least_probability: Mapping[str, float]
    min_confidence: float


@dataclass(frozen=True)
class Recalibration:
    """What was fitted on some rows."""

    temperatures: Mapping[Modality, float]
    of: Mapping[Subset, Fit]


@dataclass(frozen=True)
class Answered:
    """How many rows got a label, and how often it was the right one (0 where none did)."""

    share: float
    accuracy: float


@dataclass(frozen=True)
class Trial:
    """One modality, or several fused, over the rows that have them all."""

    probabilities: Floats
    """(n, 3)."""
    answered: Answered


@dataclass(frozen=True)
class HeldOut:
    """Rows as shipped, and as they come out with what was fitted without them."""

    before: Trial
    after: Trial
    labels: Labels
    least_probability: Sequence[Mapping[str, float]]
    """For each row the bounds of prediction sets that were fitted without it."""


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


def recalibrate(rows: Sequence[Judgeable], shares: Mapping[Subset, float], max_conflict: float) -> Recalibration:
    """All that is fitted on these rows; of each choice of modalities that share shall be answered."""
    temperatures: dict[Modality, float] = {
        name: fit_temperature([row.evidence[name] for row in those], [row.label for row in those])
        for (name, *others) in shares
        if not others and (those := having(rows, (name,)))
    }
    rule = FusionRule(max_conflict=max_conflict)
    return Recalibration(
        temperatures,
        {subset: _fit(having(rows, subset), subset, temperatures, rule, share) for subset, share in shares.items()},
    )


def threshold(verdicts: Sequence[Sentiment], share: float) -> float:
    """The confidence that this share of the rows reaches, rounded down to four digits; 1 if none shall be answered.

    Rows whose modalities contradict each other are withheld whatever their confidence.
    """
    told = sorted((one.confidence for one in verdicts if one.label is not None), reverse=True)
    wanted = round(share * len(verdicts))
    if not wanted or not told:
        return 1.0
    return math.floor(told[min(wanted, len(told)) - 1] * 1e4) / 1e4


def as_served(rows: Sequence[Judgeable], subset: Subset, rule: FusionRule) -> Trial:
    """The rows that have these modalities, as the pipelines answer now."""
    those = having(rows, subset)
    return _trial([_verdict(row, subset, {}, rule) for row in those], [row.label for row in those])


def cross_validated(
    rows: Sequence[Judgeable], before: Mapping[Subset, Trial], shares: Mapping[Subset, float], max_conflict: float
) -> dict[Subset, HeldOut]:
    """Each row as it comes out with what the other folds' rows fitted, beside what it was `before`."""
    fold = folds([row.label for row in rows])
    fitted = [
        recalibrate([row for row, one in zip(rows, fold, strict=True) if one != number], shares, max_conflict)
        for number in range(FOLDS)
    ]
    unseen = [(row, fitted[one]) for row, one in zip(rows, fold, strict=True)]
    return {
        subset: _held_out([pair for pair in unseen if having([pair[0]], subset)], subset, before[subset], max_conflict)
        for subset in shares
    }


def folds(labels: Sequence[int]) -> NDArray[np.int64]:
    """The fold of each row (n,): by chance, but the labels are shared out evenly."""
    given, random = np.asarray(labels), np.random.default_rng(SEED)
    fold = np.empty(len(given), np.int64)
    for label in range(len(SENTIMENTS)):
        places = np.flatnonzero(given == label)
        fold[random.permutation(places)] = np.arange(len(places)) % FOLDS
    return fold


def _fit(
    rows: Sequence[Judgeable], subset: Subset, temperatures: Mapping[Modality, float], rule: FusionRule, share: float
) -> Fit:
    verdicts = [_verdict(row, subset, temperatures, rule) for row in rows]
    bounds = conformal_scores(_probabilities(verdicts), np.array([row.label for row in rows]))
    return Fit(bounds, threshold(verdicts, share))


def _held_out(
    unseen: Sequence[tuple[Judgeable, Recalibration]], subset: Subset, before: Trial, max_conflict: float
) -> HeldOut:
    verdicts = [
        _verdict(row, subset, fitted.temperatures, FusionRule(fitted.of[subset].min_confidence, max_conflict))
        for row, fitted in unseen
    ]
    labels = [row.label for row, _ in unseen]
    return HeldOut(
        before=before,
        after=_trial(verdicts, labels),
        labels=np.array(labels),
        least_probability=[fitted.of[subset].least_probability for _, fitted in unseen],
    )


def _verdict(row: Judgeable, subset: Subset, temperatures: Mapping[Modality, float], rule: FusionRule) -> Sentiment:
    """Over these modalities alone."""
    return decide(row.opinions(temperatures, subset), rule)


def _trial(verdicts: Sequence[Sentiment], labels: Sequence[int]) -> Trial:
    right = [
        one.label == SENTIMENTS[label] for one, label in zip(verdicts, labels, strict=True) if one.label is not None
    ]
    share, accuracy = len(right) / len(verdicts), float(np.mean(right)) if right else 0.0
    return Trial(_probabilities(verdicts), Answered(round(share, 4), round(accuracy, 4)))


def _probabilities(verdicts: Sequence[Sentiment]) -> Floats:
    return np.array([one.distribution for one in verdicts])
