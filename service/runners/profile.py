"""A recalibration profile: what an operator's own labels say of the models that serve.

`make evaluate DATA=labels.csv PROFILE=profile.toml` writes one, `SENTIMENT_CALIBRATION_PROFILE` has it served.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from models.registry import load_registry
from service.domain.labels import MODALITIES, Modality
from service.domain.sentiment import Prediction, tempered
from service.domain.sets import COVERAGES
from service.runners import ModelInfo

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

STRICT = ConfigDict(
    extra="forbid", use_attribute_docstrings=True, json_schema_serialization_defaults_required=True, frozen=True
)

NAME = "^[A-Za-z0-9._-]{1,60}$"
Share = Annotated[float, Field(ge=0, le=1)]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class WrongProfile(ValueError):
    """No profile can be read from the file, or it belongs to other weights than those that serve."""


@dataclass(frozen=True)
class HeadProfile:
    """What divides the logits of one modality's sentiments beyond its own temperature, and which model it is for."""

    __pydantic_config__ = STRICT

    model: str
    weights_sha256: Digest
    shipped_temperature: float
    """The temperature of the registry, on top of which the other comes."""
    temperature: Annotated[float, Field(gt=0)]
    """Above 1 the probabilities become less sure, below 1 surer; the likeliest label stays (Guo et al. 2017)."""
    rows: int
    """Labelled rows that it was fitted on."""


@dataclass(frozen=True)
class Quality:
    """How right and how honest the probabilities are."""

    __pydantic_config__ = STRICT

    accuracy: Share
    macro_recall: Share
    ece: Share
    """Expected calibration error over 15 bins."""
    brier: Annotated[float, Field(ge=0, le=2)]


@dataclass(frozen=True)
class Judged:
    """One modality, or several fused: as shipped and recalibrated, and what prediction sets need."""

    __pydantic_config__ = STRICT

    rows: int
    before: Quality
    after: Quality
    """In cross-validation: no row was judged with a temperature that it had a part in."""
    min_confidence: Share
    """Below this the verdict is withheld, whatever its lead, unless a request says otherwise."""
    answered: Share
    """The share of the labelled rows that is answered with such a threshold; measured as `after` is."""
    accuracy_of_answered: Share
    least_probability: Mapping[str, Share]
    """By coverage, as `0.90`: the probability from which on a label enters the set (split conformal prediction)."""


@dataclass(frozen=True)
class Profile:
    """Temperatures, thresholds of abstention and bounds of prediction sets for one kind of data."""

    __pydantic_config__ = STRICT

    format: Literal[1]
    name: Annotated[str, Field(pattern=NAME)]
    version: Annotated[int, Field(ge=1)]
    date: str
    data: str
    """The name of the labelled file."""
    data_sha256: Digest
    """Of the labelled file and of all that it points to."""
    rows: int
    heads: Mapping[Modality, HeadProfile]
    """By modality; one that is absent stays as shipped."""
    judged: Mapping[str, Judged]
    """By modality, or by those that were fused, as `text+face`."""

    @property
    def identifier(self) -> str:
        """`name@version`, as answers name it."""
        return f"{self.name}@{self.version}"

    @property
    def min_confidence_of(self) -> dict[frozenset[Modality], float]:
        """The thresholds by the modalities that a verdict is over."""
        return {
            frozenset(name for name in MODALITIES if name in what.split("+")): one.min_confidence
            for what, one in self.judged.items()
        }

    def recalibrated(self, name: Modality, prediction: Prediction) -> Prediction:
        """What a model says, its sentiments tempered; what it says of emotions stays."""
        head = self.heads.get(name)
        if head is None:
            return prediction
        return replace(prediction, probabilities=tempered(prediction.probabilities, head.temperature))


def load_profile(path: Path) -> Profile:
    """The profile of a TOML file. Raises `WrongProfile`."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        profile = _PROFILE.validate_python(values)
    except OSError as error:
        raise WrongProfile(f"The calibration profile {path} can't be read: {error.strerror}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(step) for step in first["loc"])
        raise WrongProfile(f"{path} is no calibration profile: {place}: {first['msg']}.") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise WrongProfile(f"{path} is no calibration profile: it is not TOML in UTF-8 ({error}).") from error
    for what, judged in profile.judged.items():
        if set(judged.least_probability) != {f"{coverage:.2f}" for coverage in COVERAGES}:
            raise WrongProfile(f"{path} is no calibration profile: judged.{what} lacks coverages from 0.80 to 0.99.")
    return profile


_PROFILE = TypeAdapter(Profile)


def chosen_profile(path: Path | None, served: Mapping[str, ModelInfo]) -> Profile | None:
    """The profile that a setting names, if it names one and it belongs to these models. Raises `WrongProfile`."""
    if path is None:
        return None
    profile = load_profile(path)
    _check(profile, served)
    return profile


def _check(profile: Profile, served: Mapping[str, ModelInfo]) -> None:
    """Raises `WrongProfile` unless each model that it recalibrates is the one that serves, weight for weight."""
    shipped = {entry.identifier: entry for entry in load_registry().values()}
    for name, head in profile.heads.items():
        identifier = served[name].identifier
        entry = shipped.get(identifier)
        there = (entry.sha256, entry.temperature) if entry else (None, 1.0)
        if there != (head.weights_sha256, head.shipped_temperature):
            digest = f" (weights {entry.sha256[:12]}, temperature {entry.temperature})" if entry else ""
            raise WrongProfile(
                f"The calibration profile {profile.identifier} belongs to {head.model} (weights "
                f"{head.weights_sha256[:12]}, temperature {head.shipped_temperature}), but {identifier}{digest} serves "
                f"{name}: make it again with `make evaluate`, or unset SENTIMENT_CALIBRATION_PROFILE."
            )
