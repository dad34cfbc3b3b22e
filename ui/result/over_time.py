"""Valence over time, and which stretches of it move the verdict."""

from __future__ import annotations

from ui.answers import Analysis
from ui.plots import timeline
from ui.result.reasons import lanes


def over_time(answer: Analysis) -> str:
    """The timeline of a recording or a video; nothing for what has no duration."""
    if not answer.timeline:
        return ""
    seconds = answer.media.seconds if answer.media else None
    whole = max(seconds or 0.0, answer.timeline[-1].end)
    return (
        f'<article class="ms-card"><h3>Over time</h3>{timeline(answer.timeline, seconds)}{lanes(answer, whole)}'
        '<p class="ms-small ms-how" hidden>Click into the plot, or move along it with the arrow keys, to hear or see '
        "that moment in the player.</p></article>"
    )
