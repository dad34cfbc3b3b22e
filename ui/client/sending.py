"""Files on their way: read from the disk piece by piece, and counted."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import httpx

Upload = str | os.PathLike[str] | bytes | IO[bytes]
"""A path, the bytes themselves, or an open binary file."""

Count = Callable[[int, int], None]
"""Told how many bytes of how many were sent."""

WORDS = "text"
"""The part of a multipart form that is not a file."""


@contextmanager
def opened(files: Mapping[str, Upload]) -> Iterator[dict[str, Any] | None]:
    """The files as httpx wants them, open while the request runs."""
    with ExitStack() as stack:
        parts: dict[str, Any] = {}
        for name, file in files.items():
            if isinstance(file, (str, os.PathLike)):
                path = Path(file)
                parts[name] = (path.name, stack.enter_context(path.open("rb")))
            elif name == WORDS:
                parts[name] = (None, file)  # no file name: a field, not a file
            else:
                parts[name] = (_name_of(file) or name, file)
        yield parts or None


def rewinds(file: Upload) -> bool:
    """Whether it can be read a second time."""
    return isinstance(file, (str, os.PathLike, bytes)) or file.seekable()


@contextmanager
def landing(target: str | os.PathLike[str] | IO[bytes]) -> Iterator[IO[bytes]]:
    """Where a download goes: an open file, or a path where there is all of it or nothing new."""
    if not isinstance(target, (str, os.PathLike)):
        yield target
        return
    path = Path(target)
    draft = path.with_name(f".{path.name}.part")
    try:
        with draft.open("wb") as file:
            yield file
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


class Counted(httpx.SyncByteStream, httpx.AsyncByteStream):
    """The body of a request, telling of each piece that the connection took."""

    def __init__(self, body: Any, total: int, count: Count) -> None:
        self._body = body
        self._total = total
        self._count = count

    def __iter__(self) -> Iterator[bytes]:
        sent = 0
        for piece in self._body:
            yield piece
            sent += len(piece)
            self._count(sent, self._total)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self:
            yield piece


def _name_of(file: bytes | IO[bytes]) -> str | None:
    """What an open file is called; a socket's or pipe's number is no name."""
    name = getattr(file, "name", None)
    return Path(name).name if isinstance(name, str) and not name.startswith("<") else None
