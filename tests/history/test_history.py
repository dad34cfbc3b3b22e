from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import orjson
import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from service.database import Database, DatabaseGone
from service.database.whole import _running as transactions
from service.history.history import FIRST_BATCH_ROWS, History, Wanted
from tests.history.conftest import START, analysis, listed

MINE, YOURS = "key:mine", "key:yours"


async def audit(database: Database) -> list[tuple]:
    async with database.transaction() as session:
        rows = await session.execute(text("SELECT actor, action, subject, affected FROM audit ORDER BY id"))
        return [tuple(row) for row in rows]


async def texts(history: History, wanted: Wanted = Wanted(), owner: str = MINE) -> list[str]:  # noqa: B008  (frozen)
    found = [orjson.loads(stored.analysis) async for stored in history.newest(owner, wanted)]
    return [one["modalities"].get("text", {}).get("text", "") for one in found]


async def test_what_was_stored_comes_back_as_it_was_answered(history):
    kept = analysis(text='NUL \0, "quotes" and 😀')
    await history.save([kept], MINE)
    assert await history.find(kept.id, MINE) == orjson.dumps(kept).decode()


async def test_nobody_sees_or_removes_what_is_anothers(history):
    kept = analysis()
    await history.save([kept], MINE)
    assert await history.find(kept.id, YOURS) is None
    assert await texts(history, owner=YOURS) == []
    assert (await history.remove(kept.id, YOURS, YOURS)).affected == 0
    assert (await history.remove_all(YOURS, YOURS)).affected == 0
    assert await history.find(kept.id, MINE) is not None


async def test_asking_a_history_that_was_never_used_makes_no_file(tmp_path):
    history = History(Database(f"sqlite:///{tmp_path / 'state' / 'sentiment.db'}"))
    assert await history.find("0" * 26, MINE) is None
    assert await texts(history) == []
    assert (await history.remove_all(MINE, MINE)).affected == 0
    assert await history.sweep(START.timestamp()) == 0
    assert list(tmp_path.iterdir()) == []


async def test_several_are_stored_all_or_none(history):
    kept = analysis()
    await history.save([kept], MINE)
    with pytest.raises(IntegrityError):
        await history.save([analysis(), kept], MINE)
    assert len(await texts(history)) == 1


class Halting(Database):
    """A database whose transactions wait in their middle, or with their commit, until they may go on."""

    def __init__(self, url: str, *, commit: bool) -> None:
        super().__init__(url)
        self.reached, self.may_go_on = asyncio.Event(), asyncio.Event()
        self._commit = commit

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        async with super().transaction() as session:
            if self._commit:
                yield session
            self.reached.set()
            await self.may_go_on.wait()
            if not self._commit:
                yield session


async def test_what_was_said_not_to_be_stored_in_time_is_never_stored(database, history):
    kept, halting = analysis(), Halting(database.url.render_as_string(hide_password=False), commit=False)
    with pytest.raises(DatabaseGone):
        await History(halting).save_within(0.01, [kept], MINE)
    halting.may_go_on.set()
    await asyncio.gather(*transactions, return_exceptions=True)
    assert await history.find(kept.id, MINE) is None
    await halting.close()


async def test_what_is_being_committed_when_the_time_is_over_is_stored_and_said_to_be(database, history, monkeypatch):
    kept, halting = analysis(), Halting(database.url.render_as_string(hide_password=False), commit=True)

    async def until_it_commits(_tasks, timeout) -> None:
        await halting.reached.wait()
        asyncio.get_running_loop().call_later(0.1 * timeout, halting.may_go_on.set)

    monkeypatch.setattr(asyncio, "wait", until_it_commits)
    await History(halting).save_within(1.0, [kept], MINE)
    assert halting.may_go_on.is_set()
    assert await history.find(kept.id, MINE) is not None
    await halting.close()


