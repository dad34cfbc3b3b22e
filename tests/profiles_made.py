"""A recalibration profile of the text model as shipped, for tests of what is done with one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from models.registry import default_model
from service.domain.sets import COVERAGES
from service.runners.profile import HeadProfile, Judged, Profile, Quality

ENTRY = default_model("text-sentiment")
HEAD = HeadProfile(ENTRY.identifier, ENTRY.sha256, ENTRY.temperature, temperature=1.6, rows=400)
BEFORE, AFTER = Quality(0.71, 0.7, 0.14, 0.45), Quality(0.71, 0.7, 0.05, 0.41)
BOUNDS = {f"{coverage:.2f}": round(0.5 * (1 - coverage), 4) for coverage in COVERAGES}
TEXT = Judged(
    rows=400,
    before=BEFORE,
    after=AFTER,
    min_confidence=0.52,
    answered=0.8,
    accuracy_of_answered=0.77,
    least_probability=BOUNDS,
)

PROFILE = Profile(
    format=1,
    name="support-chats",
    version=3,
    date="2026-11-24",
    data="chats.csv",
    data_sha256="0" * 64,
    rows=400,
    heads={"text": HEAD},
    judged={"text": TEXT},
)


def made(**changes: Any) -> Profile:
    """The profile with other values."""
    return replace(PROFILE, **changes)
