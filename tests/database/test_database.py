from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from service.database import Database, DatabaseGone, SchemaOutdated
from service.database.urls import WrongUrl, async_url
from service.settings import Settings

NOTE = text("INSERT INTO audit (at, actor, action, subject, affected) VALUES (:at, 'a', 'b', 'c', 1)")
COUNT = text("SELECT count(*) FROM audit")


@pytest.fixture
async def database(database_url):
    opened = Database(database_url)
    yield opened
    await opened.close()


async def count(database: Database) -> int:
    async with database.transaction() as session:
        return (await session.execute(COUNT)).scalar_one()


async def test_a_database_that_nobody_uses_leaves_no_trace(tmp_path):
    settings = Settings(state_folder=tmp_path / "state", database_url=None)
    database = Database.of(settings)
    await database.ping()
    assert not database.exists
    assert list(tmp_path.iterdir()) == []


async def test_its_file_is_for_its_user_alone(tmp_path):
    database = Database.of(Settings(state_folder=tmp_path / "new" / "state", database_url=None))
    assert await count(database) == 0
    files = list((tmp_path / "new" / "state").iterdir())
    assert {file.name for file in files} >= {"sentiment.db"}
    assert [oct(file.stat().st_mode & 0o077) for file in (tmp_path / "new" / "state", *files)] == ["0o0"] * (
        1 + len(files)
    )
    await database.close()


async def test_what_was_written_is_there_for_the_next_process(database, database_url):
    async with database.transaction() as session:
        await session.execute(NOTE, {"at": 1})
    other = Database(database_url)
    assert await count(other) == 1
    await other.close()


async def test_an_error_takes_everything_of_its_transaction_back(database):
    with pytest.raises(RuntimeError):
        async with database.transaction() as session:
            await session.execute(NOTE, {"at": 1})
            raise RuntimeError
    assert await count(database) == 0


async def test_many_tasks_write_at_once(database):
    async def write(at: int) -> None:
        async with database.transaction() as session:
            await session.execute(COUNT)  # who has read before still waits for its turn to write
            await session.execute(NOTE, {"at": at})

    await asyncio.gather(*(write(at) for at in range(40)))
    assert await count(database) == 40


async def test_a_broken_promise_of_the_tables_is_not_taken_for_a_database_that_is_gone(database):
    with pytest.raises(IntegrityError):
        async with database.transaction() as session:
            await session.execute(text("INSERT INTO audit (at) VALUES (1)"))


def test_processes_that_begin_at_once_do_not_get_in_each_others_way(database_url):
    program = (
        "import asyncio, sys\n"
        "from service.database import Database\n"
        "async def main():\n"
        "    database = Database(sys.argv[1])\n"
        "    await database.open()\n"
        "    await database.ping()\n"
        "    await database.close()\n"
        "asyncio.run(main())\n"
    )
    started = [
        subprocess.Popen((sys.executable, "-c", program, database_url), stderr=subprocess.PIPE) for _ in range(4)
    ]
    complaints = [process.communicate()[1] for process in started]
    assert [process.returncode for process in started] == [0] * 4, complaints


async def test_a_file_that_was_removed_is_made_again(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'sentiment.db'}")
    async with database.transaction() as session:
        await session.execute(NOTE, {"at": 1})
    for file in tmp_path.iterdir():
        file.unlink()
    async with database.transaction() as session:
        await session.execute(NOTE, {"at": 2})
    await database.close()
    assert await count(Database(f"sqlite:///{tmp_path / 'sentiment.db'}")) == 1


async def test_a_file_that_is_no_database_is_told_as_gone(tmp_path):
    (tmp_path / "sentiment.db").write_bytes(b"no database" * 1000)
    database = Database(f"sqlite:///{tmp_path / 'sentiment.db'}")
    with pytest.raises(DatabaseGone):
        await database.ping()
    (tmp_path / "sentiment.db").unlink()
    await database.open()
    await database.ping()
    await database.close()


async def test_a_folder_that_cannot_be_made_is_told_as_gone(tmp_path):
    (tmp_path / "state").write_text("a file is in the way")
    database = Database.of(Settings(state_folder=tmp_path / "state", database_url=None))
    with pytest.raises(DatabaseGone):
        await database.open()


@pytest.mark.postgres
async def test_a_postgresql_that_stops_is_told_as_gone_and_heals_by_itself(postgres):
    database = Database(postgres.create())
    await database.ping()
    postgres.stop()
    try:
        with pytest.raises(DatabaseGone):
            await database.ping()
        with pytest.raises(DatabaseGone):
            await count(database)
    finally:
        postgres.start()
    await database.ping()
    assert await count(database) == 0
    await database.close()


@pytest.mark.postgres
async def test_a_database_that_was_not_there_at_first_is_opened_when_it_is(postgres):
    url = postgres.create()
    postgres.stop()
    database = Database(url)
    try:
        with pytest.raises(DatabaseGone):
            await database.open()
    finally:
        postgres.start()
    assert await count(database) == 0
    await database.close()


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("postgres://u:p@h/d", "postgresql+asyncpg://u:***@h/d"),
        ("postgresql://h:5433/d", "postgresql+asyncpg://h:5433/d"),
        ("postgresql://h/d?sslmode=require", "postgresql+asyncpg://h/d?ssl=require"),
        ("sqlite:////var/lib/x.db", "sqlite+aiosqlite:////var/lib/x.db"),
    ],
)
def test_urls_are_taken_as_people_write_them(written, read):
    assert str(async_url(written)) == read


@pytest.mark.parametrize("written", ["mysql://u:geheim@h/d", "geheim", "", "postgresql+psycopg2://u:geheim@h/d"])
def test_a_url_that_is_not_supported_is_refused_without_repeating_its_password(written):
    with pytest.raises(WrongUrl) as refused:
        async_url(written)
    assert "geheim" not in str(refused.value)


async def test_migrating_can_be_left_to_the_operator(database_url):
    careful = Database(database_url, migrate="never")
    with pytest.raises(SchemaOutdated, match=r"python -m service\.database upgrade"):
        await careful.open()
    await Database(database_url).open()
    await careful.open()
    assert await count(careful) == 0
    await careful.close()


async def test_tables_of_a_later_version_are_left_as_they_are(database, database_url, caplog):
    async with database.transaction() as session:
        await session.execute(text("UPDATE alembic_version SET version_num = 'later'"))
    earlier = Database(database_url)
    assert await count(earlier) == 0
    await earlier.close()
    assert "later version" in caplog.text


async def test_the_log_says_what_is_wrong_but_nothing_of_what_was_to_be_written(tmp_path, caplog):
    database = Database(f"sqlite:///{tmp_path / 'sentiment.db'}")
    await database.open()
    with sqlite3.connect(tmp_path / "sentiment.db", isolation_level=None) as other:
        other.execute("DROP TABLE audit")
        other.execute("CREATE TABLE audit (at, actor, action, subject, affected)")
        other.execute("CREATE TRIGGER no BEFORE INSERT ON audit BEGIN SELECT * FROM nowhere; END")
    with pytest.raises(DatabaseGone):
        async with database.transaction() as session:
            await session.execute(
                text("INSERT INTO audit (at, actor) VALUES (1, :actor)"), {"actor": "somebody's secret"}
            )
    assert "nowhere" in caplog.text
    assert "secret" not in caplog.text
    await database.close()
