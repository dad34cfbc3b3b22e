"""The tables as the code declares them, against those that the revisions make."""

from __future__ import annotations

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

import service.history.tables
import service.jobs.tables  # noqa: F401  (both declare tables)
from service.database import Database
from service.database.migrate import alembic_config
from service.database.tables import Base


def differences(connection) -> list:
    return compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), Base.metadata)


async def test_the_revisions_make_the_tables_that_the_code_declares(database_url):
    database = Database(database_url)
    await database.open()
    async with database.engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    await database.close()


def test_the_revisions_are_one_line():
    script = ScriptDirectory.from_config(alembic_config())
    assert len(script.get_heads()) == 1
    assert len(script.get_bases()) == 1
