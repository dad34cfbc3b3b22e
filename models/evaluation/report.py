"""The records as a page to read: `models/SCORES.md`."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import onnxruntime

from models.registry import FOLDER

PAGE = FOLDER / "SCORES.md"
SHARES = ("0.80", "0.90", "0.95")


def page(records: Mapping[str, Mapping[str, Any]]) -> str:
    """Heads, fused verdicts, abstention, prediction sets and robustness as tables."""
    some = next(iter(records.values()))
    heads = {name: record for name, record in records.items() if "subsets" not in record}
    fused = records["fusion"]
    everything = {**heads, **fused["subsets"]}
    parts = [
        f"""# Scores of the shipped models

Written by `make evaluate` on {some["date"]} at commit {some["commit"]}, on {_host()}: the weights of
this checkout, asked through the pipelines that the service uses; nothing was chosen on a test row. All heads are scored
on three sentiments (negative, neutral, positive), which is what is fused. The numbers behind this page are in
`models/calibration`, and `GET /v1/models/<name>/calibration` serves them.
""",
        "## Each head, and the fused verdict\n",
        table(
            ("what", "test rows", "accuracy", "95 %", "macro-recall", "ECE, 15 bins", "95 %", "Brier"),
            (_scores(name, record) for name, record in everything.items()),
        ),
        "\n".join(f"- **{name}**: {record['data']}." for name, record in {**heads, "fused": fused}.items()),
        FUSED_NOTE,
        "## Abstention and prediction sets\n\nAccuracy when only the surest are answered; and how often the set that "
        "is asked for with `coverage` holds the true label, with the labels in it on average.\n",
        table(
            ("what", "all answered", "surest 80 %", "gain", *(f"set at {share}" for share in SHARES)),
            (_abstention(name, record) for name, record in everything.items()),
        ),
        "## One modality spoilt or missing\n\nA text with 15 % of its letters mistyped, a voice under white noise at "
        "5 dB, a face out of focus (Gaussian of 5 pixels on a face of 192). No answer counts as a wrong one.\n",
        table(
            ("spoilt", "it alone", "all, it spoilt", "the other two", "best single of them", "all clean"),
            ((name, *(_percent(value) for value in row.values())) for name, row in fused["robustness"].items()),
        ),
    ]
    return "\n".join(parts)


FUSED_NOTE = """
Fused rows are label-matched triplets: items of the three test sets put together by their true sentiment. Given the
sentiment they are independent, which the words, voice and face of one person are not: it is an upper bound of what
fusion gains, and its calibration holds where modalities do not err together.
"""


def _scores(name: str, record: Mapping[str, Any]) -> tuple[str, ...]:
    intervals = record["intervals_95_percent"]
    return (
        name,
        f"{record['rows']:,}",
        f"**{record['accuracy']:.3f}**",
        _between(intervals["accuracy"]),
        f"{record['macro_recall']:.3f}",
        f"**{record['ece']:.3f}**",
        _between(intervals["ece"]),
        f"{record['brier']:.3f}",
    )


def _abstention(name: str, record: Mapping[str, Any]) -> tuple[str, ...]:
    held = record["sets"]["measured"]
    return (
        name,
        _percent(record["accuracy"]),
        _percent(record["accuracy_at_80_percent_coverage"]),
        f"{100 * record['gained_by_abstention']:+.1f}",
        *(f"{held[share]['coverage']:.3f}, {held[share]['labels']:.2f} labels" for share in SHARES),
    )


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table in Markdown."""
    names = tuple(head)
    lines = [names, ("---",) * len(names), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _between(pair: Iterable[float]) -> str:
    return "\u2013".join(f"{value:.3f}" for value in pair)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _host() -> str:
    versions = f"Python {platform.python_version()}, NumPy {np.__version__}, ONNX Runtime {onnxruntime.__version__}"
    return f"{os.cpu_count()} cores ({platform.machine()}), {versions}"
