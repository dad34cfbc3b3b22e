from __future__ import annotations

import pytest
from sqlalchemy import text

from service.clock import ClockMemory, WallClock
from service.history.history import History, Wanted
from service.history.retention import DAY_SECONDS, INTERVAL_SECONDS, Retention
from tests.history.conftest import START, analysis, listed

DAY_MINUTES = 24 * 60


class Clocks:
    """A wall clock that can be set, and one that only goes on."""

    def __init__(self) -> None:
        self.now = START.timestamp()
        self.passed = 0.0

    def wait(self, days: float) -> None:
        self.now += days * DAY_SECONDS
        self.passed += days * DAY_SECONDS


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


def retention(history: History, clocks: Clocks, history_days: float = 30, audit_days: float = 365) -> Retention:
    return Retention(history, history_days, audit_days, WallClock(lambda: clocks.now, lambda: clocks.passed))


async def kept(history: History) -> int:
    return len(await listed(history.newest("a", Wanted()))) + len(await listed(history.newest("b", Wanted())))


async def test_what_is_older_than_it_may_be_goes_whoever_owns_it(history, database, clocks):
    for day in range(10):
        await history.save([analysis(minutes=day * DAY_MINUTES)], "a" if day % 2 else "b")
    sweeper = retention(history, clocks, history_days=30)
    clocks.wait(days=34.5)
    assert await sweeper.sweep() == 5
    assert await sweeper.sweep() == 0
    assert await kept(history) == 5
    async with database.transaction() as session:
        rows = (await session.execute(text("SELECT actor, action, affected FROM audit"))).all()
    assert [tuple(row) for row in rows] == [("retention", "history.expire", 5)]


async def test_zero_days_keep_for_ever(history, clocks):
    await history.save([analysis()], "a")
    sweeper = retention(history, clocks, history_days=0)
    clocks.wait(days=10_000)
    assert await sweeper.sweep() == 0
    assert await kept(history) == 1


async def test_many_are_removed_in_portions_and_none_is_left(history, clocks, monkeypatch):
    monkeypatch.setattr("service.history.history.PORTION_ROWS", 10)
    await history.save([analysis() for _ in range(35)], "a")
    clocks.wait(days=31)
    sweeper = retention(history, clocks)
    assert await sweeper.sweep() == 35
    assert await kept(history) == 0


async def test_a_clock_that_jumps_empties_no_history(history, clocks):
    await history.save([analysis()], "a")
    sweeper = retention(history, clocks)
    clocks.now += 3650 * DAY_SECONDS
    assert await sweeper.sweep() == 0
    clocks.now -= 3650 * DAY_SECONDS
    assert await sweeper.sweep() == 0
    assert await kept(history) == 1


async def test_a_process_that_begins_after_the_clock_jumped_empties_no_history_either(history, clocks, tmp_path):
    def begun() -> Retention:
        memory = ClockMemory(tmp_path / "clock.json", boot="this one")
        return Retention(history, 30, 365, WallClock(lambda: clocks.now, lambda: clocks.passed, memory))

    await history.save([analysis()], "a")
    assert await begun().sweep() == 0
    clocks.now += 40 * DAY_SECONDS
    assert await begun().sweep() == 0, "it is the first to see the jump"
    assert await begun().sweep() == 0, "it was told"
    assert await kept(history) == 1
    clocks.wait(days=0.9 * INTERVAL_SECONDS / DAY_SECONDS)
    assert await begun().sweep() == 1


async def test_a_clock_that_stays_where_it_jumped_is_believed_at_the_next_sweep(history, clocks):
    await history.save([analysis()], "a")
    sweeper = retention(history, clocks)
    clocks.now += 40 * DAY_SECONDS
    assert await sweeper.sweep() == 0
    clocks.wait(days=0.9 * INTERVAL_SECONDS / DAY_SECONDS)
    assert await sweeper.sweep() == 1


async def test_who_removed_what_is_forgotten_in_its_time_too(history, database, clocks):
    await history.save([analysis()], "a")
    await history.remove_all("a", "a")
    sweeper = retention(history, clocks, audit_days=1)
    async with database.transaction() as session:
        await session.execute(text("UPDATE audit SET at = :at"), {"at": round(1000 * START.timestamp())})
    for days, rows in ((0.5, 1), (1, 0)):
        clocks.wait(days)
        await sweeper.sweep()
        async with database.transaction() as session:
            assert (await session.execute(text("SELECT count(*) FROM audit"))).scalar_one() == rows
