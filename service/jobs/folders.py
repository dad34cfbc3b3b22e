"""Where media, parts and results of jobs lie: one private folder a job, which goes with the job."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import psutil

from service.jobs import NoSpace

INCOMING = "incoming"
PARTS = "parts"
MEDIA_RESULT = "result.json"
TEXTS_RESULT = "result.jsonl"
_KEPT = frozenset({MEDIA_RESULT, TEXTS_RESULT, "lock"})
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_ID_LENGTH = 26


class UnsafeFolder(RuntimeError):
    """The folder belongs to somebody else, or others may look into it."""


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
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = self.root.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise UnsafeFolder(f"{self.root} must be a folder of this user that nobody else can read (mode 0700).")
        self.incoming.mkdir(mode=0o700, parents=True, exist_ok=True)

    def of(self, job: str) -> Path:
        """The folder of a job."""
        return self.root / job

    @contextmanager
    def request(self) -> Iterator[Path]:
        """A folder for what one request sends; gone afterwards, unless `take_in` has moved it. Raises `NoSpace`."""
        path = self.incoming / f"{os.getpid()}-{secrets.token_hex(8)}"
        path.mkdir(mode=0o700)
        try:
            with saying_no_space():
                yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def remove_abandoned(self) -> None:
        """Remove what processes of this machine were receiving when they died."""
        for path in self.incoming.iterdir():
            process = path.name.partition("-")[0]
            if not process.isdigit() or not psutil.pid_exists(int(process)):
                shutil.rmtree(path, ignore_errors=True)

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
        """Remove all that a job has."""
        shutil.rmtree(self.of(job), ignore_errors=True)

    def keep_result(self, job: str) -> None:
        """Remove all that a job has but its result."""
        for path in list(self.of(job).iterdir()):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name not in _KEPT:
                path.unlink(missing_ok=True)

    def result(self, job: str) -> Path | None:
        """The file with the result, if it is there."""
        paths = (self.of(job) / name for name in (MEDIA_RESULT, TEXTS_RESULT))
        return next((path for path in paths if path.is_file()), None)

    def jobs(self, older_seconds: float) -> list[str]:
        """The jobs that have a folder and were made so long ago, by their identifiers."""
        newest = time.time() - older_seconds
        return [path.name for path in self.root.iterdir() if _is_id(path.name) and _made_at(path.name) < newest]

    @contextmanager
    def lock(self, job: str) -> Iterator[bool]:
        """Hold a job's folder; False if another process does. The system lets go of it when a process dies."""
        try:
            file = os.open(self.of(job) / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            yield False
            return
        try:
            yield _locked(file)
        finally:
            os.close(file)


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
