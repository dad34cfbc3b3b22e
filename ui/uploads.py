"""Files that people upload or record: in a folder that only this user can read, and gone as soon as may be.

The player beside a result needs the file while it is shown. So a file stays until its place is cleared or taken by
another, until its page is closed, and `keep_seconds` at the longest; the folder is wiped at start and at stop.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import shutil
import stat
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

UNSEEN_SECONDS = 60.0
"""A file that no page shows is deleted after this."""

log = logging.getLogger(__name__)


class UploadGone(Exception):
    """The file is no longer there, or never was one of ours."""


class Uploads:
    """The folder, and who shows what: `(session, place)` → path."""

    def __init__(self, folder: Path, keep_seconds: float, readable: Iterable[Path] = ()) -> None:
        """`readable` are folders of our own (the examples) whose files may be analysed and are never deleted."""
        self.folder = folder.absolute()
        self._root = folder.resolve()
        self.keep_seconds = keep_seconds
        self._readable = tuple(path.resolve() for path in readable)
        self._shown: dict[tuple[str, str], Path] = {}

    def prepare(self) -> None:
        """Make the folder private and empty. Raises `PermissionError` if somebody else owns it."""
        self.folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.mkdir(mode=0o700, exist_ok=True)
        found = self.folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            raise PermissionError(f"{self.folder} belongs to somebody else; set UI_UPLOADS to another folder.")
        self.folder.chmod(0o700)
        self.wipe()

    def wipe(self) -> None:
        """Delete everything in the folder, but not the folder."""
        for path in self.folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def path(self, payload: Mapping[str, object] | None) -> Path | None:
        """The file that a component was given; None if it holds nothing. Raises `UploadGone`."""
        if not payload:
            return None
        path = Path(os.path.realpath(str(payload.get("path") or "")))
        if not any(path.is_relative_to(root) for root in (self._root, *self._readable)):
            raise UploadGone("This file was not uploaded here; please choose it again.")
        if not path.is_file():
            minutes = self.keep_seconds / 60
            raise UploadGone(f"Uploads are deleted after {minutes:.0f} minutes; please choose the file again.")
        return path

    def new(self, name: str) -> Path:
        """Where to write a file of ours that people may fetch, under a folder that nobody can guess."""
        folder = self._root / secrets.token_hex(16)
        folder.mkdir(mode=0o700)
        return folder / name

    def show(self, session: str, place: str, payload: Mapping[str, object] | None) -> None:
        """Remember what a place now shows, and delete what it showed before."""
        key = (session, place)
        before = self._shown.pop(key, None)
        path = Path(os.path.realpath(str(payload.get("path") or ""))) if payload else None
        if path is not None:
            self._shown[key] = path
        if before is not None and before != path:
            self._release(before)

    def forget(self, path: Path) -> None:
        """Delete a file of the folder that has been read and that nobody shows."""
        self._release(path)

    def close(self, session: str) -> None:
        """A page was closed: delete what it showed."""
        for key in [key for key in self._shown if key[0] == session]:
            self._release(self._shown.pop(key))

    def sweep(self, now: float) -> int:
        """Delete files that were last changed more than `keep_seconds` before `now`, and sooner what no page shows.

        Gives how many there were. Of a device that runs, chunks that come while the one before is taken are never seen.
        """
        shown = set(self._shown.values())
        old = [
            path
            for path in self._root.rglob("*")
            if _age_seconds(path, now)
            > (self.keep_seconds if path in shown else min(UNSEEN_SECONDS, self.keep_seconds))
        ]
        for path in old:
            self._delete(path)
        self._shown = {key: path for key, path in self._shown.items() if path not in old}
        return len(old)

    async def sweep_forever(self, every_seconds: float = 30.0) -> None:
        """Run `sweep` again and again until cancelled."""
        while True:
            await asyncio.sleep(every_seconds)
            deleted = self.sweep(time.time())
            if deleted:
                log.info("Deleted %d old uploads.", deleted)

    def _release(self, path: Path) -> None:
        """Delete a file that one place has let go, unless another shows it too or it is not of this folder."""
        if path not in self._shown.values() and path.is_relative_to(self._root):
            self._delete(path)

    def _delete(self, path: Path) -> None:
        """Delete a file of the folder, and the folder that held it alone."""
        path.unlink(missing_ok=True)
        if path.parent != self._root and path.parent.is_dir() and not any(path.parent.iterdir()):
            path.parent.rmdir()


def _age_seconds(path: Path, now: float) -> float:
    """0 for what is not a file (any more)."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return 0.0
    return now - found.st_mtime if stat.S_ISREG(found.st_mode) else 0.0
