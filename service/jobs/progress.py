"""How far a job is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """So much of a total that may be unknown, in the job's unit."""

    done: float
    total: float | None = None
