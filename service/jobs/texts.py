"""Bulk texts: read in chunks of rows, each chunk's answers safe on disk before the next begins."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from service.domain.analysis import Analysis
from service.jobs import BadRow, LongRow
from service.jobs.folders import TEXTS_RESULT, read_json, saying_no_space, write_whole
from service.jobs.rows import Place, Row, RowFile
from service.observability import metrics
from service.pipelines import Options
from service.pipelines.analyze import analyze_texts
from service.pipelines.media import Tools

Refuse = Callable[[Exception], Mapping[str, Any]]
"""The Problem of a row that was refused."""

_STANDING = "texts.json"
_DRAFT = "texts.jsonl"


@dataclass(frozen=True)
class Standing:
    """How far the rows are done: where the next begins, and how long the answers are until there."""

    total: int
    place: Place | None = None
    answer_bytes: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)
    """How many rows got which label, were withheld (`abstained`) or refused (`refused`)."""

    @property
    def rows(self) -> int:
        return self.place.row if self.place else 0


class TextsWork:
    """The rows of one file, and their answers, in the folder of a job."""

    def __init__(self, folder: Path, rows: RowFile, options: Options, tools: Tools, refuse: Refuse) -> None:
        self._folder = folder
        self._rows = rows
        self._options = options
        self._tools = tools
        self._refuse = refuse

    async def run(self, chunk_rows: int) -> AsyncIterator[Standing]:
        """Work from where an earlier pass stopped; yields after each chunk that is safe. Raises `JobError`s."""
        standing = await asyncio.to_thread(self._standing)
        yield standing
        rows = self._rows.rows(standing.place)
        while chunk := await asyncio.to_thread(_take, rows, chunk_rows):
            answers = await self._answers(chunk)
            counts = Counter(standing.counts)
            counts.update(_label(answer) for answer in answers)
            length = await asyncio.to_thread(self._append, standing.answer_bytes, answers)
            standing = Standing(standing.total, chunk[-1].end, length, dict(counts))
            await asyncio.to_thread(write_whole, self._folder / _STANDING, orjson.dumps(asdict(standing)))
            yield standing

    def finish(self) -> None:
        """All rows are done: the answers become the result."""
        (self._folder / _DRAFT).rename(self._folder / TEXTS_RESULT)

    def _standing(self) -> Standing:
        """Where an earlier pass stopped, or the beginning, for which all rows are counted."""
        stored = read_json(self._folder / _STANDING)
        if stored is None:
            return Standing(self._rows.count(self._tools.settings.max_job_rows))
        return Standing(stored["total"], Place(**stored["place"]), stored["answer_bytes"], stored["counts"])

    async def _answers(self, chunk: Sequence[Row]) -> list[Analysis | Mapping[str, Any]]:
        """One answer a row, in order: an `Analysis`, or a Problem where the row was refused."""
        limit = self._tools.settings.max_text_characters
        answers = [_refusal(row, limit, self._refuse) for row in chunk]
        texts = [row.text for row, refusal in zip(chunk, answers, strict=True) if row.text is not None and not refusal]
        said = iter(await analyze_texts(texts, self._options, self._tools) if texts else ())
        return [refusal if refusal else next(said) for refusal in answers]

    def _append(self, length: int, answers: Sequence[Any]) -> int:
        """Write answers behind the first `length` bytes; what a pass left there that was stopped is written over."""
        lines = b"".join(orjson.dumps(answer, option=orjson.OPT_APPEND_NEWLINE) for answer in answers)
        with saying_no_space(), (self._folder / _DRAFT).open("r+b" if length else "wb") as file:
            file.seek(length)
            file.write(lines)
            file.truncate()
            file.flush()
            os.fsync(file.fileno())
        for answer in answers:
            if isinstance(answer, Analysis):
                metrics.predicted(answer)
        return length + len(lines)


def _take(rows: Iterator[Row], count: int) -> list[Row]:
    return list(islice(rows, count))


def _refusal(row: Row, limit: int, refuse: Refuse) -> Mapping[str, Any] | None:
    if row.fault is not None:
        return refuse(BadRow(f"Row {row.number} (line {row.end.line}): {row.fault}"))
    if row.text is not None and len(row.text) > limit:
        return refuse(LongRow(f"Row {row.number} has {len(row.text):,} characters; at most {limit:,} are taken."))
    return None


def _label(answer: Any) -> str:
    if not isinstance(answer, Analysis):
        return "refused"
    return answer.sentiment.label or "abstained"
