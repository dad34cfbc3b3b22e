"""Calls to a runner whose connection fails; the runner itself stands in here, since a real one closes at random."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from service.runners import ModelUnavailable
from service.runners.remote import CLOSING_RACE_SECONDS, Parcel, Remote


class Runner:
    """Fails as often as it is told to, after some seconds; then doubles."""

    def __init__(self, failures: int, seconds: float = 0.0, problem: str | Exception | None = None) -> None:
        self.failures, self.seconds, self.problem, self.calls = failures, seconds, problem, 0

    async def predict_parcel(self, parcel: Parcel) -> Parcel:
        self.calls += 1
        await asyncio.sleep(self.seconds)
        if self.calls <= self.failures:
            raise aiohttp.ServerDisconnectedError()
        return Parcel([item * 2 for item in parcel.items])

    async def problems_parcel(self, parcel: Parcel) -> Parcel:
        await asyncio.sleep(self.seconds)
        if isinstance(self.problem, Exception):
            raise self.problem
        return Parcel([self.problem for _ in parcel.items])


def remote(runner: Any) -> Remote:
    return Remote(SimpleNamespace(to_async=runner), "text")


@pytest.fixture
def slow_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails at once fails at once, however long a busy machine takes for it."""
    monkeypatch.setattr("service.runners.remote.CLOSING_RACE_SECONDS", 60.0)


@pytest.mark.usefixtures("slow_machine")
async def test_a_connection_that_was_just_closed_is_tried_once_more() -> None:
    runner = Runner(failures=1)
    assert await remote(runner).call("predict", [1, 2]) == [2, 4]
    assert runner.calls == 2


@pytest.mark.usefixtures("slow_machine")
async def test_it_is_not_tried_for_ever() -> None:
    runner = Runner(failures=9)
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await remote(runner).call("predict", [1])
    assert runner.calls == 2


async def test_a_runner_that_goes_while_it_works_is_not_given_the_same_work_again() -> None:
    runner = Runner(failures=1, seconds=2 * CLOSING_RACE_SECONDS)
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await remote(runner).call("predict", [1])
    assert runner.calls == 1


@pytest.mark.parametrize(
    ("runner", "state"),
    [
        (Runner(0), "healthy"),
        (Runner(0, problem="The text model cannot be loaded."), "unhealthy"),
        (Runner(0, seconds=60), "unhealthy"),
        (Runner(0, problem=aiohttp.ServerDisconnectedError()), "unhealthy"),
    ],
)
async def test_a_runner_is_as_well_as_it_says_in_time(runner: Runner, state: str) -> None:
    assert await remote(runner).state(0.5) == state


async def test_a_runner_without_its_model_says_why() -> None:
    class Empty(Runner):
        async def predict_parcel(self, parcel: Parcel) -> Parcel:
            return Parcel([], "The text model cannot be loaded: a file is missing.")

    with pytest.raises(ModelUnavailable, match="a file is missing"):
        await remote(Empty(0)).call("predict", [1])
