"""Prediction sets of the answers: what was asked for, from what was measured of the models that serve."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cache
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
    served = tuple(models.info[name].identifier for name in MODALITIES if name in present)
    table = _table(tuple(name for name in MODALITIES if name in present), served) if present else None
    least = EVERYTHING if table is None else least_probability(table, options.coverage)
    return prediction_set(sentiment.distribution, options.coverage, least)


def check_coverage(options: Options, models: Models, asked: Collection[Modality] = MODALITIES) -> None:
    """Raises `CoverageUnknown` at once if a model that may be asked was never measured."""
    if options.coverage is not None:
        for name in asked:
            _record(models.info[name].identifier)


@cache
def _table(present: tuple[Modality, ...], served: tuple[str, ...]) -> Mapping[str, float]:
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
