"""Calibration and selective prediction of one head, in the words of the literature; numpy alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.training.calibration import brier, ece, macro_recall
from service.domain.labels import SENTIMENTS

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

BINS = 15
COVERAGES = tuple(round(0.05 * step, 2) for step in range(4, 21))
SET_COVERAGES = tuple(round(0.01 * percent, 2) for percent in range(80, 100))
BOOTSTRAPS = 1000


@dataclass(frozen=True)
class Bin:
    """Answers of like confidence: how many, how sure on average, and how many of them were right."""

    above: float
    up_to: float
    rows: int
    confidence: float
    accuracy: float


def reliability_bins(probabilities: Floats, labels: Labels, bins: int = BINS) -> list[Bin]:
    """The reliability diagram (DeGroot & Fienberg 1983): equal-width bins of the top probability; empty ones left out.

    probabilities (n, k); labels (n,) of class numbers.
    """
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    number = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    return [
        Bin(
            above=round(one / bins, 4),
            up_to=round((one + 1) / bins, 4),
            rows=int(here.sum()),
            confidence=round(float(confidence[here].mean()), 4),
            accuracy=round(float(right[here].mean()), 4),
        )
        for one in range(bins)
        if (here := number == one).any()
    ]


def risk_coverage(probabilities: Floats, labels: Labels) -> list[tuple[float, float]]:
    """(coverage, accuracy) when only the surest share is answered (El-Yaniv & Wiener 2010)."""
    order = np.argsort(-probabilities.max(axis=1), kind="stable")
    right = (probabilities.argmax(axis=1) == labels)[order]
    return [(share, round(float(right[: max(1, round(share * len(right)))].mean()), 4)) for share in COVERAGES]


def conformal_scores(probabilities: Floats, labels: Labels) -> dict[str, float]:
    """For each coverage the least probability with which a label enters the set, by split conformal prediction.

    The score is 1 - P(true label) (Sadinle, Lei & Wasserman 2019); rows must be exchangeable with what is to come and
    must not have been used for training. Coverages as `0.90`.
    """
    scores = np.sort(1 - probabilities[np.arange(len(labels)), labels])
    n = len(scores)
    ranks = {coverage: min(int(np.ceil((n + 1) * coverage)), n) for coverage in SET_COVERAGES}
    return {f"{coverage:.2f}": round(float(1 - scores[rank - 1]), 6) for coverage, rank in ranks.items()}


def set_coverage(probabilities: Floats, labels: Labels, least: float) -> tuple[float, float]:
    """How often the set of labels with at least this probability, and the likeliest, holds the true one; its size."""
    members = (probabilities >= least) | (probabilities == probabilities.max(axis=1, keepdims=True))
    return float(members[np.arange(len(labels)), labels].mean()), float(members.sum(axis=1).mean())


def scores(probabilities: Floats, labels: Labels) -> dict[str, float]:
    """Accuracy, macro-recall, calibration error, Brier score, and what abstention from a fifth buys."""
    whole = float((probabilities.argmax(axis=1) == labels).mean())
    at_80 = dict(risk_coverage(probabilities, labels))[0.8]
    found = {
        "rows": len(labels),
        "accuracy": whole,
        "macro_recall": macro_recall(probabilities.argmax(axis=1), labels, len(SENTIMENTS)),
        "ece": ece(probabilities, labels, BINS),
        "brier": brier(probabilities, labels),
        "accuracy_at_80_percent_coverage": at_80,
        "gained_by_abstention": at_80 - whole,
    }
    return {name: round(value, 4) for name, value in found.items()}


def intervals(probabilities: Floats, labels: Labels, seed: int = 0) -> dict[str, tuple[float, float]]:
    """95 % intervals of accuracy and calibration error over bootstrapped rows (Efron 1979)."""
    random = np.random.default_rng(seed)
    drawn = random.integers(0, len(labels), (BOOTSTRAPS, len(labels)))
    right = probabilities.argmax(axis=1) == labels
    errors = [ece(probabilities[rows], labels[rows], BINS) for rows in drawn[:200]]
    return {"accuracy": _middle(right[drawn].mean(axis=1)), "ece": _middle(errors)}


def _middle(values: NDArray[np.float64] | list[float]) -> tuple[float, float]:
    low, high = np.percentile(values, (2.5, 97.5))
    return round(float(low), 4), round(float(high), 4)
