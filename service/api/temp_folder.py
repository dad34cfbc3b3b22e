"""The private folder in which uploads stay while they are answered."""

from __future__ import annotations

import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil


class UnsafeFolder(RuntimeError):
    """The folder belongs to somebody else, or others may look into it."""


class TempFolder:
    """A folder of this process under `root`; what dead processes left there is removed when it opens."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.path = root / str(os.getpid())

    def open(self) -> None:
        """Make the folder, empty and readable by this user alone. Raises `UnsafeFolder`."""
        self.path = self._root / str(os.getpid())  # not the process that imported this, but the one it was forked to
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_private(self._root)
        for left in self._root.iterdir():
            if left == self.path or not _belongs_to_a_process(left):
                shutil.rmtree(left, ignore_errors=True)
        self.path.mkdir(mode=0o700)

    def close(self) -> None:
        """Remove the folder and all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)

    @contextmanager
    def request(self) -> Iterator[Path]:
        """A folder for the files of one request; gone afterwards, however the request ends."""
        path = self.path / secrets.token_hex(8)
        path.mkdir(mode=0o700)
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)


def _check_private(path: Path) -> None:
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise UnsafeFolder(f"{path} must be a folder of this user that nobody else can read (mode 0700).")


def _belongs_to_a_process(path: Path) -> bool:
    return path.name.isdigit() and psutil.pid_exists(int(path.name))
