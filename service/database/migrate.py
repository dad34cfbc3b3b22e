"""Brings the tables up to date, however many processes begin at once."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

from service.database.errors import SchemaOutdated

Migrate = Literal["auto", "never"]
"""Whether opening brings the tables up to date, or only looks whether they are."""

ADVISORY_LOCK = 7_365_697_469
"""Any number that nobody else locks in the same PostgreSQL database."""
COMMAND = "python -m service.database upgrade"

log = logging.getLogger(__name__)


async def prepare(engine: AsyncEngine, file: Path | None, migrate: Migrate) -> None:
    """Make an SQLite file where there is none, and migrate if that is allowed. Raises `SchemaOutdated`."""
    if file is None:
        await _prepare_tables(engine, migrate)
        return
    await asyncio.to_thread(_make_private, file)
    async with _locked(file):
        async with engine.connect() as connection:
            await connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        await _prepare_tables(engine, migrate)


async def _prepare_tables(engine: AsyncEngine, migrate: Migrate) -> None:
    async with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            await connection.execute(text(f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})"))
        await connection.run_sync(_upgrade, migrate)


def _upgrade(connection: Connection, migrate: Migrate) -> None:
    """Within one transaction, so that a revision is there wholly or not at all."""
    config = alembic_config()
    script = ScriptDirectory.from_config(config)
    current = set(MigrationContext.configure(connection).get_current_heads())
    known = {revision.revision for revision in script.walk_revisions()}
    if current - known:
        log.warning("the tables are of a later version of the service: %s", ", ".join(sorted(current - known)))
        return
    if current == set(script.get_heads()):
        return
    if migrate == "never":
        raise SchemaOutdated(f"The tables of the database are not those of this version; run `{COMMAND}`.")
    config.attributes["connection"] = connection
    command.upgrade(config, "heads")
    log.info("tables brought up to date", extra={"fields": {"revision": ", ".join(script.get_heads())}})


def alembic_config() -> Config:
    """Alembic's configuration; there is no file of it."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config


def _make_private(file: Path) -> None:
    """The file, empty and for this user alone; SQLite gives its side files the same mode."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))


@asynccontextmanager
async def _locked(file: Path) -> AsyncIterator[None]:
    """Hold the lock of a file's side file. Switching to WAL does not wait for other processes, so they wait here."""
    descriptor = os.open(file.with_name(f"{file.name}-lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        await asyncio.to_thread(fcntl.flock, descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
