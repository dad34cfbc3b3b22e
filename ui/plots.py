"""Drawings as SVG: a gauge, and valence over time. No script, no library; each says in words what it shows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import count

from ui.answers import MODALITIES, Modality, Sentiment, TimelinePoint
from ui.markup import clock, percent, signed, style, text

WIDTH, HEIGHT = 1000.0, 200.0
"""Of the timeline's drawing; it is stretched to its frame, so strokes and labels do not scale with it."""

_ids = count(1)


def tone(sentiment: Sentiment) -> str:
    """The class that colours a verdict: its label, or `undecided`."""
    return sentiment.label or "undecided"


def gauge(sentiment: Sentiment) -> str:
    """A half circle from negative to positive, with a mark at the valence unless that would mislead."""
    angle = math.pi * (1 - (sentiment.valence + 1) / 2)
    x, y = 100 + 80 * math.cos(angle), 100 - 80 * math.sin(angle)
    mark = f'<circle class="ms-gauge-mark" cx="{x:.1f}" cy="{y:.1f}" r="9"/>' if sentiment.telling else ""
    reading = signed(sentiment.valence) if sentiment.telling else "\u2013"
    name = f"ms-gauge-{next(_ids)}"
    said = f"Valence {reading} on a scale from \u22121, negative, to +1, positive."
    return f"""<svg class="ms-gauge" viewBox="0 0 200 126" role="img" aria-label="{text(said)}">
<defs><linearGradient id="{name}"><stop offset="0" class="ms-stop-negative"/><stop offset=".5" class="ms-stop-neutral"/>
<stop offset="1" class="ms-stop-positive"/></linearGradient></defs>
<path class="ms-gauge-arc" d="M20 100A80 80 0 0 1 180 100" stroke="url(#{name})"/>{mark}
<text class="ms-gauge-value" x="100" y="92">{text(reading)}</text>
<text class="ms-gauge-name" x="100" y="111">valence</text>
<text class="ms-gauge-end" x="20" y="124">\u22121</text><text class="ms-gauge-end" x="180" y="124">+1</text></svg>"""


def timeline(points: Sequence[TimelinePoint], seconds: float | None = None) -> str:
    """Valence over time: fused as bands and a line, each modality as a thinner line, gaps where nobody said anything.

    `seconds` is the length of the media; by default the end of the last point. Empty without points. Where the page has
    a player, `page.js` makes the plot a slider of it, for mouse and keys.
    """
    if not points:
        return ""
    whole = max(seconds or 0.0, points[-1].end)
    present: list[Modality] = [name for name in MODALITIES if any(point.of(name) for point in points)]
    shown: list[Modality] = present if len(present) > 1 else []  # one modality alone is the fused line
    lines = "".join(_line([(point, point.of(name)) for point in points], whole, name) for name in shown)
    fused = _line([(point, point.sentiment) for point in points], whole, "fused")
    bands = "".join(_band(point, whole) for point in points)
    middle = HEIGHT / 2
    return f"""<figure class="ms-timeline" data-seconds="{whole:.3f}"><div class="ms-plot">
<svg viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" preserveAspectRatio="none" role="img" aria-label="{text(summary(points))}">
{bands}<line class="ms-zero" x1="0" x2="{WIDTH:.0f}" y1="{middle}" y2="{middle}"/>{lines}{fused}</svg>
<span class="ms-playhead" hidden></span>{_scale()}</div>
<div class="ms-ticks" aria-hidden="true">{_ticks(whole)}</div>{_legend(shown, points)}</figure>"""


def summary(points: Sequence[TimelinePoint]) -> str:
    """The timeline in words, for those who cannot see it."""
    heard = [point for point in points if point.sentiment.grounded]
    if not heard:
        return f"Valence over {clock(points[-1].end)}: nothing to go on anywhere."
    high = max(heard, key=lambda point: point.sentiment.valence)
    low = min(heard, key=lambda point: point.sentiment.valence)
    return (
        f"Valence over {clock(points[-1].end)}: highest {signed(high.sentiment.valence)} at {clock(high.start)}, "
        f"lowest {signed(low.sentiment.valence)} at {clock(low.start)}; "
        f"{percent_of_time(points)} of the time there was something to go on."
    )


