"""The database as the rest of the service sees it: an engine that opens when something is to be kept."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, event, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from service.database.errors import told_as_gone
from service.database.urls import async_url, file_of, file_url
from service.settings import Settings

if TYPE_CHECKING:
    from service.database.migrate import Migrate

FILE_NAME = "sentiment.db"
BUSY_SECONDS = 5.0
"""How long a statement waits for another process that writes to the same SQLite file."""
CONNECT_SECONDS = 5.0
STATEMENT_SECONDS = 30.0
POOL_SIZE = 5
PRAGMAS = (
    f"PRAGMA busy_timeout={round(1000 * BUSY_SECONDS)}",
    "PRAGMA foreign_keys=ON",
    # With WAL, NORMAL would survive a kill, but not a power cut; what was accepted shall survive both.
    "PRAGMA synchronous=FULL",
    # What was removed is overwritten, not only marked as free.
    "PRAGMA secure_delete=ON",
)


class Database:
    """One database. Making the object touches nothing; `open` makes file and tables, and again where they went."""

    def __init__(self, url: str, migrate: Migrate = "auto") -> None:
        """`url` as people write it (`postgresql://…`, `sqlite:///…`). Raises `WrongUrl`."""
        self.url = async_url(url)
        self.file = file_of(self.url)
        """The file of an SQLite database."""
        self.engine = _engine(self.url)
        self.sessions = async_sessionmaker(self.engine, expire_on_commit=False)
        """`async with database.sessions() as session`, once it is open."""
        self._migrate: Migrate = migrate
        self._opening = asyncio.Lock()
        self._opened: object = None
        """What was opened: for a file its identity, so that one which was removed is noticed."""

    @classmethod
    def of(cls, settings: Settings) -> Database:
        """The database that the settings name. Raises `WrongUrl`."""
        if settings.database_url is not None:
            return cls(settings.database_url.get_secret_value(), settings.migrate)
        return cls(file_url(settings.state_folder / FILE_NAME), settings.migrate)

    @property
    def exists(self) -> bool:
        """Whether there can be anything in it: False for an SQLite file that was never made."""
        return self.file is None or self.file.exists()

    async def open(self) -> None:
        """Make the file if it is one, and bring its tables up to date; cheap when that was done.

        Raises `DatabaseGone` and `SchemaOutdated`.
        """
        if self._is_open():
            return
        async with self._opening:
            if not self._is_open():
                await self._open()

    async def ping(self) -> None:
        """Ask the database something. One that does not exist yet is well. Raises what `open` raises."""
        if not self.exists:
            return
        await self.open()
        with told_as_gone():
            async with self.engine.connect() as connection:
                await connection.execute(text("SELECT version_num FROM alembic_version"))

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """A session that is committed at the end, and rolled back by an error. Opens. Raises what `open` raises."""
        await self.open()
        with told_as_gone():
            async with self.sessions.begin() as session:
                yield session

    async def forget(self) -> None:
        """Leave nothing of removed rows in SQLite's log file, unless somebody reads just then: then the next call does.

        PostgreSQL overwrites removed rows in its own time (VACUUM).
        """
        if self.file is not None and self.exists:
            with told_as_gone():
                async with self.engine.connect() as connection:
                    await connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")

    async def close(self) -> None:
        """Close all connections."""
        await self.engine.dispose()
        self._opened = None

    async def _open(self) -> None:
        # Loaded off the event loop and when needed: Alembic takes a third of a second.
        prepare = await asyncio.to_thread(_load_migration)
        with told_as_gone():
            await self.engine.dispose()
            await prepare(self.engine, self.file, self._migrate)
        self._opened = self._identity()

    def _is_open(self) -> bool:
        return self._opened is not None and self._opened == self._identity()

    def _identity(self) -> object:
        if self.file is None:
            return self.url
        with suppress(FileNotFoundError):
            found = os.stat(self.file)
            return found.st_dev, found.st_ino
        return None


def _load_migration() -> Any:
    from service.database.migrate import prepare  # noqa: PLC0415  (see `_open`)

    return prepare


def _engine(url: URL) -> AsyncEngine:
    if url.drivername.startswith("sqlite"):
        return _sqlite(url)
    return create_async_engine(
        url,
        pool_size=POOL_SIZE,
        max_overflow=POOL_SIZE,
        pool_timeout=CONNECT_SECONDS,
        pool_pre_ping=True,
        pool_recycle=1800,
        hide_parameters=True,
        connect_args={
            "timeout": CONNECT_SECONDS,
            "command_timeout": STATEMENT_SECONDS,
            "server_settings": {"application_name": "multimodal-sentiment"},
        },
    )


def _sqlite(url: URL) -> AsyncEngine:
    # IMMEDIATE: a transaction that writes waits for its turn when it begins. One that had read before could not wait
    # (SQLite answers SQLITE_BUSY at once, since what was read may be stale).
    engine = create_async_engine(
        url, hide_parameters=True, connect_args={"timeout": BUSY_SECONDS, "isolation_level": "IMMEDIATE"}
    )
    event.listen(engine.sync_engine, "connect", _set_up)
    return engine


def _set_up(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    for pragma in PRAGMAS:
        cursor.execute(pragma)
    cursor.close()
