"""A model in a process of its own, reached through the proxy that `bentoml.depends` gives."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Any

import aiohttp

from service.runners import State

KEEP_ALIVE_RACE_SECONDS = 0.1
"""Runners close a connection that was idle for 5 s, clients keep it for 15: what is sent into the closing one fails at
once and may be sent again. What fails later was being worked on when the runner went."""

log = logging.getLogger(__name__)


class Parcel:
    """Values on their way between our own processes.

    BentoML puts every value through pydantic, which turns dataclasses into dictionaries; what it does not know it
    leaves alone and pickles, arrays beside the pickle and not in it.
    """

    __slots__ = ("items",)

    def __init__(self, items: Sequence[Any]) -> None:
        self.items = items


class Remote:
    """Calls the list methods of a runner service."""

    def __init__(self, proxy: Any) -> None:
        self._client = proxy.to_async

    async def start(self) -> None:
        """The process starts by itself; whoever calls early waits for it."""

    async def call(self, method: str, items: list[Any]) -> Sequence[Any]:
        """One answer an item."""
        send = getattr(self._client, f"{method}_parcel")
        started = time.monotonic()
        try:
            return (await send(Parcel(items))).items
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
            if time.monotonic() - started > KEEP_ALIVE_RACE_SECONDS:
                raise
            log.info("The connection to a runner was just closed (%r); once more.", error)
            return (await send(Parcel(items))).items

    async def state(self, timeout_seconds: float) -> State:
        """What the runner says when it is asked."""
        try:
            ready = await asyncio.wait_for(self._client.is_ready(), timeout_seconds)
        except (asyncio.TimeoutError, TimeoutError, aiohttp.ClientError):
            return "unhealthy"
        return "healthy" if ready else "starting"

    async def close(self) -> None:
        """The proxy belongs to the service that depends on it, and is closed by it."""
