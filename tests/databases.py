"""Databases for tests: an SQLite file, and a real PostgreSQL where its programs are installed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest

from tests.serving import free_port

USER = "sentiment"
START_SECONDS = 120.0
_numbers = count(1)


@dataclass
class PostgresServer:
    """A PostgreSQL of a test's own, on loopback; PostgreSQL refuses to run as root, so then it runs as its own user."""

    programs: Path
    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def initialise(self) -> None:
        """Make its files."""
        self._run("initdb", "--no-sync", "--auth=trust", f"--username={USER}", "--encoding=UTF8", "-D", str(self._data))

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self.folder / "log").open("ab") as log:
            # Without fsync a kill loses nothing, only a power cut does.
            self.process = subprocess.Popen(
                (self.programs / "postgres", "-D", self._data, "-p", str(self.port), "-k", self.folder, "-F"),
                stdout=log,
                stderr=log,
                cwd=self.folder,
                **_unprivileged(),
            )
        deadline = time.monotonic() + START_SECONDS
        while subprocess.call((self.programs / "pg_isready", *self._where(), "-q")) != 0:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self.folder / "log").read_text(errors="replace")[-2000:])
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop it as an administrator would who cannot wait: open connections are cut."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(START_SECONDS)

    def create(self) -> str:
        """The URL of a new, empty database, as people write it."""
        name = f"test_{next(_numbers)}"
        self._run("createdb", *self._where(), "-U", USER, name)
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{name}"

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _where(self) -> tuple[str, ...]:
        return "-h", "127.0.0.1", "-p", str(self.port)

    def _run(self, program: str, *arguments: str) -> None:
        command = (self.programs / program, *arguments)
        subprocess.run(command, check=True, capture_output=True, cwd=self.folder, **_unprivileged())


def _unprivileged() -> dict:
    return {"user": "postgres", "group": "postgres", "extra_groups": ()} if os.geteuid() == 0 else {}


def postgres_programs() -> Path | None:
    """The folder of PostgreSQL's programs: that of the path, else Debian's newest."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return folders[-1].parent if folders else None


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL that is gone afterwards, with its files. Skips the test where it is not installed."""
    programs = postgres_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed: neither `initdb` in the path nor /usr/lib/postgresql.")
    # Not pytest's folder: that is closed to the user that PostgreSQL runs as.
    folder = Path(tempfile.mkdtemp(prefix="sentiment-postgres-"))
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
    server = PostgresServer(programs, folder)
    try:
        server.initialise()
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One PostgreSQL for all tests; who stops it starts it again."""
    with running_postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database; each test that wants one runs on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'state' / 'sentiment.db'}"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.create()
