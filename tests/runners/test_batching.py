"""Queues before a model: what they gather, refuse and forget."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from service.runners import Failed, ItemRefused, ModelUnavailable, Overloaded, TranscriptUnavailable
from service.runners.batching import Breaker, Collector, Limits


class Model:
    """Doubles numbers when it is let; fails for odd ones if told to, and notes its batches."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None

    async def __call__(self, items: list[int]) -> Sequence[int | Failed]:
        self.batches.append(items)
        await self.gate.wait()
        if self.error:
            raise self.error
        return [Failed(f"{item} is odd") if item % 2 else item * 2 for item in items]


class Notes:
    """Keeps what the collector reports."""

    def __init__(self) -> None:
        self.events: list[tuple[object, ...]] = []

    def queued(self, model: str, depth: int) -> None:
        self.events.append(("queued", model, depth))

    def sent(self, model: str, waited_seconds: Sequence[float]) -> None:
        self.events.append(("sent", model, len(waited_seconds), all(seconds >= 0 for seconds in waited_seconds)))

    def answered(self, model: str, size: int, seconds: float) -> None:
        self.events.append(("answered", model, size, seconds >= 0))

    def failed(self, model: str, size: int, seconds: float) -> None:
        self.events.append(("failed", model, size, seconds >= 0))


async def until_called(model: Model, times: int) -> None:
    while len(model.batches) < times:
        await asyncio.sleep(0)


async def test_what_comes_while_a_batch_is_away_leaves_together() -> None:
    model = Model()
    model.gate.clear()
    collector = Collector("text", model, Limits(max_batch=3))
    first = asyncio.create_task(collector.submit([0]))
    await until_called(model, 1)
    others = [asyncio.create_task(collector.submit([2 * n])) for n in range(1, 6)]
    await asyncio.sleep(0)
    model.gate.set()
    assert await first == [0]
    assert await asyncio.gather(*others) == [[4], [8], [12], [16], [20]]
    assert model.batches == [[0], [2, 4, 6], [8, 10]]


async def test_as_many_batches_are_away_at_once_as_are_allowed() -> None:
    model = Model()
    model.gate.clear()
    collector = Collector("text", model, Limits(max_batch=1, in_flight=2))
    tasks = [asyncio.create_task(collector.submit([n])) for n in (0, 2, 4)]
    await until_called(model, 2)
    await asyncio.sleep(0.01)
    assert model.batches == [[0], [2]]
    model.gate.set()
    assert await asyncio.gather(*tasks) == [[0], [4], [8]]


async def test_one_item_that_fails_fails_its_caller_alone() -> None:
    model = Model()
    collector = Collector("text", model)
    results = await asyncio.gather(*(collector.submit([n]) for n in range(4)), return_exceptions=True)
    assert results[0] == [0]
    assert results[2] == [4]
    assert isinstance(results[1], ItemRefused)
    assert str(results[3]) == "3 is odd"
    assert len(model.batches) == 1


async def test_a_request_of_many_items_is_answered_in_order() -> None:
    model = Model()
    collector = Collector("text", model, Limits(max_batch=7))
    assert await collector.submit(list(range(0, 100, 2))) == list(range(0, 200, 4))
    assert await collector.submit([]) == []


async def test_a_full_queue_refuses_at_once_and_takes_again_when_it_is_empty() -> None:
    model = Model()
    model.gate.clear()
    collector = Collector("text", model, Limits(max_batch=1, queue_limit=2))
    away = asyncio.create_task(collector.submit([0]))
    await until_called(model, 1)
    waiting = [asyncio.create_task(collector.submit([2])) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded) as refusal:
        await collector.submit([4])
    assert refusal.value.retry_after > 0
    model.gate.set()
    await asyncio.gather(away, *waiting)
    assert await collector.submit([4]) == [8]


async def test_places_of_callers_who_left_are_given_to_others() -> None:
    model = Model()
    model.gate.clear()
    collector = Collector("text", model, Limits(max_batch=1, queue_limit=1))
    away = asyncio.create_task(collector.submit([0]))
    await until_called(model, 1)
    leaver = asyncio.create_task(collector.submit([2]))
    await asyncio.sleep(0)
    leaver.cancel()
    await asyncio.sleep(0)
    taker = asyncio.create_task(collector.submit([4]))
    await asyncio.sleep(0)
    model.gate.set()
    assert await asyncio.gather(away, taker) == [[0], [8]]
    assert model.batches == [[0], [4]]


async def test_items_of_a_cancelled_caller_are_never_sent() -> None:
    model = Model()
    model.gate.clear()
    collector = Collector("text", model)
    away = asyncio.create_task(collector.submit([0]))
    await until_called(model, 1)
    leaver = asyncio.create_task(collector.submit([2, 4]))
    stayer = asyncio.create_task(collector.submit([6]))
    await asyncio.sleep(0)
    leaver.cancel()
    model.gate.set()
    assert await asyncio.gather(away, stayer) == [[0], [12]]
    assert leaver.cancelled()
    assert model.batches == [[0], [6]]


