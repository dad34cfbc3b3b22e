"""Results of jobs as clients want them, streamed from disk: memory does not grow with the result."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from service.history.export import harmless, strongest

BLOCK_BYTES = 256 * 1024
COLUMNS = (
    "row",
    "label",
    "valence",
    "confidence",
    "negative",
    "neutral",
    "positive",
    "emotion",
    "abstained",
    "reason",
    "problem",
    "detail",
    "text",
)


def as_file(path: Path) -> Iterator[bytes]:
    """The file as it is."""
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            yield block


def as_json(path: Path) -> Iterator[bytes]:
    """Lines of JSON as `{"results": […]}`, as `/v1/text` answers to several texts."""
    yield b'{"results":['
    with path.open("rb") as file:
        first = True
        block: list[bytes] = []
        for line in file:
            block.append(line.rstrip(b"\n") if first else b"," + line.rstrip(b"\n"))
            first = False
            if len(block) == 256:
                yield b"".join(block)
                block.clear()
        yield b"".join(block)
    yield b"]}"


def as_csv(path: Path) -> Iterator[bytes]:
    """Lines of JSON as a table: the verdict of each row, or the problem that it has, and its text."""
    written = io.StringIO()
    table = csv.writer(written)
    table.writerow(COLUMNS)
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            table.writerow(_cells(number, orjson.loads(line)))
            if written.tell() > BLOCK_BYTES:
                yield _taken(written)
    yield _taken(written)


def _cells(number: int, answer: dict[str, Any]) -> list[Any]:
    if "sentiment" not in answer:
        return [number, *[""] * 9, answer["code"], harmless(answer["detail"]), ""]
    sentiment = answer["sentiment"]
    probabilities = sentiment["probabilities"]
    text = answer["modalities"].get("text", {}).get("text", "")
    return [
        number,
        sentiment["label"] or "",
        *(round(sentiment[name], 6) for name in ("valence", "confidence")),
        *(round(probabilities[name], 6) for name in ("negative", "neutral", "positive")),
        strongest(answer["emotions"]),
        str(sentiment["abstained"]).lower(),
        sentiment["reason"] or "",
        "",
        "",
        harmless(text),
    ]


def _taken(written: io.StringIO) -> bytes:
    content = written.getvalue().encode()
    written.seek(0)
    written.truncate()
    return content
