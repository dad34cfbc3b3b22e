"""What the cards and `models/SCORES.md` say of damage, groups and what is taken for what, from the stored numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from models.evaluation.confusion import Confusion
from models.evaluation.examined import Examined
from models.evaluation.groups import GroupScore, gaps
from models.evaluation.report import table
from models.evaluation.robustness import Curve, Point, strength

IN_CARDS = "## Measured through the service"
IN_SCORES = "## Damage and groups"

Record = Mapping[str, Any]
"""What `models/calibration` holds of a head."""

DAMAGE = {
    "text": "A share of the letters is doubled, left out or swapped with the one before.",
    "speech": "White noise, or twelve other people talking at once (training actors of RAVDESS, neutral and calm), is "
    "added to the whole recording.",
    "face": "A face that fills the picture is shown at 192 pixels and at 48, and compressed; or it is shown ever "
    "smaller, in the middle of a grey picture of 256 pixels.",
}
GROUPS = {
    "speech": "Clips of one speaker are alike: a gap between groups of one or two speakers each may be theirs alone, "
    "and the intervals, which take clips for independent, are too narrow. Speakers of validation, on whom the "
    "temperature was fitted and the recipe chosen, are added where it says so. Pitch is the median fundamental "
    "frequency, thirds of the test clips: it goes with gender and with the emotion that is played.",
    "face": "Brightness is the mean luminance of the crop, thirds of the test faces. It mixes light and skin; whose "
    "the faces are, the set does not say.",
}
COLUMNS = ("group", "rows", "answered", "accuracy", "macro-recall", "95 %", "wrongly negative", "too sure by")


@dataclass(frozen=True)
class Picture:
    """A plot: its file in `cards/plots`, what it shows in words, and the numbers that it is drawn from."""

    file: str
    alt: str
    numbers: Any


def with_section(page: str, section: str) -> str:
    """The page with a section under its heading `## …`: in place of the one that has this heading, else at the end."""
    heading = section.splitlines()[0]
    before, found, after = page.partition(f"{heading}\n")
    _, more, rest = after.partition("\n## ")
    if not found:
        before = before.rstrip("\n") + "\n\n"
    return before + section.rstrip("\n") + "\n" + (more + rest if found else "")


def of_card(name: str, examined: Examined, record: Record) -> str:
    """The section of a head's card."""
    drawn = pictures(name, examined, record)
    modality = examined.curves[0].modality
    parts = [
        f"{IN_CARDS}\n\n{_written(examined.about)} The numbers of this section are in "
        "[`plots/numbers.json`](plots/numbers.json) and [`SCORES.md`](../SCORES.md), the three sentiments' also in "
        f"`GET /v1/models/{name}/calibration`. {record['data']}.\n",
        table(("test rows", "accuracy", "macro-recall", "ECE", "Brier", "accuracy of the surest 80 %"), [_row(record)]),
        *(_shown(drawn[kind]) for kind in ("verdicts", "emotions") if kind in drawn),
        f"**Damage.** {DAMAGE[modality]} Accuracy is that of the three sentiments, no answer counting as a wrong "
        "one; dashed is the share that is answered, dotted what always answering the commonest sentiment would get.\n",
        _shown(drawn["robustness"]),
    ]
    if examined.groups:
        parts += [f"**Groups.** {GROUPS[modality]}\n", _shown(drawn["groups"]), of_groups(examined.groups)]
    return "\n".join(parts)


def of_scores(examined: Mapping[str, Examined], fused: Record | None = None) -> str:
    """The section of `SCORES.md`."""
    about = {name: f"{name} on {one.about['date']} at commit {one.about['commit']}" for name, one in examined.items()}
    parts = [f"{IN_SCORES}\n\nMeasured of {', '.join(about.values())}. The cards show the same as pictures.\n"]
    for name, one in examined.items():
        modality = one.curves[0].modality
        parts.append(
            f"### {name} under damage\n\n{DAMAGE[modality]} No answer counts as "
            "a wrong one; answered is what the service uses by default, quality what it takes the items to be worth.\n"
        )
        parts += [table(*_curve_table(curves)) for curves in _by_axis(one.curves)]
        if one.groups:
            parts.append(f"### {name} by group\n\n{GROUPS[modality]}\n\n{of_groups(one.groups)}")
    if fused:
        parts.append(f"### The fused verdict's reliability\n\n{_shown(fused_picture(fused), 'cards/plots')}")
    return "\n".join(parts)


def of_groups(scores: Sequence[GroupScore]) -> str:
    """The table of groups, and each gap in a sentence."""
    said = "\n".join(f"- {sentence}" for sentence in _gaps(scores))
    return f"{table(COLUMNS, (_group_row(score) for score in scores))}\n{said}\n"


def pictures(name: str, examined: Examined, record: Record) -> dict[str, Picture]:
    """The plots of a head by their kind: `verdicts`, `robustness`, and where there are such `emotions`, `groups`."""
    sentiments, *emotions = examined.confusions
    shown = {
        "verdicts": (_alt_verdicts(sentiments, record), [asdict(sentiments), _plotted(record)]),
        "robustness": (_alt_curves(examined.curves), [asdict(one) for one in examined.curves]),
    }
    if emotions:
        shown["emotions"] = (_alt_emotions(emotions), [asdict(one) for one in emotions])
    if examined.groups:
        numbers = [asdict(one) for one in examined.groups]
        shown["groups"] = (_alt_groups(examined.groups, record), [record["macro_recall"], *numbers])
    return {kind: Picture(f"{name}-{kind}.png", alt, numbers) for kind, (alt, numbers) in shown.items()}


