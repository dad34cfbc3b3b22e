"""Methods of both clients from the one description of a call: its parameters, its types, its docstring."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from functools import update_wrapper
from typing import Any, Concatenate, TypeVar

from typing_extensions import ParamSpec

from ui.client.calls import Call

P = ParamSpec("P")
T = TypeVar("T")


def asks(build: Callable[P, Call[T]]) -> Callable[Concatenate[Any, P], T]:
    """A method that makes a call and waits for its answer."""

    def method(self: Any, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._line.ask(build(*args, **kwargs))

    return _described(method, build)


def awaits(build: Callable[P, Call[T]]) -> Callable[Concatenate[Any, P], Awaitable[T]]:
    """A method that makes a call and gives its answer to who awaits it."""

    async def method(self: Any, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._line.ask(build(*args, **kwargs))

    return _described(method, build)


def _described(method: Any, build: Callable[..., Any]) -> Any:
    update_wrapper(method, build)
    signature = inspect.signature(build)
    itself = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    method.__signature__ = signature.replace(parameters=[itself, *signature.parameters.values()])
    return method
