"""The outermost layer: whatever happens inside, the client gets a Problem, a request id and its headers.

It lies outside BentoML's own middlewares and routes, since those answer errors in shapes of their own.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import cast

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.problems import ProblemError, problem_of, problem_of_status
from service.api.routes import Routes
from service.observability import logs, metrics
from service.settings import Settings

WATCH_AFTER_SECONDS = 0.1
"""A longer request is stopped when its client goes away; for a shorter one, watching costs more than it saves."""

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:\-]{1,128}")
_TOKEN = re.compile(r"[^a-z0-9_]")

log = logging.getLogger(__name__)


class Edge:
    """The ASGI application that the server runs: our routes first, then BentoML's."""

    def __init__(self, routes: Routes, rest: ASGIApp, settings: Settings) -> None:
        self._routes = routes
        self._rest = rest
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass on a WebSocket or the lifespan."""
        if scope["type"] == "http":
            endpoint, app = self._routes.find(scope)
            exchange = Exchange(endpoint, self._settings, scope, receive, send)
            await (exchange.run(app) if app else exchange.run_foreign(self._rest))
        elif scope["type"] == "websocket":
            _, app = self._routes.find(scope)
            with metrics.connections.track_inprogress():
                await (app or self._rest)(scope, receive, send)
        else:
            await self._rest(scope, receive, send)


class Exchange:
    """One request and its answer."""

    def __init__(self, endpoint: str, settings: Settings, scope: Scope, receive: Receive, send: Send) -> None:
        self._endpoint = endpoint
        self._settings = settings
        self._foreign = False
        self._scope = scope
        self._receive_message = receive
        self._send_message = send
        self._started = time.perf_counter()
        self._request_id = _request_id(scope)
        self._bytes_in = 0
        self._bytes_out = 0
        self._status = 0
        self._read = False
        self._finished = False
        self._stopped: ProblemError | None = None
        self._replaced: ProblemError | None = None
        self._watcher: asyncio.Task[None] | None = None

    async def run(self, app: ASGIApp) -> None:
        """Answer the request by `app`; whatever is raised inside becomes a Problem."""
        try:
            self._check_length()
            await self._answer(app)
        except Exception as error:
            await self._answer_problem(problem_of(error), error)
        finally:
            self._account()

    async def run_foreign(self, app: ASGIApp) -> None:
        """The same for a framework's application, whose own error answers are replaced by Problems."""
        self._foreign = True
        await self.run(app)

    async def _answer(self, app: ASGIApp) -> None:
        scope = {**self._scope, "request_id": self._request_id}
        if scope["method"] == "HEAD":
            scope["method"] = "GET"  # the server itself leaves out the body of an answer to HEAD
        self._scope = scope
        task = cast("asyncio.Task[None]", asyncio.current_task())
        timer = asyncio.get_running_loop().call_later(WATCH_AFTER_SECONDS, self._watch, task)
        try:
            await app(scope, self._receive, self._send)
        except asyncio.CancelledError:
            if self._stopped is None:
                raise
            raise self._stopped from None
        finally:
            timer.cancel()
            if self._watcher is not None:
                self._watcher.cancel()
        if self._replaced is not None:
            raise self._replaced

    def _watch(self, task: asyncio.Task[None]) -> None:
        self._watcher = asyncio.create_task(self._stop_in_time(task))

    async def _stop_in_time(self, task: asyncio.Task[None]) -> None:
        """Cancel the work, once, when its client is gone or its time is up; what it holds it gives back on the way."""
        limit = self._settings.request_timeout_seconds
        try:
            await asyncio.wait_for(self._client_left(), max(limit - WATCH_AFTER_SECONDS, 0))
            problem = ProblemError("cancelled", "The client went away before the answer was ready.")
        except (asyncio.TimeoutError, TimeoutError):
            problem = ProblemError("timed_out", f"The request took longer than {limit:g} s; send less at once.")
        if not self._finished:
            self._stopped = problem
            task.cancel()

    async def _client_left(self) -> None:
        while not self._read:  # whoever reads the body hears that the client left
            await asyncio.sleep(WATCH_AFTER_SECONDS)
        while (await self._receive_message())["type"] != "http.disconnect":
            pass

    def _check_length(self) -> None:
        length = Headers(scope=self._scope).get("content-length", "")
        if length.isdigit() and int(length) > self._settings.max_body_bytes:
            raise self._too_large()

    def _too_large(self) -> ProblemError:
        megabytes = self._settings.max_body_bytes / 1e6
        # What is still on its way will not be read, so the connection cannot be used again.
        return ProblemError("too_large", f"The body is larger than {megabytes:g} MB.", headers={"Connection": "close"})

    async def _receive(self) -> Message:
        message = await self._receive_message()
        if message["type"] == "http.request":
            self._bytes_in += len(message.get("body", b""))
            self._read = not message.get("more_body", False)
            if self._bytes_in > self._settings.max_body_bytes:
                raise self._too_large()
        return message

    async def _send(self, message: Message) -> None:
        if self._replaced is not None:
            return
        if message["type"] == "http.response.start":
            if self._foreign and message["status"] >= 400:
                self._replaced = _replacement(message)
                return
            self._start(message)
        else:
            self._bytes_out += len(message.get("body", b""))
            self._finished = not message.get("more_body", False)
        await self._send_message(message)

    def _start(self, message: Message) -> None:
        self._status = message["status"]
        headers = MutableHeaders(raw=list(message.get("headers", ())))
        headers["x-request-id"] = self._request_id
        headers["cache-control"] = "no-store"
        headers["x-content-type-options"] = "nosniff"
        headers["server-timing"] = self._server_timing()
        message["headers"] = headers.raw

    def _server_timing(self) -> str:
        steps: Mapping[str, float] = self._scope.get("timings") or {}
        parts = [f"{_TOKEN.sub('_', name)};dur={1000 * took:.2f}" for name, took in steps.items() if name != "total"]
        return ", ".join([*parts, f"total;dur={1000 * self._seconds():.2f}"])

    def _seconds(self) -> float:
        return time.perf_counter() - self._started

    async def _answer_problem(self, problem: ProblemError, error: Exception) -> None:
        if problem.kind.code == "internal":
            log.error("unforeseen error", exc_info=error, extra={"fields": {"request_id": self._request_id}})
        if self._status:  # the answer has begun: cutting it off is all that can still be said
            raise error
        self._replaced, self._foreign = None, False
        response = problem.response(self._scope["path"], self._request_id)
        with suppress(OSError):  # the client may be gone
            await response(self._scope, self._receive_message, self._send)

    def _account(self) -> None:
        seconds = self._seconds()
        metrics.served(self._scope["method"], self._endpoint, self._status, seconds)
        fields = {
            "method": self._scope["method"],
            "request_id": self._request_id,
            "milliseconds": round(1000 * seconds, 2),
            "bytes_in": self._bytes_in,
            "bytes_out": self._bytes_out,
        }
        logs.accessed(self._endpoint, self._status, fields)


def _request_id(scope: Scope) -> str:
    """The client's `X-Request-ID` if it is well-formed, else a new one."""
    given = Headers(scope=scope).get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(16)


def _replacement(message: Message) -> ProblemError:
    """What to say instead of a framework's own error."""
    return problem_of_status(message["status"], dict(Headers(raw=list(message.get("headers", ())))))
