"""A model in a process of its own, reached through the proxy that `bentoml.depends` gives."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import aiohttp

from service.runners import ModelUnavailable, State

CLOSING_RACE_SECONDS = 0.1
"""A runner that leaves closes its idle connections: what is sent into one that closes fails at once, and may be sent
again. What fails later was being worked on when the runner went."""

log = logging.getLogger(__name__)


class Parcel:
    """Values on their way between our own processes.

    BentoML puts every value through pydantic, which turns dataclasses into dictionaries; what it does not know it
    leaves alone and pickles, arrays beside the pickle and not in it.
    """

    __slots__ = ("items", "problem")

    def __init__(self, items: Sequence[Any], problem: str | None = None) -> None:
        self.items = items
        self.problem = problem
        """Why a runner has no answers: its model is not there."""


class Remote:
    """Calls the list methods of a runner service for one of its models."""

    def __init__(self, proxy: Any, model: str) -> None:
        self._client = proxy.to_async
        self._model = model
        self.problem: str | None = None
        """What the runner last said of a model that it cannot load."""

    async def start(self) -> None:
        """The process starts by itself; whoever calls early waits for it."""

    async def call(self, method: str, items: list[Any]) -> Sequence[Any]:
        """One answer an item. Raises `ModelUnavailable` if the runner has no model, and what the connection raises."""
        send = getattr(self._client, f"{method}_parcel")
        answer = await self._sent(send, items)
        if answer.problem is not None:
            raise ModelUnavailable(self._model, answer.problem)
        return answer.items

    async def state(self, timeout_seconds: float) -> State:
        """What the runner says when it is asked."""
        try:
            answer = await asyncio.wait_for(self._client.problems_parcel(Parcel([self._model])), timeout_seconds)
        except Exception as error:  # whatever BentoML's client throws: there is no answer
            log.info("The %s model's process gave no answer: %r", self._model, error)
            self.problem = f"The process of the {self._model} model does not answer."
            return "unhealthy"
        (self.problem,) = answer.items
        return "unhealthy" if self.problem else "healthy"

    async def close(self) -> None:
        """The proxy belongs to the service that depends on it, and is closed by it."""

    async def _sent(self, send: Callable[[Parcel], Awaitable[Parcel]], items: list[Any]) -> Parcel:
        started = time.monotonic()
        try:
            return await send(Parcel(items))
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
            if time.monotonic() - started > CLOSING_RACE_SECONDS:
                raise
            log.info("The connection to a runner was just closed (%r); once more.", error)
            return await send(Parcel(items))