def fused_picture(fused: Record) -> Picture:
    """The plot of the fused verdict."""
    errors = ", ".join(f"{name} {record['ece']:.3f}" for name, record in fused["subsets"].items())
    alt = f"Reliability diagrams of the fused verdict. Calibration errors: {errors}."
    return Picture("fusion-verdicts.png", alt, {name: _plotted(one) for name, one in fused["subsets"].items()})


def _plotted(record: Record) -> dict[str, Any]:
    return {key: record[key] for key in ("rows", "ece", "bins", "risk_coverage")}


def _written(about: Mapping[str, Any]) -> str:
    return (
        f"Written by `make evaluate` on {about['date']} at commit {about['commit']}, of what the shipped weights "
        "answer through the pipelines that the service uses."
    )


def _shown(picture: Picture, folder: str = "plots") -> str:
    return f"![{picture.alt}]({folder}/{picture.file})\n"


def _row(record: Record) -> tuple[str, ...]:
    keys = ("accuracy", "macro_recall", "ece", "brier", "accuracy_at_80_percent_coverage")
    return (f"{record['rows']:,}", *(f"{record[key]:.3f}" for key in keys))


def _group_row(score: GroupScore) -> tuple[str, ...]:
    speakers = "" if score.speakers in (None, 1) else f" ({score.speakers} speakers)"
    return (
        f"{score.by}: {score.group}{speakers}",
        f"{score.rows:,}",
        f"{100 * score.answered:.1f} %",
        f"{score.accuracy:.3f}",
        f"**{score.macro_recall:.3f}**",
        f"{score.low:.3f}\u2013{score.high:.3f}",
        f"{100 * score.wrongly_negative:.1f} %",
        f"{100 * score.too_sure:+.1f}".replace("-", "\u2212"),
    )


def _gaps(scores: Sequence[GroupScore]) -> Iterator[str]:
    for by, (worst, best) in gaps(scores).items():
        apart = "and the intervals overlap" if worst.high >= best.low else "and the intervals do not overlap"
        yield (
            f"By {by}, macro-recall goes from {worst.macro_recall:.3f} ({worst.group}) to {best.macro_recall:.3f} "
            f"({best.group}): {best.macro_recall - worst.macro_recall:.3f} apart, {apart}."
        )


def _by_axis(curves: Iterable[Curve]) -> list[list[Curve]]:
    by: dict[str, list[Curve]] = {}
    for curve in curves:
        by.setdefault(curve.axis, []).append(curve)
    return list(by.values())


def _curve_table(curves: Sequence[Curve]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The head and the rows: accuracy, the share that is answered, and how good the service takes the items to be."""
    head = (f"{curves[0].axis}, {curves[0].clean.rows:,} items", *(strength(one) for one in _points(curves[0])))
    rows = []
    for curve in curves:
        rows.append((curve.name, *(f"{one.accuracy:.3f}" for one in _points(curve))))
        if any(one.answered < 1 for one in _points(curve)):
            rows.append((f"{curve.name}: answered", *(f"{100 * one.answered:.0f} %" for one in _points(curve))))
        if any(one.quality < 1 for one in _points(curve)):
            rows.append((f"{curve.name}: mean quality", *(f"{one.quality:.2f}" for one in _points(curve))))
    return head, rows


def _points(curve: Curve) -> tuple[Point, ...]:
    return curve.clean, *curve.points


def _alt_verdicts(confusion: Confusion, record: Record) -> str:
    recalls = ", ".join(f"{100 * share:.0f} % of {label}" for label, share in _recalls(confusion).items())
    return (
        f"Three plots. Confusion of the sentiments: right are {recalls}. Reliability diagram: calibration error "
        f"{record['ece']:.3f}. Accuracy when only the surest count: {record['accuracy_at_80_percent_coverage']:.3f} at "
        f"80 %, {record['accuracy']:.3f} at 100 %."
    )


def _alt_emotions(confusions: Iterable[Confusion]) -> str:
    told = []
    for one in confusions:
        recalls = ", ".join(f"{label} {100 * share:.0f}" for label, share in _recalls(one).items())
        told.append(f"{one.data}, of all {one.accuracy:.3f} right, in % of each: {recalls}")
    return f"Confusion of the emotions. {'. '.join(told)}."


def _alt_curves(curves: Iterable[Curve]) -> str:
    told = [
        f"{curve.name} ({curve.axis}): " + ", ".join(f"{strength(one)} {one.accuracy:.2f}" for one in _points(curve))
        for curve in curves
    ]
    return f"Accuracy against damage. {'. '.join(told)}."


def _alt_groups(scores: Iterable[GroupScore], record: Record) -> str:
    told = "; ".join(f"{score.group} {score.macro_recall:.2f}" for score in scores)
    return f"Macro-recall by group with 95 % intervals; all {record['macro_recall']:.2f}: {told}."


def _recalls(confusion: Confusion) -> dict[str, float]:
    counts = np.array(confusion.counts)
    return {
        label: float(counts[row, confusion.columns.index(label)] / max(counts[row].sum(), 1))
        for row, label in enumerate(confusion.rows)
    }
