"""Which of BentoML's middlewares our services go without, and what runners have instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.datastructures import MutableHeaders

from service.observability import tracing

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from service.lifecycle import Lifecycle

DROPPED = frozenset({"OpenTelemetryMiddleware", "TimeoutMiddleware"})
"""They cost a gateway more than all the rest of a request together, and a runner a third of a call (2.1 ms of processor
time with them, 1.45 without); collectors and the edge have time-outs of their own."""

KEPT = frozenset({"ContextMiddleware"})


class UnexpectedBentoML(RuntimeError):
    """This BentoML wraps its application in other middlewares than the pinned version."""


def drop_middlewares(app: Starlette) -> None:
    """Take `DROPPED` out of BentoML's application. Raises `UnexpectedBentoML` if its middlewares are others."""
    names = [getattr(middleware.cls, "__name__", "") for middleware in app.user_middleware]
    if set(names) != DROPPED | KEPT:
        raise UnexpectedBentoML(f"Expected the middlewares {sorted(DROPPED | KEPT)}, found {names}.")
    app.user_middleware = [
        middleware for middleware, name in zip(app.user_middleware, names, strict=True) if name not in DROPPED
    ]


class Counted:
    """Tells a runner's lifecycle of every call, and ends connections when it wants to leave."""

    def __init__(self, app: ASGIApp, lifecycle: Lifecycle) -> None:
        self._app = app
        self._lifecycle = lifecycle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one call on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start" and self._lifecycle.closes_connections:
                MutableHeaders(scope=message)["connection"] = "close"
            await send(message)

        call = _Call()
        self._lifecycle.enter(call)
        try:
            await self._app(scope, receive, send_on)
        finally:
            self._lifecycle.exit(call)


class Traced:
    """Tells the collector of every call, in the trace of the gateway that made it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one call on."""
        if scope["type"] != "http" or not tracing.continues(scope["headers"]):
            await self._app(scope, receive, send)
            return
        with tracing.serving(scope["path"].strip("/"), scope["headers"]):
            await self._app(scope, receive, send)


class _Call:
    """A call of a gateway, which is waited for."""

    def stop(self) -> None:
        """The gateway gives up by itself, and its connection with it."""
