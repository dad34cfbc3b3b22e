"""Following faces from frame to frame by where they are: no descriptor of a face is ever made or kept."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

Box = tuple[float, float, float, float]
"""x, y, width, height in pixels."""

MAX_STEP = 0.8
"""A face moves by less than this times its size between two frames that are looked at."""

MAX_GROWTH = 2.0
"""Nor does its size change by more than this factor."""


def match(tracks: Mapping[int, Box], boxes: Sequence[Box]) -> list[int | None]:
    """For each box the track that it continues, or None for a new face; greedy, the nearest pair first."""
    pairs = sorted(
        (step, track, index)
        for track, last in tracks.items()
        for index, box in enumerate(boxes)
        if (step := distance(last, box)) < MAX_STEP
    )
    found: list[int | None] = [None] * len(boxes)
    taken: set[int] = set()
    for _, track, index in pairs:
        if track not in taken and found[index] is None:
            found[index] = track
            taken.add(track)
    return found


def distance(first: Box, second: Box) -> float:
    """Distance of the centres over the mean size; infinite if one is more than `MAX_GROWTH` times the other."""
    sizes = math.sqrt(max(first[2] * first[3], 1e-6)), math.sqrt(max(second[2] * second[3], 1e-6))
    if max(sizes) > MAX_GROWTH * min(sizes):
        return math.inf
    across = first[0] + first[2] / 2 - second[0] - second[2] / 2
    down = first[1] + first[3] / 2 - second[1] - second[3] / 2
    return math.hypot(across, down) / (sum(sizes) / 2)
