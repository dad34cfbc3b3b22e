"""A model in this process, on threads of its own so that the event loop goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from service.runners import State


class Embedded:
    """Loads a model when it starts and calls it with `at_once` batches at the same time."""

    def __init__(self, name: str, load: Callable[[], Any], at_once: int = 1) -> None:
        self._load = load
        self._model: Any = None
        self._threads = ThreadPoolExecutor(max_workers=at_once, thread_name_prefix=f"{name} model")

    async def start(self) -> None:
        """Load the model and infer once."""
        self._model = await self._run(_load_and_warm, self._load)

    async def call(self, method: str, items: list[Any]) -> Sequence[Any]:
        """One answer an item."""
        return await self._run(getattr(self._model, method), items)

    async def state(self, timeout_seconds: float) -> State:
        """A model that is loaded is healthy."""
        return "healthy" if self._model is not None else "starting"

    async def close(self) -> None:
        """Take no more calls; a call that runs is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)


def _load_and_warm(load: Callable[[], Any]) -> Any:
    model = load()
    model.warm()
    return model