async def test_the_newest_come_first_also_where_many_were_made_at_once(history):
    kept = [analysis(text=f"{number}", minutes=number // 30) for number in range(3 * FIRST_BATCH_ROWS)]
    await history.save(kept, MINE)
    assert await texts(history) == [f"{number}" for number in reversed(range(3 * FIRST_BATCH_ROWS))]


async def test_rows_that_come_and_go_meanwhile_neither_repeat_nor_hide_others(history):
    kept = [analysis(text=f"{number}", minutes=number) for number in range(3 * FIRST_BATCH_ROWS)]
    await history.save(kept, MINE)
    seen = []
    async for stored in history.newest(MINE, Wanted()):
        seen.append(stored.place.id)
        if len(seen) == FIRST_BATCH_ROWS // 2:
            await history.save([analysis(minutes=1000)], MINE)
            await history.remove(stored.place.id, MINE, MINE)
    assert seen == [one.id for one in reversed(kept)]


async def test_going_on_from_a_place_gives_the_rest(history):
    await history.save([analysis(text=f"{number}") for number in range(5)], MINE)
    rows = await listed(history.newest(MINE, Wanted()))
    for number, stored in enumerate(rows):
        assert await listed(history.newest(MINE, Wanted(), after=stored.place)) == rows[number + 1 :]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Wanted(label="negative"), ["bad"]),
        (Wanted(label="abstained"), [""]),
        (Wanted(modality="text"), ["good", "plain", "bad"]),
        (Wanted(modality="face"), []),
        (Wanted(since=START + timedelta(minutes=1)), ["good", "plain", ""]),
        (Wanted(until=START + timedelta(minutes=1)), ["bad"]),
        (Wanted(since=START + timedelta(minutes=1), until=START + timedelta(minutes=3)), ["plain", ""]),
        (Wanted(label="positive", modality="text", since=START), ["good"]),
    ],
)
async def test_filters_choose(history, wanted, found):
    await history.save([analysis("negative", "bad"), analysis(None, minutes=1)], MINE)
    await history.save([analysis("neutral", "plain", 2), analysis("positive", "good", 3)], MINE)
    assert await texts(history, wanted) == found


async def test_each_removal_leaves_a_line_without_what_was_in_it(history, database, caplog):
    caplog.set_level(logging.INFO, "service.history")
    kept = [analysis(text="a secret") for _ in range(3)]
    await history.save(kept, MINE)
    first = await history.remove(kept[0].id, MINE, known_as="k-1")
    rest = await history.remove_all(MINE, known_as="k-1")
    assert (await history.remove(kept[0].id, MINE, known_as="k-1")).audit is None
    assert (first.affected, rest.affected) == (1, 2)
    assert await audit(database) == [
        (MINE, "history.delete", kept[0].id, 1),
        (MINE, "history.delete_all", "all", 2),
    ]
    lines = [record.fields for record in caplog.records if record.message == "audit"]
    assert [(line["actor"], line["action"], line["affected"]) for line in lines] == [
        ("k-1", "history.delete", 1),
        ("k-1", "history.delete_all", 2),
    ]
    assert "secret" not in caplog.text


async def test_many_are_removed_in_portions_with_one_audit_row(history, database, monkeypatch):
    monkeypatch.setattr("service.history.history.PORTION_ROWS", 10)
    await history.save([analysis() for _ in range(25)], MINE)
    await history.save([analysis()], YOURS)
    assert (await history.remove_all(MINE, MINE)).affected == 25
    assert await audit(database) == [(MINE, "history.delete_all", "all", 25)]
    assert (len(await texts(history)), len(await texts(history, owner=YOURS))) == (0, 1)


async def test_a_removed_text_is_nowhere_in_the_files_of_the_database(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'sentiment.db'}")
    history = History(database)
    await history.save([analysis(text=f"a secret {'of some length ' * 500}") for _ in range(20)], MINE)
    assert any(b"a secret" in file.read_bytes() for file in tmp_path.iterdir())
    await history.remove_all(MINE, MINE)
    assert not any(b"secret" in file.read_bytes() for file in tmp_path.iterdir())
    await database.close()


@pytest.mark.postgres
async def test_a_history_whose_database_stops_says_so_and_comes_back(postgres):
    database = Database(postgres.create())
    history = History(database)
    kept = analysis()
    await history.save([kept], MINE)
    postgres.stop()
    try:
        with pytest.raises(DatabaseGone):
            await history.save([analysis()], MINE)
        with pytest.raises(DatabaseGone):
            await history.find(kept.id, MINE)
    finally:
        postgres.start()
    assert await history.find(kept.id, MINE) is not None
    await history.save([analysis()], MINE)
    assert len(await texts(history)) == 2
    await database.close()
