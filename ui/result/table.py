"""What a table of texts came to: how many of each verdict, the first rows, and the whole to download."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from ui.answers import LABELS
from ui.markup import percent, signed, style, text
from ui.result.verdict import TITLES

SHOWN_ROWS = 12


@dataclass(frozen=True)
class Row:
    """One text and its verdict, or what was wrong with it."""

    number: str
    kind: str
    words: str


@dataclass
class Rows:
    """What was counted over all rows, and the first of them."""

    counts: Counter[str] = field(default_factory=Counter)
    valence: float = 0.0
    first: list[Row] = field(default_factory=list)

    @property
    def judged(self) -> int:
        """How many got an answer."""
        return self.counts.total() - self.counts["failed"]


def read_rows(path: Path) -> Rows:
    """Count what stands in a job's result as CSV."""
    rows = Rows()
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            kind = "failed" if row["problem"] else row["label"] or "undecided"
            rows.counts[kind] += 1
            rows.valence += float(row["valence"] or 0.0)
            if len(rows.first) < SHOWN_ROWS:
                rows.first.append(Row(row["row"], kind, row["detail"] if kind == "failed" else row["text"]))
    return rows


def table(rows: Rows, csv_url: str, keep_seconds: float) -> str:
    """As HTML."""
    total = rows.counts.total()
    bars = "".join(
        _bar(kind, rows.counts[kind], total) for kind in (*LABELS, "undecided", "failed") if rows.counts[kind]
    )
    mean = f" · mean valence {signed(rows.valence / rows.judged)}" if rows.judged else ""
    listed = "".join(
        f'<li><span class="ms-small">{text(row.number)}</span><span class="ms-chip ms-{_tone(row.kind)}">'
        f"{_name(row.kind)}</span><span>{text(row.words)}</span></li>"
        for row in rows.first
    )
    more = f"The first {len(rows.first)} of {total:,}" if total > len(rows.first) else "All of them"
    return (
        '<section class="ms-result" aria-label="Result"><article class="ms-card ms-table">'
        f'<h3>{total:,} {"text" if total == 1 else "texts"}<small>{mean}</small></h3><div class="ms-bars">{bars}</div>'
        f"{fetch(csv_url, 'sentiment.csv', 'Download CSV', keep_seconds)}</article>"
        f'<article class="ms-card"><h3>{more}</h3><ul class="ms-rows">{listed}</ul></article></section>'
    )


def fetch(url: str, name: str, label: str, keep_seconds: float) -> str:
    """A link to a file of ours, and how long it leads anywhere."""
    return (
        f'<p class="ms-fetch"><a class="ms-small-button" href="{text(url)}" download="{name}">{label}</a>'
        f'<span class="ms-small">here for {keep_seconds / 60:.0f} minutes</span></p>'
    )


def _bar(kind: str, count: int, total: int) -> str:
    return (
        f'<div class="ms-row ms-{_tone(kind)}"><span class="ms-row-name">{_name(kind)}</span>'
        f'<div class="ms-bar" {style(share=count / total)}><i></i></div><b>{count:,}</b>'
        f'<span class="ms-small">{percent(count / total)}</span></div>'
    )


def _tone(kind: str) -> str:
    return "undecided" if kind == "failed" else kind


def _name(kind: str) -> str:
    return TITLES.get(kind, "No answer")
