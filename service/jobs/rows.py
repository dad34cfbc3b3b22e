"""Files of texts: comma- or tab-separated values, JSON Lines, or plain lines; read row by row from any row on.

A row that holds no text is a row all the same, with what is wrong about it; a file whose rows cannot be told apart is
refused as a whole.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, get_args

import orjson

from service.jobs import TooManyRows, UnknownFormat, WrongFile
from service.media.sniff import HEAD_BYTES, sniff

TextFormat = Literal["csv", "tsv", "jsonl", "txt"]
FORMATS: tuple[TextFormat, ...] = get_args(TextFormat)
COLUMN = "text"
"""The column, or the member of a JSON object, that holds the text unless another is named."""

MAX_LINE_BYTES = 1_000_000
_DELIMITERS = (",", ";", "\t", "|")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_SHOWN_COLUMNS = 12


@dataclass(frozen=True)
class Place:
    """Where a row ends: bytes, rows and lines from the start of the file."""

    offset: int = 0
    row: int = 0
    line: int = 0


@dataclass(frozen=True)
class Row:
    """One row: its text, or why it has none. Rows count from 1 without the header; at `end` the next one starts."""

    text: str | None
    fault: str | None
    end: Place

    @property
    def number(self) -> int:
        return self.end.row


class RowFile:
    """A file of texts in UTF-8. Whoever opens it hears at once if it lacks the column."""

    def __init__(self, path: Path, format: TextFormat, column: str | None = None) -> None:
        """Raises `UnknownFormat` and `WrongFile`."""
        self._path = path
        self._format: TextFormat = format
        self._column = column or COLUMN
        self._delimiter = ","
        self._index = 0
        self._first = Place()
        with path.open("rb") as file:
            _check_text(file.read(HEAD_BYTES))
            file.seek(0)
            if format in ("csv", "tsv"):
                self._read_header(file)

    def rows(self, place: Place | None = None) -> Iterator[Row]:
        """The rows after a place, or all. Raises `WrongFile` where rows can no longer be told apart."""
        with self._path.open("rb") as file:
            yield from self._separated(file, place) if self._format in ("csv", "tsv") else self._lined(file, place)

    def count(self, limit: int) -> int:
        """How many rows there are. Raises `WrongFile`, and `TooManyRows` above the limit."""
        total = 0
        for total, _ in enumerate(self.rows(), start=1):
            if total > limit:
                raise TooManyRows(f"The file has more than {limit:,} rows, which is the limit; split it.")
        if not total:
            raise WrongFile("The file has no rows.")
        return total

    def _read_header(self, file: BinaryIO) -> None:
        if self._format == "tsv":
            self._delimiter = "\t"
        else:
            head = file.readline(MAX_LINE_BYTES).decode("utf-8", "surrogateescape")
            self._delimiter = max(_DELIMITERS, key=head.count)
        lines = _Lines(file, Place())
        try:
            header = next(csv.reader(lines, delimiter=self._delimiter), [])
        except csv.Error as error:
            raise WrongFile(f"The first line is no header: {error}.") from error
        self._index = _column_index(header, self._column)
        self._first = Place(lines.offset, 0, lines.number)

    def _separated(self, file: BinaryIO, place: Place | None) -> Iterator[Row]:
        start = place or self._first
        lines, number = _Lines(file, start), start.row
        reader = csv.reader(lines, delimiter=self._delimiter)
        while True:
            try:
                cells = next(reader, None)
            except csv.Error as error:
                hint = "is a quote not closed?" if "limit" in str(error) else f"{error}."
                raise WrongFile(f"Row {number + 1}, up to line {lines.number}, cannot be read: {hint}") from error
            if cells is None:
                return
            if not cells:  # a blank line
                continue
            number += 1
            end = Place(lines.offset, number, lines.number)
            if self._index >= len(cells):
                yield Row(None, f"It has only {len(cells)} columns; the text is in column {self._index + 1}.", end)
            else:
                yield _checked(cells[self._index], end)

    def _lined(self, file: BinaryIO, place: Place | None) -> Iterator[Row]:
        start = place or Place()
        lines, number = _Lines(file, start, may_skip=True), start.row
        for line in lines:
            if self._format == "jsonl" and not line.strip() and not lines.too_long:
                continue
            number += 1
            end = Place(lines.offset, number, lines.number)
            if lines.too_long:
                yield Row(None, f"It has more than {MAX_LINE_BYTES:,} bytes.", end)
            elif self._format == "txt":
                yield _checked(line.rstrip("\r\n"), end)
            else:
                yield self._member(line, end)

    def _member(self, line: str, end: Place) -> Row:
        """The text in a line of JSON: a string, or a member of an object."""
        try:
            value = orjson.loads(line.encode("utf-8", "surrogateescape"))
        except orjson.JSONDecodeError as error:
            return Row(None, f"It is not JSON: {error}.", end)
        text = value.get(self._column) if isinstance(value, dict) else value
        if not isinstance(text, str):
            return Row(None, f"It is neither a string nor an object with a string `{self._column}`.", end)
        return _checked(text, end)


class _Lines:
    """The lines of a file from a place on, and where it stands after the last; keeps no more than one line."""

    def __init__(self, file: BinaryIO, place: Place, *, may_skip: bool = False) -> None:
        self.offset = place.offset
        self.number = place.line
        self.too_long = False
        self._file = file
        self._may_skip = may_skip
        file.seek(place.offset)
        if not place.offset and file.read(len(_BYTE_ORDER_MARK)) != _BYTE_ORDER_MARK:
            file.seek(0)
        self.offset = file.tell()

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._file.readline(MAX_LINE_BYTES)
        if not line:
            raise StopIteration
        self.offset += len(line)
        self.number += 1
        self.too_long = len(line) == MAX_LINE_BYTES and not line.endswith(b"\n")
        if not self.too_long:
            return line.decode("utf-8", "surrogateescape")
        if not self._may_skip:
            raise WrongFile(f"Line {self.number} has more than {MAX_LINE_BYTES:,} bytes; is a quote not closed?")
        while line and not line.endswith(b"\n"):
            line = self._file.readline(MAX_LINE_BYTES)
            self.offset += len(line)
        return ""


def _check_text(head: bytes) -> None:
    """Raises `UnknownFormat` for what is recognisably something else, `WrongFile` for what is not UTF-8."""
    if not head:
        raise WrongFile("The file is empty.")
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise WrongFile("The file is in UTF-16; save it as UTF-8.")
    found = sniff(head)
    if found.kind not in ("text", "unknown") or (found.kind == "unknown" and found.name != "unknown data"):
        raise UnknownFormat(f"The file looks like {found.name}; a file of texts is one of {', '.join(FORMATS)}.")
    if b"\0" in head:
        raise WrongFile("The file is not text in UTF-8.")


def _column_index(header: list[str], column: str) -> int:
    """Where the column stands; the only one of a file stands for any that was not named."""
    names = [name.strip() for name in header]
    if column in names:
        return names.index(column)
    lowered = [name.lower() for name in names]
    if column.lower() in lowered:
        return lowered.index(column.lower())
    if len(names) == 1 and column == COLUMN and names[0]:
        return 0
    shown = ", ".join(repr(name.encode("utf-8", "replace").decode()[:40]) for name in names[:_SHOWN_COLUMNS])
    raise WrongFile(f"No column is called {column!r}; the first line has: {shown}. Name the right one with `column`.")


def _checked(text: str, end: Place) -> Row:
    try:
        text.encode()
    except UnicodeEncodeError:
        return Row(None, "It is not text in UTF-8.", end)
    return Row(text, None, end)
