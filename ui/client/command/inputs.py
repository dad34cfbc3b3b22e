"""What a file is taken for: by the end of its name, else by its first bytes. The service looks for itself."""

from __future__ import annotations

import io
import mimetypes
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ui.client.sending import Upload

Kind = Literal["text", "audio", "image", "video", "table"]

TABLES = (".csv", ".tsv", ".jsonl", ".ndjson")
_BY_SUFFIX: Mapping[str, Kind] = {
    **dict.fromkeys(TABLES, "table"),
    **dict.fromkeys((".txt", ".md"), "text"),
    **dict.fromkeys((".m4a", ".opus", ".flac", ".aac", ".oga"), "audio"),
    **dict.fromkeys((".mkv", ".mov", ".avi", ".m4v"), "video"),
    **dict.fromkeys((".webp", ".avif"), "image"),
}
_BY_START: tuple[tuple[bytes, int, Kind], ...] = (
    (b"\xff\xd8\xff", 0, "image"),
    (b"\x89PNG", 0, "image"),
    (b"GIF8", 0, "image"),
    (b"WEBP", 8, "image"),
    (b"WAVE", 8, "audio"),
    (b"OggS", 0, "audio"),
    (b"fLaC", 0, "audio"),
    (b"ID3", 0, "audio"),
    (b"ftyp", 4, "video"),
    (b"\x1aE\xdf\xa3", 0, "video"),
)
_BY_TYPE: Mapping[str, Kind] = {"audio": "audio", "image": "image", "video": "video"}
STANDARD_INPUT = "-"


@dataclass(frozen=True)
class Given:
    """One thing to judge. `text` is what it says if it is a text, `file` what is sent if it is not."""

    name: str
    kind: Kind
    text: str = ""
    file: Upload = b""


def given_text(name: str, text: str) -> Given:
    """A text of the command line."""
    return Given(name, "text", text=text)


def given_file(name: str, *, a_text_a_line: bool) -> Given:
    """A file, or what comes in on the standard input. Raises `OSError`, and `ValueError` for text that is not UTF-8."""
    if name == STANDARD_INPUT:
        return _standard_input(sys.stdin.buffer.read(), a_text_a_line=a_text_a_line)
    path = Path(name)
    with path.open("rb") as file:
        kind = _kind(path.suffix.lower(), file.read(16))
    if kind == "text" and not a_text_a_line:
        return Given(name, "text", text=path.read_text(encoding="utf-8-sig"))
    return Given(name, "table" if kind == "text" else kind, file=path)


def _standard_input(content: bytes, *, a_text_a_line: bool) -> Given:
    kind = _kind("", content[:16])
    if kind != "text":
        return Given("stdin", kind, file=content)
    if not a_text_a_line:
        return Given("stdin", "text", text=content.decode("utf-8-sig"))
    lines = io.BytesIO(content)
    lines.name = "stdin.txt"  # by the name the service knows what it is
    return Given("stdin", "table", file=lines)


def _kind(suffix: str, start: bytes) -> Kind:
    """By the first bytes where the name tells nothing; what they do not tell is a text."""
    if suffix in _BY_SUFFIX:
        return _BY_SUFFIX[suffix]
    guessed = (mimetypes.guess_type(f"x{suffix}")[0] or "").partition("/")[0]
    if guessed in _BY_TYPE:
        return _BY_TYPE[guessed]
    for sign, at, kind in _BY_START:
        if start[at:].startswith(sign):
            return kind
    return "text"
