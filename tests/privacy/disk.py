"""Watches folders by the kernel's word (inotify), and searches them for what must not be there."""

from __future__ import annotations

import ctypes
import os
import select
import struct
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

_IN_CREATE, _IN_MOVED_TO, _IN_CLOSE_WRITE, _IN_ISDIR = 0x100, 0x80, 0x8, 0x40000000
_HEAD = struct.Struct("iIII")
AVAILABLE = sys.platform == "linux"


def holding(folder: Path, *marks: str | bytes) -> list[str]:
    """The files below a folder whose content or name holds one of the marks, in UTF-8 or as JSON would escape it."""
    wanted = [mark.encode() if isinstance(mark, str) else mark for mark in marks]
    return [str(path) for path in _below(folder) if any(_holds(path, mark) for mark in wanted)]


def _below(folder: Path) -> Iterator[Path]:
    """All that is there while it is looked at; not `rglob`, which fails on a folder that is removed meanwhile."""
    for place, folders, files in os.walk(folder):
        yield from (Path(place, name) for name in (*folders, *files))


def _holds(path: Path, mark: bytes) -> bool:
    try:
        content = path.read_bytes() if path.is_file() else b""
    except OSError:  # it has gone
        content = b""
    return mark in content or mark in os.fsencode(path.name)


class Watch:
    """Every path that is created, moved in or written below some folders, from entry to exit."""

    def __init__(self, folders: Iterable[Path]) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._file = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        self._watched: dict[int, Path] = {}
        self._folders = list(folders)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow)
        self.seen: set[Path] = set()

    def __enter__(self) -> Watch:
        for folder in self._folders:
            self._add(folder)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        os.close(self._file)

    def _add(self, folder: Path) -> None:
        """The folder and all below it; what is in a new one already counts as seen."""
        mask = _IN_CREATE | _IN_MOVED_TO | _IN_CLOSE_WRITE
        number = self._libc.inotify_add_watch(self._file, os.fsencode(folder), mask)
        if number < 0:
            return
        self._watched[number] = folder
        for path in _content(folder):
            if self._thread.is_alive():
                self.seen.add(path)
            if path.is_dir() and not path.is_symlink():
                self._add(path)

    def _follow(self) -> None:
        while not self._over.is_set() or select.select([self._file], [], [], 0)[0]:
            if select.select([self._file], [], [], 0.05)[0]:
                self._note(os.read(self._file, 1 << 16))

    def _note(self, events: bytes) -> None:
        place = 0
        while place < len(events):
            number, mask, _, length = _HEAD.unpack_from(events, place)
            name = events[place + _HEAD.size : place + _HEAD.size + length].rstrip(b"\0")
            place += _HEAD.size + length
            if number not in self._watched:
                raise RuntimeError("the kernel had more to tell than it keeps")
            path = self._watched[number] / os.fsdecode(name)
            self.seen.add(path)
            if mask & _IN_ISDIR and path.is_dir():
                self._add(path)


def _content(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except FileNotFoundError:  # it went before it was looked at
        return []
