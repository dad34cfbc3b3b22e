"""Database work that ends even when its caller no longer waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, TypeVar

from typing_extensions import ParamSpec

P = ParamSpec("P")
T = TypeVar("T")

_running: set[asyncio.Future[Any]] = set()


def whole(method: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
    """Let a transaction end that its caller no longer waits for.

    Cancelled within a transaction, aiosqlite may leave the connection behind, and with it the lock of the file.
    """

    @wraps(method)
    async def run(*given: P.args, **named: P.kwargs) -> T:
        task = asyncio.ensure_future(method(*given, **named))
        _running.add(task)
        task.add_done_callback(_running.discard)
        return await asyncio.shield(task)

    return run
