from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from limits import parse
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisDown

from service.access.rates import MemoryWindows, Rates, Windows, redis_windows
from service.access.refusals import RateLimited
from tests.redis_running import running_redis
from tests.serving import closed_port


class Clock:
    seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def rates_of(clock: Clock, rate: str | None = "3/minute") -> Rates:
    return Rates(rate, own=Windows(MemoryWindows(clock=clock), clock), clock=clock)


async def refusal(rates: Rates, client: str, rate: str | None = None) -> RateLimited:
    with pytest.raises(RateLimited) as refused:
        await rates.spend(client, rate)
    return refused.value


async def test_a_budget_is_counted_down_then_refused_and_told(clock):
    rates = rates_of(clock)
    left = [await rates.spend("a") for _ in range(3)]
    assert [budget.remaining for budget in left if budget] == [2, 1, 0]
    clock.seconds += 20.5
    refused = await refusal(rates, "a")
    assert refused.retry_after == 40
    assert refused.headers == {
        "RateLimit-Limit": "3",
        "RateLimit-Remaining": "0",
        "RateLimit-Reset": "40",
        "RateLimit-Policy": "3;w=60",
    }


async def test_the_window_moves(clock):
    rates = rates_of(clock)
    for _ in range(3):
        await rates.spend("a")
        clock.seconds += 10
    await refusal(rates, "a")
    clock.seconds += 31  # the first is 61 s old, the second 51
    assert (await rates.spend("a")).remaining == 0
    await refusal(rates, "a")


async def test_clients_do_not_share(clock):
    rates = rates_of(clock)
    for _ in range(3):
        await rates.spend("a")
    assert (await rates.spend("b")).remaining == 2


async def test_a_key_s_own_rate_goes_before_everybody_s(clock):
    rates = rates_of(clock)
    for _ in range(10):
        await rates.spend("a", "10/second")
    await refusal(rates, "a", "10/second")
    assert await rates_of(clock, None).spend("a") is None
    assert (await rates_of(clock, None).spend("a", "5/hour")).window_seconds == 3600


@given(st.lists(st.floats(0, 40), max_size=60))
async def test_no_window_ever_holds_more_than_the_limit(waits):
    clock = Clock()
    windows = Windows(MemoryWindows(clock=clock), clock)
    taken: list[float] = []
    for wait in waits:
        clock.seconds += wait
        allowed, budget = await windows.spend(parse("5/minute"), "a")
        taken += [clock.seconds] if allowed else []
        recent = [at for at in taken if at >= clock.seconds - 60]
        assert len(recent) <= 5
        assert budget.remaining == 5 - len(recent)


async def test_the_memory_of_clients_is_bounded(clock):
    memory = MemoryWindows(max_clients=10, clock=clock)
    windows = Windows(memory, clock)
    for number in range(100):
        await windows.spend(parse("3/minute"), str(number))
    assert len(memory) == 10


async def test_a_refused_request_is_not_counted(clock):
    rates = rates_of(clock)
    for _ in range(3):
        await rates.spend("a")
    for _ in range(20):
        await refusal(rates, "a")
    clock.seconds += 61
    assert (await rates.spend("a")).remaining == 2


class Broken(MemoryWindows):
    """A shared store that is away while `down`."""

    STORAGE_SCHEME = ["async+broken"]  # noqa: RUF012
    down = True
    asked = 0

    async def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        self.asked += 1
        if self.down:
            raise RedisDown("connection refused")
        return await super().acquire_entry(key, limit, expiry, amount)


async def test_while_redis_is_away_each_process_counts_for_itself(clock):
    store = Broken(clock=clock)
    own = Windows(MemoryWindows(clock=clock), clock)
    rates = Rates("3/minute", Windows(store, clock), own, clock)
    for _ in range(3):
        await rates.spend("a")
    await refusal(rates, "a")
    assert store.asked == 1  # the others did not wait for it
    store.down = False
    clock.seconds += 3
    assert (await rates.spend("a")).remaining == 2
    assert (await rates.spend("a")).remaining == 1
    assert store.asked == 3


async def test_a_redis_that_is_not_there_is_asked_once_and_fails_nobody(monkeypatch):
    def connect(*given: Any, **named: Any) -> Any:
        asked.append(given)
        return real(*given, **named)

    asked, real = [], asyncio.open_connection
    monkeypatch.setattr(asyncio, "open_connection", connect)
    with closed_port() as port:
        rates = Rates("3/minute", redis_windows(f"redis://127.0.0.1:{port}/0"), clock=lambda: 1000.0)
        assert [(await rates.spend("a")).remaining for _ in range(3)] == [2, 1, 0]
        await rates.close()
    assert len(asked) == 1


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Redis is waited for: what a slow machine does to it is not asked here."""
    for patience in ("REDIS_SECONDS", "TURN_SECONDS"):
        monkeypatch.setattr(f"service.access.rates.{patience}", 60.0)


@pytest.mark.redis
@pytest.mark.usefixtures("patient")
async def test_a_rush_is_counted_to_the_last_request():
    with running_redis() as redis:
        rates = Rates("100/minute", redis_windows(redis.url), own=Windows(Broken(), time.monotonic))
        answers = await asyncio.gather(*(rates.spend("a") for _ in range(300)), return_exceptions=True)
        refused = [answer for answer in answers if isinstance(answer, RateLimited)]
        assert len(answers) - len(refused) == 100
        assert len(refused) == 200
        await rates.close()


@pytest.mark.redis
@pytest.mark.usefixtures("patient")
async def test_redis_holds_no_name_and_forgets_after_the_window():
    with running_redis() as redis:
        rates = Rates("100/minute", redis_windows(redis.url))
        await rates.spend("key:shop")
        async with Redis.from_url(redis.url) as connection:
            (key,) = await connection.keys("*")
            assert b"shop" not in key
            assert 0 < await connection.pttl(key) <= 60_000
        await rates.close()
