"""Saves the database, and puts it back.

    python -m deployment.release.backup save FOLDER
    python -m deployment.release.backup check FOLDER
    python -m deployment.release.backup restore FOLDER [--replace]

History, the state of jobs and the audit are in it; media and results of jobs are not: they live for hours, and what
people sent should not outlive its time in a copy. PostgreSQL needs `pg_dump` and `pg_restore` of its version. A copy
holds what people chose to keep: store it as you store the database, and erase in it what must be erased
(`service.erase`).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

from sqlalchemy import URL

from models.registry import sha256
from service.database.database import FILE_NAME
from service.database.urls import async_url, file_of, file_url
from service.settings import Settings, load_settings

MANIFEST = "manifest.json"
SQLITE, POSTGRES = "database.sqlite", "database.dump"


class BackupFailed(RuntimeError):
    """Nothing was saved, or nothing was put back; why, in one sentence."""


@dataclass(frozen=True)
class Manifest:
    """What a backup is: its one file, that file's digest, and when it was made (RFC 3339)."""

    file: str
    sha256: str
    bytes: int
    made: str


def save(folder: Path, url: URL) -> Manifest:
    """A copy of a database that may be in use, in a new private folder. Raises `BackupFailed`."""
    if folder.exists() and any(folder.iterdir()):
        raise BackupFailed(f"{folder} is not empty.")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    source = file_of(url)
    copy = folder / (SQLITE if source else POSTGRES)
    if source:
        _copy(source, copy)
    else:
        _postgres("pg_dump", url, "--format=custom", "--no-owner", f"--file={copy}")
    copy.chmod(0o600)
    made = datetime.now(timezone.utc).isoformat(timespec="seconds")
    manifest = Manifest(copy.name, sha256(copy), copy.stat().st_size, made)
    (folder / MANIFEST).write_text(json.dumps(asdict(manifest), indent=1))
    return manifest


def check(folder: Path) -> Manifest:
    """The backup, if it is whole and can be read. Raises `BackupFailed`."""
    try:
        manifest = Manifest(**json.loads((folder / MANIFEST).read_text()))
        copy = folder / Path(manifest.file).name
        digest = sha256(copy)
    except (OSError, ValueError, TypeError) as error:
        raise BackupFailed(f"{folder} holds no backup: {error}.") from error
    if digest != manifest.sha256:
        raise BackupFailed(f"{copy} is not as it was saved.")
    if manifest.file == SQLITE:
        _sound(copy)
    else:
        _run(_program("pg_restore"), "--list", str(copy))
    return manifest


def restore(folder: Path, url: URL, *, replace: bool = False) -> Manifest:
    """Put a backup into an empty database, or in the place of what is there. Raises `BackupFailed`.

    The service must not run meanwhile.
    """
    manifest = check(folder)
    copy, target = folder / manifest.file, file_of(url)
    if bool(target) != (manifest.file == SQLITE):
        raise BackupFailed(f"{manifest.file} is not of the kind of database that SENTIMENT_DATABASE_URL names.")
    if target is None:
        clean = ("--clean", "--if-exists") if replace else ()
        _postgres("pg_restore", url, "--exit-on-error", "--single-transaction", "--no-owner", *clean, str(copy))
        return manifest
    if target.exists() and not replace:
        raise BackupFailed(f"{target} is there already; say --replace to put the backup in its place.")
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for rest in (target, *(target.with_name(target.name + end) for end in ("-wal", "-shm"))):
        rest.unlink(missing_ok=True)
    _copy(copy, target)
    target.chmod(0o600)
    return manifest


def configured(settings: Settings) -> URL:
    """The database that the settings name."""
    if settings.database_url is None:
        return async_url(file_url(settings.state_folder / FILE_NAME))
    return async_url(settings.database_url.get_secret_value())


def _copy(source: Path, target: Path) -> None:
    """By SQLite itself, which copies a database in use as of one moment."""
    if not source.is_file():
        raise BackupFailed(f"There is no database at {source}.")
    with closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)
        new.execute("pragma journal_mode=delete")  # one file, not three
    _sound(target)


def _sound(copy: Path) -> None:
    try:
        with closing(sqlite3.connect(f"file:{copy}?immutable=1", uri=True)) as connection:
            (said,) = connection.execute("pragma integrity_check").fetchone()
    except sqlite3.DatabaseError as error:
        raise BackupFailed(f"{copy} can't be read: {error}.") from error
    if said != "ok":
        raise BackupFailed(f"{copy} is damaged: {said}.")


def _postgres(program: str, url: URL, *words: str) -> None:
    """A program of PostgreSQL; the password goes by the environment, where other users of the machine can't read it."""
    environment = {**os.environ, **({"PGPASSWORD": str(url.password)} if url.password else {})}
    if "ssl" in url.query:
        environment["PGSSLMODE"] = str(url.query["ssl"])
    given = {"host": url.host, "port": url.port, "username": url.username, "dbname": url.database}
    where = ["--no-password", *(f"--{name}={value}" for name, value in given.items() if value)]
    _run(_program(program), *where, *words, environment=environment)


def _run(*command: str, environment: dict[str, str] | None = None) -> None:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BackupFailed(f"{Path(command[0]).name} failed: {done.stderr.strip().splitlines()[-1:]}")


def _program(name: str) -> str:
    folders = [str(path) for path in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    found = shutil.which(name, path=os.pathsep.join([*folders, os.environ.get("PATH", "")]))
    if found is None:
        raise BackupFailed(f"{name} is not installed; it comes with PostgreSQL's client programs.")
    return found


def main(words: list[str] | None = None) -> int:
    """The command line; 0 if it was done."""
    parser = argparse.ArgumentParser(prog="python -m deployment.release.backup")
    parser.add_argument("what", choices=("save", "check", "restore"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--replace", action="store_true", help="put the backup in the place of what is there")
    given = parser.parse_args(words)
    try:
        if given.what == "check":
            manifest = check(given.folder)
        elif given.what == "save":
            manifest = save(given.folder, configured(load_settings()))
        else:
            manifest = restore(given.folder, configured(load_settings()), replace=given.replace)
    except BackupFailed as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{given.what}: {manifest.file} of {manifest.made}, {manifest.bytes:,} bytes, is whole")
    return 0


if __name__ == "__main__":
    sys.exit(main())
