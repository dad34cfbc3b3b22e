"""The plots of the cards as small PNGs, in the colours of the user interface. Needs the extra `evaluate`."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from models.evaluation.confusion import Confusion
from models.evaluation.groups import GroupScore
from models.evaluation.robustness import Curve, Point, strength, wilson

INK, SOFT, EDGE, LINE = "#23282e", "#5c656e", "#e4e1db", "#8b8780"
MODALITY = {"text": "#4b5bb0", "speech": "#a8671a", "face": "#94458b", "fused": "#14776f"}
SECOND = "#14776f"
LAGOON = LinearSegmentedColormap.from_list("lagoon", ["#ffffff", "#d6eeeb", "#7fc4bd", "#1f837d", "#125552"])
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "text.color": INK,
    "axes.labelcolor": SOFT,
    "axes.edgecolor": LINE,
    "axes.linewidth": 0.8,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": EDGE,
    "grid.linewidth": 0.7,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
}
DOTS_AN_INCH = 150
COLOURS = 64

DASHED = (0, (3, 2))

PERCENT = 100.0
SPAN = 0.1
"""A plot of groups shows at least so much below and above all, lest small gaps look large."""

MANY = 20
"""Answers of like confidence from which their accuracy means something."""


def png(figure: Figure, drawn_from: str) -> bytes:
    """The figure as PNG of few colours, which says by a digest what numbers it was drawn from."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])
    few = pixels.quantize(COLOURS, dither=Image.Dither.NONE)
    told, stream = PngInfo(), io.BytesIO()
    told.add_text("numbers", drawn_from)
    few.save(stream, "PNG", optimize=True, pnginfo=told)
    return stream.getvalue()


def verdicts(confusion: Confusion, record: Mapping[str, Any], colour: str) -> Figure:
    """Of the three sentiments: the confusion, the reliability diagram, and accuracy against coverage."""
    with _figure(8.6, 3.1) as figure:
        axes = figure.subplots(1, 3, width_ratios=(1.05, 1, 1))
        draw_confusion(axes[0], confusion)
        axes[0].set_title("What is read as what")
        draw_reliability(axes[1], record, colour)
        axes[1].set_title("How sure, and how often right")
        draw_coverage(axes[2], record, colour)
        axes[2].set_title("If only the surest count")
    return figure


def emotions(confusions: Sequence[Confusion]) -> Figure:
    """The confusion of emotions, one panel a set."""
    with _figure(4.6 * len(confusions), 4.3) as figure:
        for axes, confusion in zip(np.atleast_1d(figure.subplots(1, len(confusions))), confusions, strict=True):
            draw_confusion(axes, confusion)
            axes.set_title(confusion.data)
    return figure


def robustness(curves: Sequence[Curve], colour: str) -> Figure:
    """Accuracy against damage, one panel an axis."""
    axis_names = list(dict.fromkeys(curve.axis for curve in curves))
    with _figure(4.3 * len(axis_names) + (0.6 if len(axis_names) == 1 else 0), 3.3) as figure:
        for axes, name in zip(np.atleast_1d(figure.subplots(1, len(axis_names))), axis_names, strict=True):
            draw_curves(axes, [curve for curve in curves if curve.axis == name], colour)
    return figure


def groups(scores: Sequence[GroupScore], overall: float, colour: str) -> Figure:
    """The macro-recall of each group with its interval, beside that of all."""
    with _figure(6.6, 0.9 + 0.24 * (len(scores) + len({score.by for score in scores}))) as figure:
        draw_groups(figure.subplots(), scores, overall, colour)
    return figure


def fused(subsets: Mapping[str, Mapping[str, Any]]) -> Figure:
    """The reliability diagram of the fused verdict for each choice of modalities."""
    with _figure(9.6, 2.9) as figure:
        for axes, (name, record) in zip(figure.subplots(1, len(subsets)), subsets.items(), strict=True):
            draw_reliability(axes, record, MODALITY["fused"])
            axes.set_title(name.replace("+", " + "))
    return figure


@contextmanager
def _figure(width: float, height: float) -> Iterator[Figure]:
    """A figure of this size in inches, in our style; laid out when it is drawn."""
    with rc_context(STYLE):
        yield Figure((width, height), dpi=DOTS_AN_INCH, layout="constrained", facecolor="white")


def draw_confusion(axes: Axes, confusion: Confusion) -> None:
    """Shares of each true label, as colour and in percent; how many there are beside it."""
    counts = np.array(confusion.counts)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap=LAGOON, vmin=0, vmax=1, aspect="auto")
    for (row, column), share in np.ndenumerate(shares):
        said = f"{PERCENT * share:.0f}" if share >= 0.005 else "\u00b7"
        axes.text(column, row, said, ha="center", va="center", color="white" if share > 0.55 else INK)
    names = [f"{name}\n{count:,}" for name, count in zip(confusion.rows, counts.sum(axis=1), strict=True)]
    slant = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if len(confusion.columns) > 3 else {}
    axes.set_xticks(range(len(confusion.columns)), confusion.columns, **slant)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("read as, % of the true ones")
    axes.grid(False)
    axes.spines[:].set_visible(False)
    _rule(axes, shares.shape)


def _rule(axes: Axes, shape: tuple[int, int]) -> None:
    """White lines between the cells of a matrix of this shape."""
    for places, draw in zip(shape, (axes.axhline, axes.axvline), strict=True):
        for place in range(1, places):
            draw(place - 0.5, color="white", linewidth=1.5)


