"""Labelled data of one's own: a CSV file whose rows hold a text, or point to files beside it, and a label."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from models.registry import sha256
from service.domain.labels import SENTIMENTS
from service.pipelines.analyze import Inputs

LABEL, TEXT = "label", "text"
FILES = ("image", "audio", "video")
"""Columns of paths, relative to the CSV file, as the form fields of `POST /v1/analyze`."""

DELIMITERS = (",", ";", "\t")
SHOWN_FAULTS = 20


class WrongLabels(ValueError):
    """The labelled file can't be used; a sentence a fault, which says the row."""


@dataclass(frozen=True)
class LabelledRow:
    """What one row holds, and what it is."""

    number: int
    """From 1, without the header."""
    line: int
    inputs: Inputs
    label: int
    """A place in `SENTIMENTS`."""

    @property
    def where(self) -> str:
        """As sentences name it."""
        return f"Row {self.number} (line {self.line})"


def read_labelled(path: Path, max_characters: int) -> list[LabelledRow]:
    """All rows of the file. Raises `WrongLabels`, with all that is wrong of up to `SHOWN_FAULTS` rows."""
    rows, faults = [], []
    for number, line, cells in _cells(path):
        try:
            label, inputs = _label(cells), _inputs(cells, path.parent, max_characters)
        except WrongLabels as fault:
            faults.append(f"Row {number} (line {line}): {fault}")
        else:
            rows.append(LabelledRow(number, line, inputs, label))
    if faults:
        more = [f"{len(faults) - SHOWN_FAULTS} more rows are wrong."] if len(faults) > SHOWN_FAULTS else []
        raise WrongLabels("\n".join([*faults[:SHOWN_FAULTS], *more]))
    if not rows:
        raise WrongLabels(f"{path} has no rows.")
    return rows


def digest(path: Path, rows: list[LabelledRow]) -> str:
    """The SHA-256 of the file's own digest and of those of all files that it points to, in the order of its rows."""
    whole = hashlib.sha256(sha256(path).encode())
    for row in rows:
        for file in (row.inputs.image, row.inputs.audio, row.inputs.video):
            if file is not None:
                whole.update(sha256(file).encode())
    return whole.hexdigest()


def _cells(path: Path) -> Iterator[tuple[int, int, Mapping[str, str]]]:
    """Number, line and cells by column of each row that is not blank. Raises `WrongLabels`."""
    line = 0
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            delimiter = max(DELIMITERS, key=file.readline().count)
            file.seek(0)
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            columns, number = _columns(next(reader, [])), 0
            for cells in reader:
                line = reader.line_num
                if any(cell.strip() for cell in cells):
                    number += 1
                    yield number, line, {name: cells[at].strip() for name, at in columns.items() if at < len(cells)}
    except OSError as error:
        raise WrongLabels(f"{path} can't be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise WrongLabels(f"{path} is not text in UTF-8; save it as UTF-8.") from error
    except csv.Error as error:
        raise WrongLabels(f"{path} can't be read after line {line}; is a quote not closed? ({error})") from error


def _columns(header: list[str]) -> dict[str, int]:
    """Where the columns stand that are known; any others are left alone."""
    names = [name.strip().lower() for name in header]
    known = {name: names.index(name) for name in (LABEL, TEXT, *FILES) if name in names}
    shown = ", ".join(map(repr, names[:12]))
    if LABEL not in known:
        raise WrongLabels(f"No column is called 'label'; the first line has: {shown}.")
    if len(known) == 1:
        raise WrongLabels(f"No column is called 'text', 'image', 'audio' or 'video'; the first line has: {shown}.")
    return known


def _inputs(cells: Mapping[str, str], folder: Path, max_characters: int) -> Inputs:
    """What the row holds. Raises `WrongLabels`."""
    text = cells.get(TEXT) or None
    files = {name: folder / cells[name] for name in FILES if cells.get(name)}
    if text is None and not files:
        raise WrongLabels("it holds neither a text nor the path of a file.")
    if text is not None and len(text) > max_characters:
        raise WrongLabels(f"its text has {len(text):,} characters; at most {max_characters:,} are taken.")
    if "image" in files and "video" in files:
        raise WrongLabels("it names a picture and a video; give each a row of its own.")
    for name, file in files.items():
        if not file.is_file():
            raise WrongLabels(f"its {name}, {cells[name]}, is no file beside {folder}.")
    return Inputs(text=text, **files)


def _label(cells: Mapping[str, str]) -> int:
    """A place in `SENTIMENTS`. Raises `WrongLabels`."""
    if LABEL not in cells:
        raise WrongLabels("it ends before the column of labels.")
    wanted = cells[LABEL].lower()
    if wanted not in SENTIMENTS:
        raise WrongLabels(f"its label, {cells[LABEL]!r}, is none of {', '.join(SENTIMENTS)}.")
    return SENTIMENTS.index(wanted)