async def test_a_model_that_takes_too_long_is_unavailable_and_the_next_batch_goes_on() -> None:
    model = Model()
    model.gate.clear()
    collector = Collector("text", model, Limits(timeout_seconds=0.01))
    with pytest.raises(ModelUnavailable, match="too long"):
        await collector.submit([0])
    model.gate.set()
    assert await collector.submit([2]) == [4]
    assert collector.healthy


async def test_a_batch_may_have_a_time_of_its_own() -> None:
    model = Model()
    model.gate.clear()
    collector = Collector("transcript", model, Limits(timeout_seconds=0.01), timeout_of=lambda items: 60.0 + sum(items))
    slow = asyncio.create_task(collector.submit([0]))
    await asyncio.sleep(0.05)
    assert not slow.done()
    model.gate.set()
    assert await slow == [0]


async def test_after_some_failures_in_a_row_callers_hear_it_at_once() -> None:
    model = Model()
    model.error = ConnectionResetError("gone")
    collector = Collector("text", model, Limits(failures=2, rest_seconds=60))
    for _ in range(2):
        with pytest.raises(ModelUnavailable, match="could not be reached"):
            await collector.submit([0])
    assert not collector.healthy
    with pytest.raises(ModelUnavailable, match="does not answer") as refusal:
        await collector.submit([0])
    assert 0 < refusal.value.retry_after <= 60
    assert len(model.batches) == 2


async def test_what_waits_when_a_model_is_given_a_rest_is_refused_too() -> None:
    model = Model()
    model.gate.clear()
    model.error = ConnectionResetError("gone")
    collector = Collector("text", model, Limits(max_batch=1, failures=1, rest_seconds=60))
    tasks = [asyncio.create_task(collector.submit([0])) for _ in range(3)]
    await until_called(model, 1)
    model.gate.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(result, ModelUnavailable) for result in results)
    assert len({id(result) for result in results}) == 3
    assert len(model.batches) == 1


async def test_a_model_that_is_well_again_is_used_again() -> None:
    model = Model()
    model.error = ConnectionResetError("gone")
    collector = Collector("text", model, Limits(failures=1, rest_seconds=0.0))
    with pytest.raises(ModelUnavailable):
        await collector.submit([0])
    assert not collector.healthy
    model.error = None
    assert await collector.submit([2]) == [4]
    assert collector.healthy


def test_a_breaker_opens_again_if_the_trial_fails() -> None:
    now = [0.0]
    breaker = Breaker(failures=2, rest_seconds=5.0, clock=lambda: now[0])
    breaker.failed()
    assert breaker.rest_seconds == 0
    breaker.failed()
    assert breaker.rest_seconds == 5
    now[0] = 6.0
    assert breaker.rest_seconds == 0
    assert not breaker.closed
    breaker.failed()
    assert breaker.rest_seconds == 5
    breaker.succeeded()
    assert breaker.closed


async def test_a_model_that_says_no_is_well() -> None:
    model = Model()
    model.error = TranscriptUnavailable("No weights.")
    collector = Collector("transcript", model, Limits(failures=1))
    with pytest.raises(TranscriptUnavailable, match="No weights"):
        await collector.submit([0])
    assert collector.healthy


async def test_an_answer_of_another_length_is_no_answer() -> None:
    async def forgetful(items: list[int]) -> list[int]:
        return items[1:]

    with pytest.raises(ModelUnavailable, match="1 answers to 2 items"):
        await Collector("text", forgetful).submit([1, 2])


async def test_closing_refuses_what_waits_and_what_comes() -> None:
    model = Model()
    model.gate.clear()
    collector = Collector("text", model, Limits(max_batch=1))
    tasks = [asyncio.create_task(collector.submit([0])) for _ in range(2)]
    await until_called(model, 1)
    await collector.close()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [str(result) for result in results] == ["The service is shutting down."] * 2
    with pytest.raises(ModelUnavailable):
        await collector.submit([0])


async def test_an_observer_hears_of_every_batch() -> None:
    model, notes = Model(), Notes()
    collector = Collector("text", model, Limits(failures=9), notes)
    await collector.submit([0, 2])
    model.error = ConnectionResetError("gone")
    with pytest.raises(ModelUnavailable):
        await collector.submit([4])
    assert notes.events == [
        ("queued", "text", 2),
        ("queued", "text", 0),
        ("sent", "text", 2, True),
        ("answered", "text", 2, True),
        ("queued", "text", 1),
        ("queued", "text", 0),
        ("sent", "text", 1, True),
        ("failed", "text", 1, True),
    ]


async def test_a_thousand_callers_of_a_queue_all_get_their_own_answer() -> None:
    async def model(items: list[int]) -> list[int]:
        await asyncio.sleep(0)
        return [item * 2 for item in items]

    collector = Collector("text", model, Limits(max_batch=64))

    async def call(n: int) -> None:
        await asyncio.sleep(n % 7 * 0.001)
        assert await collector.submit([n]) == [2 * n]

    await asyncio.gather(*(call(n) for n in range(1000)))
