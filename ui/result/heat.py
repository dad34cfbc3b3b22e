"""Where in a face its expression is: a map over the picture, or, without one, over the sketch of a face."""

from __future__ import annotations

from collections.abc import Sequence

from ui.answers import Heatmap
from ui.markup import clock, style, text

ROWS = ("forehead", "eyes", "nose", "mouth")
SIDES = ("left", "middle", "right")

FAINTEST_SHARE = 0.08
"""Cells of a sketch below this share of the strongest stay empty."""

FEATURES = (
    '<ellipse cx="50" cy="52" rx="42" ry="50"/><path d="M22 38q8-6 16 0M62 38q8-6 16 0M50 44l-5 15h9M33 76q17 9 34 0"/>'
)
"""Outline, eyes, nose and mouth of an aligned face 100 units wide; its left is the picture's."""

SWITCH = '<label><input type="checkbox" checked> Show where each face says it</label>'

COLOURS = (
    '<span class="ms-heat-for">speaks for what the face says</span>'
    '<span class="ms-heat-against">speaks against it</span>'
)

HOW = "Each place of a face was covered in turn; the colour says how far that moved the verdict on it."


def key(*, switch: bool) -> str:
    """What the colours mean, with a switch to look at the faces without them."""
    return f'<p class="ms-small ms-heat-key">{SWITCH if switch else ""}{COLOURS}</p><p class="ms-small">{HOW}</p>'


def overlays(maps: Sequence[Heatmap], width: float, height: float) -> str:
    """The maps as pictures to be laid over a picture of this size."""
    return "".join(_overlay(one, width, height) for one in maps)


def sketches(maps: Sequence[Heatmap]) -> str:
    """The maps over sketches of faces, for those whose picture isn't there."""
    shown = "".join(f'<li>{_sketch(one)}<span class="ms-small">{_caption(one)}</span></li>' for one in maps)
    return f'<ul class="ms-heat-sketches">{shown}</ul>' if shown else ""


def said(one: Heatmap) -> str:
    """A map in words, for those who cannot see it."""
    weights = [(weight, row, column) for row, line in enumerate(one.weights) for column, weight in enumerate(line)]
    strongest = max(weights, default=(0.0, 0, 0))
    if strongest[0] <= 0:
        return f"Face {one.track}: no place speaks for {one.label}."
    lines, columns = len(one.weights), len(one.weights[0])
    row = ROWS[min(strongest[1] * len(ROWS) // lines, len(ROWS) - 1)]
    side = SIDES[min(strongest[2] * len(SIDES) // columns, len(SIDES) - 1)]
    where = f"in the middle of the {row}" if side == "middle" else f"at the {row}, on the {side} of the picture"
    where = where.replace("the middle of the eyes", "the middle between the eyes")
    return f"Face {one.track}: what speaks most for {one.label} is {where}."


def _overlay(one: Heatmap, width: float, height: float) -> str:
    x, y, w, h = one.box
    place = style(
        left=f"{100 * x / width:.2f}%",
        top=f"{100 * y / height:.2f}%",
        width=f"{100 * w / width:.2f}%",
        height=f"{100 * h / height:.2f}%",
    )
    source = f"data:image/png;base64,{one.png_base64}"
    return f'<img class="ms-heat" {place} src="{text(source)}" alt="{text(said(one))}">'


def _sketch(one: Heatmap) -> str:
    cells = "".join(
        _cell(weight / one.strongest, row, column, len(one.weights))
        for row, line in enumerate(one.weights)
        for column, weight in enumerate(line)
        if one.strongest > 0 and abs(weight) >= FAINTEST_SHARE * one.strongest
    )
    return (
        f'<svg class="ms-heat-sketch" viewBox="0 0 100 104" role="img" aria-label="{text(said(one))}">'
        f"<g>{cells}</g>{FEATURES}</svg>"
    )


def _cell(share: float, row: int, column: int, lines: int) -> str:
    side = 100 / lines
    kind = "for" if share > 0 else "against"
    return (
        f'<rect class="ms-heat-{kind}" x="{column * side:.1f}" y="{row * side:.1f}" width="{side:.1f}" '
        f'height="{side:.1f}" opacity="{min(abs(share), 1):.2f}"/>'
    )


def _caption(one: Heatmap) -> str:
    if one.seconds is None:
        return f"Face {one.track}"
    seek = f'<button type="button" class="ms-seek" data-seek="{one.seconds:.3f}">{text(clock(one.seconds))}</button>'
    return f"Face {one.track} {seek}"
