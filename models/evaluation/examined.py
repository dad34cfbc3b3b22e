"""The numbers behind the plots of the cards, one file for all models: `models/cards/plots/numbers.json`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from models.evaluation.confusion import Confusion
from models.evaluation.groups import GroupScore
from models.evaluation.robustness import Curve, Point
from models.registry import FOLDER

PLOTS = FOLDER / "cards" / "plots"
NUMBERS = PLOTS / "numbers.json"


@dataclass(frozen=True)
class Examined:
    """What a model takes for what, how its scores fall with damage, and how they differ between groups."""

    about: Mapping[str, Any]
    """The model, data and digests, date and commit."""
    confusions: tuple[Confusion, ...]
    """Of the sentiments first, then of emotions."""
    curves: tuple[Curve, ...]
    groups: tuple[GroupScore, ...] = ()


def write(examined: Mapping[str, Examined], path: Path = NUMBERS) -> None:
    """Store what was examined, by the models' names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({name: asdict(one) for name, one in examined.items()}, indent=1) + "\n")


def read(path: Path = NUMBERS) -> dict[str, Examined]:
    """What is stored, by the models' names; empty where nothing is."""
    stored = json.loads(path.read_text()) if path.exists() else {}
    return {name: _examined(one) for name, one in stored.items()}


def digest(numbers: Any) -> str:
    """A digest of what a plot is drawn from: any JSON."""
    return hashlib.sha256(json.dumps(numbers, sort_keys=True).encode()).hexdigest()


def _examined(stored: Mapping[str, Any]) -> Examined:
    return Examined(
        about=stored["about"],
        confusions=tuple(_confusion(one) for one in stored["confusions"]),
        curves=tuple(_curve(one) for one in stored["curves"]),
        groups=tuple(GroupScore(**one) for one in stored["groups"]),
    )


def _confusion(stored: Mapping[str, Any]) -> Confusion:
    lists = {name: tuple(stored[name]) for name in ("rows", "columns")}
    return Confusion(**{**stored, **lists, "counts": tuple(tuple(row) for row in stored["counts"])})


def _curve(stored: Mapping[str, Any]) -> Curve:
    points = tuple(Point(**one) for one in stored["points"])
    return Curve(**{**stored, "clean": Point(**stored["clean"]), "points": points})
