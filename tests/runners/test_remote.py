"""Calls to a runner whose connection fails; the runner itself stands in here, since a real one closes at random."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from service.runners.remote import KEEP_ALIVE_RACE_SECONDS, Parcel, Remote


class Runner:
    """Fails as often as it is told to, after some seconds; then doubles."""

    def __init__(self, failures: int, seconds: float = 0.0, ready: bool | Exception = True) -> None:
        self.failures, self.seconds, self.ready, self.calls = failures, seconds, ready, 0

    async def predict_parcel(self, parcel: Parcel) -> Parcel:
        self.calls += 1
        await asyncio.sleep(self.seconds)
        if self.calls <= self.failures:
            raise aiohttp.ServerDisconnectedError()
        return Parcel([item * 2 for item in parcel.items])

    async def is_ready(self) -> bool:
        await asyncio.sleep(self.seconds)
        if isinstance(self.ready, Exception):
            raise self.ready
        return self.ready


def remote(runner: Any) -> Remote:
    return Remote(SimpleNamespace(to_async=runner))


async def test_a_connection_that_was_just_closed_is_tried_once_more() -> None:
    runner = Runner(failures=1)
    assert await remote(runner).call("predict", [1, 2]) == [2, 4]
    assert runner.calls == 2


async def test_it_is_not_tried_for_ever() -> None:
    runner = Runner(failures=9)
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await remote(runner).call("predict", [1])
    assert runner.calls == 2


async def test_a_runner_that_goes_while_it_works_is_not_given_the_same_work_again() -> None:
    runner = Runner(failures=1, seconds=2 * KEEP_ALIVE_RACE_SECONDS)
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await remote(runner).call("predict", [1])
    assert runner.calls == 1


@pytest.mark.parametrize(
    ("runner", "state"),
    [
        (Runner(0), "healthy"),
        (Runner(0, ready=False), "starting"),
        (Runner(0, seconds=60), "unhealthy"),
        (Runner(0, ready=aiohttp.ServerDisconnectedError()), "unhealthy"),
    ],
)
async def test_a_runner_is_as_well_as_it_says_in_time(runner: Runner, state: str) -> None:
    assert await remote(runner).state(0.05) == state
