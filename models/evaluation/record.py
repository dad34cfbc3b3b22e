"""What is published of a head's calibration: `models/calibration/<name>.json`, which the API serves."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.evaluation.measures import conformal_scores, figures, set_coverage
from models.registry import FOLDER as MODELS
from models.registry import sha256
from models.training.data import data_folder

SHOWN_COVERAGES = ("0.80", "0.90", "0.95")

Said = tuple[NDArray[np.float64], NDArray[np.int64]]
"""Probabilities (n, 3) and the true sentiments (n,)."""


def measured(fitted_on: Said, tested_on: Said) -> dict[str, Any]:
    """All measures on test rows, and what prediction sets need, from validation rows."""
    least = conformal_scores(*fitted_on)
    held = {name: set_coverage(*tested_on, least[name]) for name in SHOWN_COVERAGES}
    return {
        **figures(*tested_on),
        "sets": {
            "method": "split conformal prediction on validation rows",
            "rows": len(fitted_on[1]),
            "least_probability": least,
            "measured": {
                name: {"coverage": round(share, 4), "labels": round(size, 3)} for name, (share, size) in held.items()
            },
        },
    }


def about(data: str, tables: Iterable[str], weights: Mapping[str, str]) -> dict[str, Any]:
    """On what, of which weights and when."""
    return {
        "data": data,
        "data_sha256": {table: sha256(data_folder() / f"{table}.parquet") for table in tables},
        "weights_sha256": dict(weights),
        "date": datetime.now(timezone.utc).date().isoformat(),
        "commit": commit(),
    }


def commit() -> str:
    """The commit that was checked out, if this is a checkout."""
    try:
        asked = ("git", "-C", str(MODELS), "rev-parse", "--short", "HEAD")
        return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
