"""Many stored analyses as one file, piece by piece: JSON as they were answered, or a table for spreadsheets."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Mapping
from typing import Any

import orjson

from service.domain.labels import MODALITIES, SENTIMENTS
from service.history.history import Stored

PIECE_BYTES = 65_536
COLUMNS = (
    "id",
    "created",
    "kind",
    "label",
    "reason",
    "valence",
    "confidence",
    *SENTIMENTS,
    "emotion",
    *(f"{modality}_label" for modality in MODALITIES),
    *(f"{modality}_weight" for modality in MODALITIES),
    "conflict",
    "text",
    "seconds",
    "warnings",
)
"""`…_weight` is the modality's contribution to the verdict; `text` is the text as given, or the transcript."""

_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")  # noqa: RUF001  (full-width signs count too)


async def as_json(rows: AsyncIterator[Stored]) -> AsyncIterator[bytes]:
    """A JSON array of the analyses."""
    start = "["
    async for piece in _pieces(rows, lambda stored: stored.analysis, ",\n"):
        yield (start + piece).encode()
        start = ",\n"
    yield b"[]\n" if start == "[" else b"]\n"


async def as_csv(rows: AsyncIterator[Stored]) -> AsyncIterator[bytes]:
    """A table (RFC 4180) with one row an analysis; no cell is a formula to a spreadsheet."""
    yield _line(COLUMNS).encode()
    async for piece in _pieces(rows, lambda stored: _line(_cells(orjson.loads(stored.analysis))), ""):
        yield piece.encode()


async def _pieces(rows: AsyncIterator[Stored], write: Any, between: str) -> AsyncIterator[str]:
    """The rows as text in pieces that are worth sending."""
    lines: list[str] = []
    size = 0
    async for stored in rows:
        lines.append(write(stored))
        size += len(lines[-1])
        if size >= PIECE_BYTES:
            yield between.join(lines)
            lines, size = [], 0
    if lines:
        yield between.join(lines)


def _cells(analysis: Mapping[str, Any]) -> list[Any]:
    verdict, fusion, parts = analysis["sentiment"], analysis["fusion"], analysis["modalities"]
    weights = fusion["contributions"]
    return [
        *(analysis[name] for name in ("id", "created", "kind")),
        *(verdict[name] for name in ("label", "reason", "valence", "confidence")),
        *(verdict["probabilities"].get(label) for label in SENTIMENTS),
        strongest(analysis["emotions"]),
        *(parts.get(modality, {}).get("sentiment", {}).get("label") for modality in MODALITIES),
        *(weights.get(modality) for modality in MODALITIES),
        fusion["conflict"],
        harmless(parts.get("text", {}).get("text") or ""),
        (analysis["media"] or {}).get("seconds"),
        " ".join(notice["code"] for notice in analysis["warnings"]),
    ]


def strongest(emotions: Mapping[str, float]) -> str:
    """The most probable emotion, or nothing where none was told."""
    return max(emotions, key=emotions.__getitem__, default="")


def harmless(text: str) -> str:
    """A text that no spreadsheet takes for a formula: an apostrophe goes before one that looks like it.

    owasp.org/www-community/attacks/CSV_Injection
    """
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text


def _line(cells: Any) -> str:
    stream = io.StringIO()
    csv.writer(stream).writerow(cells)
    return stream.getvalue()