def percent_of_time(points: Sequence[TimelinePoint]) -> str:
    """How much of the time there was evidence."""
    whole = sum(point.end - point.start for point in points)
    heard = sum(point.end - point.start for point in points if point.sentiment.grounded)
    return percent(heard / whole) if whole > 0 else percent(0.0)


def _x(seconds: float, whole: float) -> float:
    return seconds / whole * WIDTH if whole > 0 else 0.0


def _y(valence: float) -> float:
    """With a margin, so that a line at +1 is not cut in half."""
    return HEIGHT / 2 - valence * (HEIGHT / 2 - 6)


def _band(point: TimelinePoint, whole: float) -> str:
    left, right = _x(point.start, whole), _x(point.end, whole)
    if not point.sentiment.grounded:
        said, kind, strength = "nothing to go on", "silent", 1.0
    else:
        verdict = point.sentiment
        said = f"{verdict.label or 'undecided'}, valence {signed(verdict.valence)}, {percent(verdict.confidence)} sure"
        kind, strength = tone(verdict), verdict.confidence
    title = f"{clock(point.start)} to {clock(point.end)}: {said}"
    return (
        f'<rect class="ms-band ms-{text(kind)}" x="{left:.2f}" width="{max(right - left, 0):.2f}" y="0" '
        f'height="{HEIGHT:.0f}" {style(strength=strength)}><title>{text(title)}</title></rect>'
    )


def _line(said: Iterable[tuple[TimelinePoint, Sentiment | None]], whole: float, name: str) -> str:
    """A line of steps: each value holds from a point's start to its end; it breaks where nothing was said."""
    path, pen_down, last_end = [], False, None
    for point, sentiment in said:
        if sentiment is None or not sentiment.grounded:
            pen_down = False
            continue
        joined = pen_down and last_end is not None and abs(point.start - last_end) < 1e-6
        x, y = _x(point.start, whole), _y(sentiment.valence)
        path.append(f"{'L' if joined else 'M'}{x:.2f} {y:.2f}H{_x(point.end, whole):.2f}")
        pen_down, last_end = True, point.end
    return f'<path class="ms-line ms-line-{name}" d="{"".join(path)}"/>' if path else ""


def _scale() -> str:
    places = (("0%", "positive"), ("50%", "neutral"), ("100%", "negative"))
    return "".join(f'<span class="ms-y" {style(at=at)}>{name}</span>' for at, name in places)


def _ticks(whole: float) -> str:
    step = _step(whole)
    marks = [i * step for i in range(int(whole / step + 1e-9) + 1)]
    return "".join(f"<span {style(at=f'{100 * mark / whole:.2f}%')}>{text(clock(mark))}</span>" for mark in marks)


def _step(whole: float) -> float:
    """A round number of seconds that gives at most seven labels."""
    return next((step for step in (0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800) if whole / step <= 6), 3600.0)


def _legend(shown: Sequence[Modality], points: Sequence[TimelinePoint]) -> str:
    """The lines that are drawn, and those colours of bands that do not speak for themselves."""
    names = {"text": "Words", "speech": "Voice", "face": "Faces"}
    keys = [("fused", "All together" if shown else "Valence"), *((name, names[name]) for name in shown)]
    if any(point.sentiment.abstained and point.sentiment.grounded for point in points):
        keys.append(("undecided", "Undecided"))
    if not all(point.sentiment.grounded for point in points):
        keys.append(("silent", "Nothing to go on"))
    items = "".join(f'<li class="ms-key ms-key-{name}">{said}</li>' for name, said in keys)
    return f'<ul class="ms-legend">{items}</ul>'
