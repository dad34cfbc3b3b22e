"""What a database can fail with, and which of the drivers' errors mean that it is gone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
import sqlalchemy.exc

log = logging.getLogger(__name__)


class DatabaseError(Exception):
    """The root of what a database fails with."""


class DatabaseGone(DatabaseError):
    """It does not answer, is locked, full, or cannot be written. Trying again later may help."""


class SchemaOutdated(DatabaseError):
    """Its tables are older than this version needs, and migrating is left to the operator."""


_GONE = (
    sqlalchemy.exc.DBAPIError,
    sqlalchemy.exc.TimeoutError,
    sqlalchemy.exc.PendingRollbackError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncio.TimeoutError,
    TimeoutError,
    OSError,
)
_OURS = (sqlalchemy.exc.IntegrityError, sqlalchemy.exc.ProgrammingError, sqlalchemy.exc.DataError)
"""Errors in what was asked: a broken promise of the tables, or a mistake in a statement."""


@contextmanager
def told_as_gone() -> Iterator[None]:
    """Turn a driver's word for a database that does not answer into `DatabaseGone`; others pass."""
    try:
        yield
    except _OURS:
        raise
    except _GONE as error:
        log.warning("the database does not answer: %r", error)  # statements are in it, values never
        raise DatabaseGone("The database does not answer.") from error
