"""A model in this process, on threads of its own so that the event loop goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from service.runners import State
from service.runners.loading import Loading


class Embedded:
    """Loads a model when it starts and calls it with `at_once` batches at the same time."""

    def __init__(self, name: str, load: Callable[[], Any], at_once: int = 1, retry_seconds: float = 10.0) -> None:
        self._loading = Loading(name, load, retry_seconds)
        self._threads = ThreadPoolExecutor(max_workers=at_once, thread_name_prefix=f"{name} model")

    @property
    def problem(self) -> str | None:
        """Why there is no model."""
        return self._loading.problem

    async def start(self) -> None:
        """Load the model and infer once; a model that cannot be loaded is tried again later."""
        await self._run(self._loading.begin)

    async def call(self, method: str, items: list[Any]) -> Sequence[Any]:
        """One answer an item. Raises `ModelUnavailable` while there is no model."""
        return await self._run(getattr(self._loading.require(), method), items)

    async def state(self, timeout_seconds: float) -> State:
        """A model that is loaded is healthy."""
        if self._loading.loaded:
            return "healthy"
        return "unhealthy" if self._loading.problem else "starting"

    async def close(self) -> None:
        """Take no more calls; a call that runs is not waited for."""
        self._loading.stop()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)
