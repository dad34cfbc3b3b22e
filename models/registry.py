"""The registry of model files: what each is, what it scored, and the digest that its file must have."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FOLDER = Path(__file__).parent
REGISTRY = FOLDER / "registry.toml"
CALIBRATION = FOLDER / "calibration"


class WeightsMismatch(RuntimeError):
    """A weights file is absent or is not the one that the registry names."""


@dataclass(frozen=True)
class ModelEntry:
    """One model of the registry.

    `temperature` divides the logits (Guo et al. 2017), fitted on validation data.
    `reliability` in (0, 1] is what fusion weighs the modality by, measured on validation data.
    `files` maps further files (a tokenizer) to their sha256; paths are relative to `models/`.
    """

    name: str
    version: str
    task: str
    file: str
    sha256: str
    labels: tuple[str, ...]
    licence: str
    commercial_use: bool
    modality: str | None = None
    languages: tuple[str, ...] = ()
    temperature: float = 1.0
    reliability: float = 1.0
    files: Mapping[str, str] = field(default_factory=dict)
    scores: Mapping[str, Any] = field(default_factory=dict)
    limits: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def identifier(self) -> str:
        """`name@version`, as answers and cards name the model."""
        return f"{self.name}@{self.version}"

    def path(self, file: str | None = None) -> Path:
        """The path of a file of this model (its weights if none is named), once its digest is the registry's.

        Raises `WeightsMismatch`.
        """
        wanted = self.sha256 if file is None else self.files[file]
        path = FOLDER / (self.file if file is None else file)
        if not path.is_file():
            raise WeightsMismatch(f"{path.name} is missing.")
        if sha256(path) != wanted:
            raise WeightsMismatch(f"{path.name} is not the file that models/registry.toml names for {self.identifier}.")
        return path


def sha256(path: Path) -> str:
    """The hexadecimal SHA-256 digest of a file."""
    with path.open("rb") as stream:
        digest = hashlib.sha256()
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@cache
def load_registry(path: Path = REGISTRY) -> Mapping[str, ModelEntry]:
    """All models, by name."""
    entries = tomllib.loads(path.read_text(encoding="utf-8"))
    return {name: _entry(name, values) for name, values in entries.items()}


def shipped() -> dict[str, str]:
    """The digest of every weights file, by its path below `models`."""
    return {entry.file: entry.sha256 for entry in load_registry().values()}


@cache
def load_calibration(name: str) -> Mapping[str, Any] | None:
    """What was measured of a model's calibration (`fusion`: of the fused verdict); None if nothing was.

    `python -m models.evaluation` writes it.
    """
    path = CALIBRATION / f"{name}.json"
    if name not in {*load_registry(), "fusion"} or not path.is_file():
        return None
    return json.loads(path.read_text(encoding="utf-8"))


def default_model(task: str) -> ModelEntry:
    """The model that serves `task` unless a setting names another: the first in the registry."""
    return next(entry for entry in load_registry().values() if entry.task == task)


def _entry(name: str, values: Mapping[str, Any]) -> ModelEntry:
    tuples = {key: tuple(value) for key, value in values.items() if isinstance(value, list)}
    return ModelEntry(name=name, **{**values, **tuples})
