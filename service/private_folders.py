"""Folders for this user alone, and folders that belong to a process: the kernel tells when that process has died.

A process number says little: it is soon another's, and each container counts for itself. So a folder is locked by
whoever uses it, and one that nobody holds was left behind.
"""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import shutil
import stat
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_UNFINISHED = "new-"
"""How a folder is called until it is held, which takes an instant."""
_UNFINISHED_SECONDS = 60.0

log = logging.getLogger(__name__)


class UnsafeFolder(RuntimeError):
    """The folder belongs to somebody else, or others may look into it."""


def make_private(folder: Path) -> None:
    """Make a folder that this user alone can read. Raises `UnsafeFolder` where there is another one."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise UnsafeFolder(f"{folder} must be a folder of this user that nobody else can read (mode 0700).")


@dataclass(frozen=True)
class HeldFolder:
    """A new folder, which this process holds until it lets go or dies."""

    path: Path
    _lock: int

    @classmethod
    def make(cls, parent: Path) -> HeldFolder:
        """Make one, under a name that nobody had. It gets its name when it is held, so nobody takes it for left."""
        name = secrets.token_hex(8)
        unfinished = parent / f"{_UNFINISHED}{name}"
        unfinished.mkdir(mode=0o700)
        lock = os.open(unfinished, os.O_RDONLY | os.O_CLOEXEC)
        fcntl.flock(lock, fcntl.LOCK_EX)
        unfinished.rename(parent / name)
        return cls(parent / name, lock)

    def let_go(self) -> None:
        """Remove it if it is still here, and hold it no longer; what stays is removed as anything that was left."""
        try_to_remove(self.path)
        os.close(self._lock)


def is_held(path: Path) -> bool:
    """Whether a process of this machine holds a file or folder. Raises `FileNotFoundError`."""
    opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(opened)
    return False


def remove_left(parent: Path) -> None:
    """Remove what lies in a folder, if there is one, and nobody holds; what cannot be removed is logged."""
    for path in _content(parent):
        if not _in_use(path):
            try_to_remove(path)


def newest_change(folder: Path) -> float:
    """When a folder or something in it was last changed, as Unix time in seconds; 0 if it is gone."""
    return max(_changed(path) for path in (folder, *folder.rglob("*")))


def try_to_remove(path: Path) -> None:
    """Remove a folder or a file; what stays is logged, and whoever looks next tries again."""
    try:
        remove_tree(path)
    except OSError as error:
        log.warning("it cannot be removed yet: %s", error)


def remove_tree(path: Path) -> None:
    """Remove a folder, or a file, that may be gone already. Raises `OSError` where something stays."""
    if not path.is_dir() or path.is_symlink():
        path.unlink(missing_ok=True)
        return
    shutil.rmtree(path, ignore_errors=True)  # somebody else may be removing it as well
    with suppress(FileNotFoundError):
        shutil.rmtree(path)


def _content(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except FileNotFoundError:
        return []


def _in_use(path: Path) -> bool:
    if path.name.startswith(_UNFINISHED) and _changed(path) > time.time() - _UNFINISHED_SECONDS:
        return True
    try:
        return path.is_dir() and not path.is_symlink() and is_held(path)
    except FileNotFoundError:
        return False


def _changed(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except FileNotFoundError:
        return 0.0
