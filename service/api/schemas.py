"""What answers look like: the domain's own dataclasses, and the few views that only the API has.

Answers are serialised straight from the dataclasses, and the OpenAPI document describes the same classes: no field is
written down twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, is_dataclass
from types import ModuleType
from typing import Any, Literal

import orjson
from pydantic import ConfigDict
from starlette.responses import Response
from typing_extensions import TypedDict, is_typeddict

from service import pipelines
from service.access import use
from service.api import problems
from service.api.problems import Problem
from service.domain import analysis, explanation, fusion, sentiment, timeline
from service.domain.analysis import Analysis
from service.domain.labels import Modality
from service.runners import State
from service.runners.profile import HeadProfile, Judged

DOCUMENTED = ConfigDict(use_attribute_docstrings=True, json_schema_serialization_defaults_required=True)
"""Attribute docstrings become descriptions; a field with a default is always there in an answer."""

DOCUMENTED_DICT = ConfigDict(use_attribute_docstrings=True)
"""The same for a `TypedDict`, whose members may be left out where it says so."""


def _document(module: ModuleType) -> None:
    """Set the configuration of a module's classes, where pydantic looks for it."""
    for value in vars(module).values():
        if not isinstance(value, type) or value.__module__ != module.__name__:
            continue
        if is_dataclass(value):
            value.__pydantic_config__ = DOCUMENTED  # type: ignore[attr-defined]
        elif is_typeddict(value):
            value.__pydantic_config__ = DOCUMENTED_DICT  # type: ignore[attr-defined]


for _module in (analysis, explanation, fusion, sentiment, timeline, pipelines, problems):
    _document(_module)


class Results(TypedDict):
    """The answers to several texts."""

    __pydantic_config__ = DOCUMENTED_DICT  # type: ignore[misc]

    results: list[Analysis | Problem]
    """One a text, in the order of `texts`."""


class HistoryPage(TypedDict):
    """Stored analyses, newest first."""

    __pydantic_config__ = DOCUMENTED_DICT  # type: ignore[misc]

    items: list[Analysis]
    """As they were answered."""
    next: str | None
    """The `cursor` of the next page; null where this is the last."""


@dataclass(frozen=True)
class System:
    """How busy the machine is, in percent."""

    __pydantic_config__ = DOCUMENTED

    cpu_percent: float
    memory_percent: float
    disk_percent: float
    """Of the disk that holds uploads while they are answered."""


@dataclass(frozen=True)
class About:
    """Which service answers."""

    __pydantic_config__ = DOCUMENTED

    version: str
    environment: str


Status = Literal["healthy", "degraded", "unhealthy"]


@dataclass(frozen=True)
class Dependencies:
    """What the service stands on, each really asked."""

    __pydantic_config__ = DOCUMENTED

    database: Status | None
    """Where histories and the state of jobs are kept; null if this process uses none."""
    queue: Status | None
    """What hands jobs to workers; null if this process uses none."""
    models: Status
    """All models together: degraded if one is missing or does not answer, unhealthy if none answers."""
    decoder: Status
    disk: Status
    """The disks of uploads and of what is kept: degraded when they are nearly full."""
    runners: Mapping[str, State]
    """Each model by name."""


@dataclass(frozen=True)
class Health:
    """How the service is."""

    __pydantic_config__ = DOCUMENTED

    status: Status
    """healthy; degraded: it answers, but something is missing; unhealthy."""
    timestamp: float
    """When this was asked, as Unix time in seconds."""
    uptime_seconds: float
    system: System
    api: About
    dependencies: Dependencies
    problems: tuple[str, ...]
    """What is wrong, one sentence each; empty when all is well."""


@dataclass(frozen=True)
class ModelView:
    """One model: what it is, what it scored and what it must not be used for."""

    __pydantic_config__ = DOCUMENTED

    name: str
    version: str
    task: str
    modality: str | None
    sha256: str | None
    """Digest of the weights file; null for a model that a setting brought in."""
    labels: tuple[str, ...]
    languages: tuple[str, ...]
    """Empty where the language does not matter."""
    scores: Mapping[str, Any]
    """Measured scores, by data set."""
    licence: str | None
    commercial_use: bool | None
    """Whether the licences of the training data allow commercial use; null if it is not known."""
    limits: tuple[str, ...]
    served: bool
    """Whether this model answers requests now."""


