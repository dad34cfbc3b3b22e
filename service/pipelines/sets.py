"""Prediction sets of the answers: what was asked for, from what was measured of the models that serve."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cache
from itertools import combinations
from typing import Any

from models.registry import load_calibration
from service.domain.labels import MODALITIES, Modality
from service.domain.sentiment import Sentiment
from service.domain.sets import PredictionSet, least_probability, prediction_set
from service.pipelines import CoverageUnknown, Options
from service.runners import Models

EVERYTHING = 0.0
"""Without evidence any label may be the true one."""


def set_of(
    sentiment: Sentiment, present: Collection[Modality], options: Options, models: Models
) -> PredictionSet | None:
    """The set for a verdict over these modalities; None unless a coverage was asked for. Raises `CoverageUnknown`."""
    if options.coverage is None:
        return None
    told: tuple[Modality, ...] = tuple(name for name in MODALITIES if name in present)
    least = least_probability(_table(told, models), options.coverage) if told else EVERYTHING
    return prediction_set(sentiment.distribution, options.coverage, least)


def check_coverage(options: Options, models: Models, asked: Collection[Modality] = MODALITIES) -> None:
    """Raises `CoverageUnknown` at once if a model that may be asked was never measured, or a choice of them."""
    if options.coverage is None:
        return
    names: tuple[Modality, ...] = tuple(name for name in MODALITIES if name in asked)
    for size in range(1, len(names) + 1):
        for told in combinations(names, size):
            _table(told, models)


def _table(present: tuple[Modality, ...], models: Models) -> Mapping[str, float]:
    """The bounds for one head, or for a choice of them: the profile's where it recalibrates one of them."""
    profile, what = models.profile, "+".join(present)
    if profile is not None and what in profile.judged:
        return profile.judged[what].least_probability
    if profile is not None and not profile.heads.keys().isdisjoint(present):
        raise CoverageUnknown(f"the verdict over {' and '.join(present)} with the profile {profile.identifier}")
    return _shipped(present, tuple(models.info[name].identifier for name in present))


@cache
def _shipped(present: tuple[Modality, ...], served: tuple[str, ...]) -> Mapping[str, float]:
    """The bounds that were measured for one head, or for a choice of them. Raises `CoverageUnknown`."""
    heads = [_record(identifier) for identifier in served]
    if len(present) == 1:
        return heads[0]["sets"]["least_probability"]
    fused = load_calibration("fusion")
    if fused is None:
        raise CoverageUnknown("the fused verdict")
    return fused["subsets"]["+".join(present)]["sets"]["least_probability"]


def _record(identifier: str) -> Mapping[str, Any]:
    name = identifier.split("@", maxsplit=1)[0]
    record = load_calibration(name)
    if record is None or record["model"] != identifier:
        raise CoverageUnknown(identifier)
    return record
