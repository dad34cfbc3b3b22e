"""Where media, parts and results of jobs lie: one private folder a job, which goes with the job."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import orjson

from service.jobs import JobLost, NoSpace
from service.private_folders import (
    HeldFolder,
    is_held,
    make_private,
    newest_change,
    remove_left,
    remove_tree,
    try_to_remove,
)

INCOMING = "incoming"
PARTS = "parts"
MEDIA_RESULT = "result.json"
TEXTS_RESULT = "result.jsonl"
_KEPT = frozenset({MEDIA_RESULT, TEXTS_RESULT, "lock"})
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_ID_LENGTH = 26
_GONE = ".gone-"
"""A folder that is being removed has another name first, so that nobody who still works in it brings it back."""
FOREIGN_SECONDS = 3600.0
"""Locks need not reach to other machines: what one of them receives is taken for left when it stood still so long."""


class JobFolders:
    """The folders of all jobs under `root`, which machines that share the jobs share too."""

    def __init__(self, root: Path, min_free_bytes: int) -> None:
        self.root = root
        self._min_free_bytes = min_free_bytes

    @property
    def incoming(self) -> Path:
        """Where this machine's gateways take uploads in: on the same disk, so that moving them on copies nothing."""
        return self.root / INCOMING / socket.gethostname()

    def open(self) -> None:
        """Make the folder, readable by this user alone. Raises `UnsafeFolder`."""
        make_private(self.root)
        self.incoming.mkdir(mode=0o700, parents=True, exist_ok=True)

    def of(self, job: str) -> Path:
        """The folder of a job."""
        return self.root / job

    @contextmanager
    def request(self) -> Iterator[Path]:
        """A folder for what one request sends; gone afterwards, unless `take_in` has moved it. Raises `NoSpace`."""
        with saying_no_space():
            held = HeldFolder.make(self.incoming)
        try:
            with saying_no_space():
                yield held.path
        finally:
            held.let_go()

    def remove_abandoned(self) -> None:
        """Remove what processes of this machine were receiving when they died, and what others stopped removing."""
        remove_left(self.incoming)
        for path in self.root.glob(f"{_GONE}*"):
            try_to_remove(path)

    def remove_foreign(self) -> None:
        """Remove what machines that are gone, or are called otherwise by now, were receiving."""
        for host in self.incoming.parent.iterdir():
            if host != self.incoming and newest_change(host) < time.time() - FOREIGN_SECONDS:
                remove_left(host)
                with suppress(OSError):  # somebody came back
                    host.rmdir()

    def check_space(self, more_bytes: int = 0) -> None:
        """Raises `NoSpace` if so much more would eat into the reserve."""
        if shutil.disk_usage(self.root).free - more_bytes < self._min_free_bytes:
            raise NoSpace("The disk of the jobs is nearly full; try again later.")

    def take_in(self, job: str, files: Path) -> None:
        """Make the files in a folder those of a job, for good."""
        for file in files.iterdir():
            _sync(file)
        files.rename(self.of(job))
        _sync(self.root)

    def remove(self, job: str) -> None:
        """Remove all that a job has. Raises `OSError` where something stays."""
        gone = self.root / f"{_GONE}{job}-{secrets.token_hex(4)}"
        with suppress(FileNotFoundError):
            self.of(job).rename(gone)
        for path in self.root.glob(f"{_GONE}{job}-*"):  # this one, and what could not be removed before
            remove_tree(path)

    def keep_result(self, job: str) -> None:
        """Remove all that a job has but its result."""
        for path in list(self.of(job).iterdir()):
            if path.name not in _KEPT:
                remove_tree(path)

    def result(self, job: str) -> Path | None:
        """The file with the result, if it is there."""
        paths = (self.of(job) / name for name in (MEDIA_RESULT, TEXTS_RESULT))
        return next((path for path in paths if path.is_file()), None)

    def jobs(self, before: float) -> list[str]:
        """The jobs that have a folder and were made before a Unix time, by their identifiers."""
        return [path.name for path in self.root.iterdir() if _is_id(path.name) and _made_at(path.name) < before]

    @contextmanager
    def lock(self, job: str) -> Iterator[bool]:
        """Hold a job's folder; False if another process does. The system lets go of it when a process dies.

        Raises `JobLost` where there is no folder.
        """
        try:
            file = os.open(self._lock_of(job), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            raise JobLost("The files of the job are gone; send it again.") from None
        try:
            yield _locked(file)
        finally:
            os.close(file)

    def is_locked(self, job: str) -> bool:
        """Whether a process of this machine holds a job's folder."""
        try:
            return is_held(self._lock_of(job))
        except FileNotFoundError:
            return False

    def _lock_of(self, job: str) -> Path:
        return self.of(job) / "lock"


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is there as a whole or not at all, whenever the machine stops. Raises `NoSpace`."""
    draft = path.with_name(path.name + ".draft")
    with saying_no_space():
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.rename(path)
        _sync(path.parent)


@contextmanager
def saying_no_space() -> Iterator[None]:
    """A disk that is full raises `NoSpace`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoSpace("The disk of the jobs is full.") from error
        raise


def read_json(path: Path) -> Any:
    """What a file holds, or None if there is none."""
    try:
        return orjson.loads(path.read_bytes())
    except FileNotFoundError:
        return None


def _locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _is_id(name: str) -> bool:
    return len(name) == _ID_LENGTH and set(name) <= set(_CROCKFORD)


def _made_at(identifier: str) -> float:
    """The Unix time in a ULID's first ten characters."""
    milliseconds = 0
    for character in identifier[:10]:
        milliseconds = milliseconds << 5 | _CROCKFORD.index(character)
    return milliseconds / 1000