@dataclass(frozen=True)
class ReliabilityBin:
    """Answers of like confidence (from `above` to `up_to`): how many, how sure, and how many of them were right."""

    __pydantic_config__ = DOCUMENTED

    above: float
    up_to: float
    rows: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class SelectedAccuracy:
    """Accuracy when only this share of the rows, the surest, is answered."""

    __pydantic_config__ = DOCUMENTED

    coverage: float
    accuracy: float


@dataclass(frozen=True)
class MeasuredSet:
    """How often the set held the true label on test rows, and how many labels it had on average."""

    __pydantic_config__ = DOCUMENTED

    coverage: float
    labels: float


@dataclass(frozen=True)
class SetsView:
    """What prediction sets rest on; keys are coverages, as `0.90`."""

    __pydantic_config__ = DOCUMENTED

    method: str
    rows: int
    least_probability: Mapping[str, float]
    measured: Mapping[str, MeasuredSet]


@dataclass(frozen=True)
class MeasuredCalibration:
    """How right and how honest the three sentiments are, on test rows."""

    __pydantic_config__ = DOCUMENTED

    rows: int
    accuracy: float
    macro_recall: float
    ece: float
    """Expected calibration error over 15 bins."""
    brier: float
    accuracy_at_80_percent_coverage: float
    gained_by_abstention: float
    intervals_95_percent: Mapping[str, tuple[float, float]]
    bins: tuple[ReliabilityBin, ...]
    risk_coverage: tuple[SelectedAccuracy, ...]
    sets: SetsView


@dataclass(frozen=True)
class AppliedProfile:
    """What a recalibration profile does to a model here, and how it scored on the labels that it was made from."""

    __pydantic_config__ = DOCUMENTED

    profile: str
    """`name@version`."""
    date: str
    data: str
    data_sha256: str
    temperatures: Mapping[Modality, float]
    """What divides the logits beyond the model's own temperature, by modality."""
    judged: Mapping[str, Judged]
    """By what was judged: one modality, or for `fusion` each choice of them that the labels had."""


@dataclass(frozen=True)
class CalibrationView:
    """What was measured of a model, or of the fused verdict (`fusion`): on which data and weights, and when."""

    __pydantic_config__ = DOCUMENTED

    name: str
    model: str
    """The model and version that was measured, or the method of fusion."""
    data: str
    data_sha256: Mapping[str, str]
    weights_sha256: Mapping[str, str]
    date: str
    commit: str
    current: bool
    """Whether these are the weights of this service."""
    measured: Mapping[str, MeasuredCalibration]
    """By what was judged: one modality, or for `fusion` each choice of them, as `text+face`."""
    robustness: Mapping[str, Mapping[str, float]] | None = None
    """Accuracy of the fused verdict with one modality spoilt or missing; for `fusion` alone."""
    profile: AppliedProfile | None = None
    """The recalibration that is in use here, of which all else in this answer knows nothing; null if there is none."""


@dataclass(frozen=True)
class UseView:
    """The use that the operator declared, and what the law forbids in it."""

    __pydantic_config__ = DOCUMENTED

    name: use.Use
    restricted: tuple[Modality, ...]
    """Modalities that are refused with `use_restricted`."""
    reason: str | None
    """One sentence about it, for people; null if nothing is restricted."""


@dataclass(frozen=True)
class ProfileView:
    """The recalibration profile that is in use."""

    __pydantic_config__ = DOCUMENTED

    name: str
    version: int
    date: str
    data: str
    data_sha256: str
    rows: int
    """Labelled rows that it was made from."""
    heads: Mapping[Modality, HeadProfile]
    """By modality; one that is absent is served as shipped."""
    min_confidence: Mapping[str, float]
    """Below this the verdict is withheld unless a request says otherwise; by what it is over, as `text+face`."""


class ModelList(TypedDict):
    """Every model."""

    __pydantic_config__ = DOCUMENTED_DICT  # type: ignore[misc]

    models: list[ModelView]
    use: UseView
    """What this service may be used for."""
    profile: ProfileView | None
    """What `SENTIMENT_CALIBRATION_PROFILE` named; null if nothing, and until the models have started."""


def json_response(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A value as JSON. Dataclasses are written as they are; NaN is written as null."""
    content = orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(content, status, dict(headers or {}), media_type="application/json")