def draw_reliability(axes: Axes, record: Mapping[str, Any], colour: str) -> None:
    """How often answers of each confidence are right, with 95 % intervals, and how many there are (DeGroot 1983).

    A bin of few answers is a ring beside the line.
    """
    bins = record["bins"]
    rows, confidence, accuracy = (np.array([one[key] for one in bins]) for key in ("rows", "confidence", "accuracy"))
    low, high = np.array([wilson(round(share * count), count) for share, count in zip(accuracy, rows, strict=True)]).T
    many = rows >= MANY
    lefts, widths = [one["above"] for one in bins], [one["up_to"] - one["above"] for one in bins]
    axes.bar(lefts, 0.5 * rows / record["rows"], widths, align="edge", color=EDGE, edgecolor="white", linewidth=0.6)
    axes.plot((1 / 3, 1), (1 / 3, 1), color=LINE, linestyle=(0, (4, 3)), linewidth=1)
    axes.vlines(confidence, low, high, color=colour, linewidth=1.2, alpha=0.45)
    axes.plot(confidence[many], accuracy[many], color=colour, marker="o", markersize=4, linewidth=1.4)
    axes.plot(confidence[~many], accuracy[~many], color=colour, marker="o", markersize=4, mfc="white", linewidth=0)
    said = {"va": "top", "color": colour, "weight": "bold", "bbox": {"fc": "white", "ec": "none", "pad": 1.5}}
    axes.text(0.04, 0.96, f"ECE {record['ece']:.3f}", transform=axes.transAxes, zorder=4, **said)
    axes.set(xlim=(1 / 3, 1.01), ylim=(0, 1.02), xlabel="confidence", ylabel="right")
    axes.set_xticks((0.4, 0.6, 0.8, 1.0))


def draw_coverage(axes: Axes, record: Mapping[str, Any], colour: str) -> None:
    """Accuracy when only the surest share is answered, with the shares of 80 and 100 % marked."""
    shares, accuracy = ([one[key] for one in record["risk_coverage"]] for key in ("coverage", "accuracy"))
    axes.plot(shares, accuracy, color=colour, linewidth=1.6)
    below: dict[str, Any] = {"textcoords": "offset points", "ha": "right", "va": "top", "color": colour}
    for share in (0.8, 1.0):
        at = accuracy[shares.index(share)]
        axes.plot(share, at, color=colour, marker="o", markersize=4.5)
        axes.annotate(f"{at:.3f}", (share, at), (-5, -5), **below)
    axes.set(xlim=(0.18, 1.02), xlabel="share answered", ylabel="accuracy")
    axes.set_ylim(min(0.6, 0.1 * np.floor(10 * min(accuracy) - 0.5)), 1.01)


def draw_curves(axes: Axes, curves: Sequence[Curve], colour: str) -> None:
    """Accuracy with its interval, and dashed the share that is answered; worse to the right, evenly spaced."""
    places = np.arange(len(curves[0].points) + 1)
    for curve, tint in zip(curves, (colour, SECOND), strict=False):
        points = (curve.clean, *curve.points)
        low, high, accuracy, answered = (_of(points, key) for key in ("low", "high", "accuracy", "answered"))
        axes.fill_between(places, low, high, color=tint, alpha=0.13, linewidth=0)
        axes.plot(places, accuracy, color=tint, marker="o", markersize=4, linewidth=1.6, label=curve.name)
        if answered.min() < 1:
            axes.plot(places, answered, color=tint, linewidth=1.1, linestyle=DASHED)
    axes.axhline(curves[0].commonest, color=LINE, linewidth=1, linestyle=(0, (1, 2)))
    axes.set_xticks(places, [strength(point) for point in (curves[0].clean, *curves[0].points)])
    axes.set(xlabel=curves[0].axis, ylabel="accuracy", ylim=(0, 1.02))
    axes.grid(axis="x", visible=False)
    if any(point.answered < 1 for curve in curves for point in curve.points):
        axes.plot([], [], color=LINE, linewidth=1.1, linestyle=DASHED, label="share answered")
    axes.legend(loc="lower left")


def draw_groups(axes: Axes, scores: Sequence[GroupScore], overall: float, colour: str) -> None:
    """A dot and its interval a group, under the names of what is grouped by."""
    names, place = [], 0.0
    axes.axvline(overall, color=LINE, linewidth=1, linestyle=(0, (4, 3)))
    axes.text(overall, 0.7, f"all {overall:.3f}", ha="center", va="bottom", color=SOFT)
    for number, score in enumerate(scores):
        if number == 0 or scores[number - 1].by != score.by:
            place -= 0.6 if number else 0.0
            names.append((place, score.by, True))
            place -= 1
        axes.hlines(place, score.low, score.high, color=colour, linewidth=2.2, alpha=0.4)
        axes.plot(score.macro_recall, place, color=colour, marker="o", markersize=5)
        names.append((place, score.group, False))
        place -= 1
    axes.set_yticks([at for at, _, _ in names], [said for _, said, _ in names])
    for label, (_, _, heading) in zip(axes.get_yticklabels(), names, strict=True):
        label.set(weight="bold" if heading else "normal", color=INK if heading else SOFT)
    axes.set(xlabel="macro-recall of the three sentiments, 95 %", ylim=(place + 0.4, 0.6))
    axes.set_xlim(min(overall - SPAN, axes.get_xlim()[0]), max(overall + SPAN, axes.get_xlim()[1]))
    axes.grid(axis="y", visible=False)
    axes.spines["left"].set_visible(False)


def _of(points: Sequence[Point], key: str) -> np.ndarray:
    return np.array([getattr(point, key) for point in points])
