"""The calibration card of labelled data of one's own: as JSON, and as a page to read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from models.evaluation.measures import chance_ece, figures, set_coverage
from models.evaluation.recalibration import FOLDS, LEAST_ROWS, Fit, HeldOut, Recalibration, Subset
from models.evaluation.report import table

SHOWN_SHARES = (0.2, 0.4, 0.6, 0.8, 1.0)
SHOWN_COVERAGES = ("0.80", "0.90", "0.95")
SCORES = (
    *("what", "rows", "accuracy", "95 %", "macro-recall"),
    *("ECE", "ECE recalibrated", "ECE by chance", "Brier", "Brier recalibrated"),
)


def card(about: Mapping[str, Any], held_out: Mapping[Subset, HeldOut], fitted: Recalibration) -> dict[str, Any]:
    """All that was measured; `about` says on what, of which models and when."""
    return {
        **about,
        "method": f"temperature scaling and split conformal prediction, measured in {FOLDS}-fold cross-validation",
        "temperatures": dict(fitted.temperatures),
        "measured": {"+".join(subset): _judged(one, fitted.of[subset]) for subset, one in held_out.items()},
    }


def page(record: Mapping[str, Any]) -> str:
    """The card as tables."""
    measured = record["measured"]
    return "\n".join(
        [
            _head(record),
            table(SCORES, (_scores(what, one) for what, one in measured.items())),
            NOTE,
            "## Reliability: answers of like confidence\n",
            table(("what", "confidence", "rows", "sure", "right"), _bins(measured)),
            "## Abstention: rows that are answered, and how many of these rightly\n",
            table(
                ("what", "answered", "right", "min_confidence", "answered with it", "right"),
                (_abstention(what, one) for what, one in measured.items()),
            ),
            "## Accuracy when only the surest share is answered\n",
            table(
                ("what", *(f"{share:.0%}" for share in SHOWN_SHARES)),
                ((what, *_shares(one["after"])) for what, one in measured.items()),
            ),
            "## Prediction sets: how often they hold the true label, and how many labels they have\n",
            table(
                ("what", *(f"set at {share}" for share in SHOWN_COVERAGES)),
                ((what, *_sets(one["sets"]["measured"])) for what, one in measured.items()),
            ),
        ]
    )


NOTE = f"""Recalibrated figures are those of rows that had no part in what they are judged with ({FOLDS} folds). ECE (15
bins) is above 0 by chance alone where rows are few: "ECE by chance" is what the recalibrated probabilities would have
on average if they were exactly right. The bins, curves and sets below are the recalibrated ones.
"""


def _judged(one: HeldOut, final: Fit) -> dict[str, Any]:
    before, after = one.before.probabilities, one.after.probabilities
    held = {share: set_coverage(after, one.labels, _bounds(one, share)) for share in SHOWN_COVERAGES}
    return {
        "before": figures(before, one.labels),
        "after": figures(after, one.labels),
        "chance_ece": chance_ece(after),
        "min_confidence": final.min_confidence,
        "answered": {"before": asdict(one.before.answered), "after": asdict(one.after.answered)},
        "sets": {
            "least_probability": dict(final.least_probability),
            "measured": {
                share: {"coverage": round(share_held, 4), "labels": round(size, 3)}
                for share, (share_held, size) in held.items()
            },
        },
    }


def _bounds(one: HeldOut, share: str) -> np.ndarray:
    return np.array([[bounds[share]] for bounds in one.least_probability])


def _head(record: Mapping[str, Any]) -> str:
    labels = ", ".join(f"{count:,} {label}" for label, count in record["labels"].items())
    temperatures = ", ".join(f"{name} {value:.3g}" for name, value in record["temperatures"].items())
    return f"""# Calibration on {record["data"]}

{record["rows"]:,} rows ({labels}), {record["left_out"]} left out, {record["silent_rows"]} without evidence.
Measured on {record["date"]}; digest of the data: {record["data_sha256"]}.
Models: {", ".join(record["models"].values())}; recalibration profile in use: {record["profile"] or "none"}.
Fewer than {LEAST_ROWS} rows of a modality, or of several together, are not judged.
Temperatures: {temperatures}.
"""


def _abstention(what: str, one: Mapping[str, Any]) -> tuple[str, ...]:
    before, after = one["answered"]["before"], one["answered"]["after"]
    shares = [f"{share:.1%}" for now in (before, after) for share in (now["share"], now["accuracy"])]
    return what, *shares[:2], f"{one['min_confidence']:.3f}", *shares[2:]


def _scores(what: str, one: Mapping[str, Any]) -> tuple[str, ...]:
    before, after = one["before"], one["after"]
    low, high = after["intervals_95_percent"]["accuracy"]
    return (
        what,
        f"{after['rows']:,}",
        f"{after['accuracy']:.3f}",
        f"{low:.3f}\u2013{high:.3f}",
        f"{after['macro_recall']:.3f}",
        f"{before['ece']:.3f}",
        f"{after['ece']:.3f}",
        f"{one['chance_ece']:.3f}",
        f"{before['brier']:.3f}",
        f"{after['brier']:.3f}",
    )


def _bins(measured: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for what, one in measured.items():
        for some in one["after"]["bins"]:
            between = f"{some['above']:.2f}\u2013{some['up_to']:.2f}"
            yield what, between, f"{some['rows']:,}", f"{some['confidence']:.3f}", f"{some['accuracy']:.3f}"


def _shares(figures: Mapping[str, Any]) -> list[str]:
    accuracy = {point["coverage"]: point["accuracy"] for point in figures["risk_coverage"]}
    return [f"{accuracy[share]:.3f}" for share in SHOWN_SHARES]


def _sets(measured: Mapping[str, Any]) -> list[str]:
    return [f"{measured[share]['coverage']:.3f}, {measured[share]['labels']:.2f} labels" for share in SHOWN_COVERAGES]
