"""Calibration and selective prediction of one head, in the words of the literature; numpy alone."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.training.calibration import brier, ece, macro_recall
from service.domain.labels import SENTIMENTS
from service.domain.sets import COVERAGES as SET_COVERAGES

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

BINS = 15
COVERAGES = tuple(round(0.05 * step, 2) for step in range(4, 21))
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


def set_coverage(probabilities: Floats, labels: Labels, least: float | Floats) -> tuple[float, float]:
    """How often the set of labels with at least this probability, and the likeliest, holds the true one; its size.

    `least` is one bound, or one for each row (n, 1).
    """
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


def figures(probabilities: Floats, labels: Labels) -> dict[str, Any]:
    """Scores with their intervals, the reliability diagram and the risk-coverage curve, as records have them."""
    return {
        **scores(probabilities, labels),
        "intervals_95_percent": intervals(probabilities, labels),
        "bins": [asdict(one) for one in reliability_bins(probabilities, labels)],
        "risk_coverage": [
            {"coverage": share, "accuracy": right} for share, right in risk_coverage(probabilities, labels)
        ],
    }


def chance_ece(probabilities: Floats, seed: int = 0, draws: int = 200) -> float:
    """The calibration error that these probabilities (n, k) have on average where they are perfectly right.

    It is above 0 because bins hold few rows: with Dirichlet(0.6, 0.8, 1) 0.11 for 100 rows, 0.05 for 500, 0.03 for
    1,000.
    """
    random = np.random.default_rng(seed)
    below = probabilities.cumsum(axis=1)
    drawn = ((below > random.random((len(below), 1))).argmax(axis=1) for _ in range(draws))
    return round(float(np.mean([ece(probabilities, labels, BINS) for labels in drawn])), 4)


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
