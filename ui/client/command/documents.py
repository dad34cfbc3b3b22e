"""Answers as documents: a table to read, JSON, JSON Lines, CSV, subtitles."""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from ui.answers import LABELS, Analysis
from ui.client.command import subtitles

Kind = Literal["table", "json", "jsonl", "csv", "srt", "vtt"]

KINDS: Mapping[str, str] = {
    "json": "as JSON",
    "jsonl": "as JSON Lines, a file a line",
    "csv": "as CSV, a file a row",
    "srt": "subtitles with the verdict on each line (SubRip)",
    "vtt": "subtitles with the verdict on each line (WebVTT)",
}
SUBTITLES = ("srt", "vtt")
COLUMNS = (
    "file",
    "kind",
    "label",
    "reason",
    "confidence",
    "valence",
    *LABELS,
    "emotion",
    "seconds",
    "text",
)
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")  # noqa: RUF001  (full-width signs count too)
_NAME_WIDTH, _TEXT_WIDTH = 28, 46


def document(kind: str, name: str, analysis: Analysis) -> str:
    """One answer as a document of its own."""
    if kind == "srt":
        return subtitles.srt(analysis)
    if kind == "vtt":
        return subtitles.vtt(analysis)
    if kind == "json":
        return json.dumps(analysis.raw, ensure_ascii=False, indent=2) + "\n"
    return head(kind) + line(kind, name, analysis)


def head(kind: str, name: str = "FILE") -> str:
    """What stands above the lines of many answers."""
    if kind == "csv":
        return _csv(COLUMNS)
    if kind == "table":
        return _row(name, "VERDICT", "SURE", "VALENCE", "EMOTION", "TEXT")
    return ""


def line(kind: str, name: str, analysis: Analysis) -> str:
    """One answer among many."""
    if kind == "jsonl":
        return json.dumps({"file": name, **analysis.raw}, ensure_ascii=False) + "\n"
    if kind == "csv":
        return _csv(_cells(name, analysis))
    verdict = analysis.sentiment
    label = verdict.label or f"undecided ({(verdict.reason or 'no verdict').replace('_', ' ')})"
    numbers = (f"{100 * verdict.confidence:.0f} %", f"{verdict.valence:+.2f}") if verdict.telling else ("", "")
    return _row(name, label, *numbers, _emotion(analysis), _words(analysis))


def notes(analysis: Analysis) -> Iterator[str]:
    """What the reader should know, below a line of the table."""
    for notice in analysis.warnings:
        yield f"  {notice.detail}\n"
    words = analysis.explanation.words if analysis.explanation else ()
    deciding = sorted(words, key=lambda word: -abs(word.weight))[:5]
    if deciding:
        yield "  decided by: " + ", ".join(f"{_clean(word.text)} {word.weight:+.2f}" for word in deciding) + "\n"


def _cells(name: str, analysis: Analysis) -> list[Any]:
    verdict = analysis.sentiment
    return [
        _harmless(name),
        analysis.kind,
        verdict.label or "",
        verdict.reason or "",
        round(verdict.confidence, 4),
        round(verdict.valence, 4),
        *(round(verdict.probabilities.get(label, 0.0), 4) for label in LABELS),
        _emotion(analysis),
        analysis.media.seconds if analysis.media and analysis.media.seconds is not None else "",
        _harmless(_words(analysis)),
    ]


def _emotion(analysis: Analysis) -> str:
    return max(analysis.emotions, key=analysis.emotions.__getitem__, default="")


def _words(analysis: Analysis) -> str:
    part = analysis.modalities.text
    return part.text if part else ""


def _harmless(text: str) -> str:
    """No spreadsheet takes it for a formula (CSV injection)."""
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text


def _csv(cells: Any) -> str:
    stream = io.StringIO()
    csv.writer(stream).writerow(cells)
    return stream.getvalue()


def _row(*shown: str) -> str:
    name, label, sure, valence, emotion, words = shown
    cells = (_fit(name, _NAME_WIDTH), f"{label:26}", f"{sure:>5}", f"{valence:>7}", f"{emotion:10}")
    return "  ".join((*cells, _fit(words, _TEXT_WIDTH))).rstrip() + "\n"


def _fit(text: str, width: int) -> str:
    """Exactly so many columns of a terminal; nothing in it moves the cursor."""
    shown, used = "", 0
    for sign in _clean(text):
        columns = 2 if unicodedata.east_asian_width(sign) in "WF" else 1
        if used + columns > width - 1 and shown + sign != _clean(text):
            return shown + "\u2026" + " " * (width - used - 1)
        shown, used = shown + sign, used + columns
    return shown + " " * (width - used)


def _clean(text: str) -> str:
    """One line without control characters, which a terminal would obey."""
    return "".join(sign if sign.isprintable() else " " for sign in " ".join(text.split()))
