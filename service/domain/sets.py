"""Sets of labels that hold the true one as often as was asked for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from service.domain.labels import SENTIMENTS, Label
from service.domain.sentiment import Distribution

COVERAGES = tuple(round(0.01 * percent, 2) for percent in range(80, 100))
"""What can be asked for is taken to the next of these."""


@dataclass(frozen=True)
class PredictionSet:
    """The labels of which one is the true one, likeliest first; all of them where there was nothing to go on."""

    coverage: float
    """How often the set holds the true label, on data like those that it was calibrated on, in [0.8, 0.99]."""
    labels: tuple[Label, ...]


def prediction_set(distribution: Distribution, coverage: float, least: float) -> PredictionSet:
    """The labels with at least the probability `least`, and always the likeliest.

    Split conformal prediction with the score 1 - P(label) (Sadinle, Lei & Wasserman 2019, Least Ambiguous Set-Valued
    Classifiers); `least` comes from `least_probability`.
    """
    ranked = sorted(zip(distribution, SENTIMENTS, strict=True), reverse=True)
    highest = ranked[0][0]
    return PredictionSet(coverage, tuple(label for p, label in ranked if p >= least or p == highest))


def least_probability(table: Mapping[str, float], coverage: float) -> float:
    """The bound of a calibration record for the next coverage that it has, in steps of 0.01."""
    return table[f"{math.ceil(round(coverage * 100, 6)) / 100:.2f}"]
