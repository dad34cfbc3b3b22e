"""The outermost layer: whatever happens inside, the client gets a Problem, a request id and its headers.

It lies outside BentoML's own middlewares and routes, since those answer errors in shapes of their own.
"""

from __future__ import annotations

import asyncio
import logging
import math
import re
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import cast

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.access.caller import caller_of
from service.access.configured import origins
from service.access.door import Door
from service.access.rates import Budget
from service.api.cors import Cors
from service.api.problems import ProblemError, problem_of, problem_of_status
from service.api.routes import Allowance, Routes, allowance
from service.api.sockets import Socket
from service.lifecycle import Lifecycle
from service.observability import logs, metrics, tracing
from service.settings import Settings

WATCH_AFTER_SECONDS = 0.1
"""A longer request is stopped when its client goes away; for a shorter one, watching costs more than it saves."""

LINGER_SECONDS = 5.0
"""So long a body that was refused half-way may go on arriving; few clients read the answer before they have sent it."""

PROBES = frozenset({"/livez", "/readyz", "/health", "/metrics"})
"""Answered to the end, also while everything else is refused."""

_ALWAYS = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
_NOTHING_RUNS = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
"""On every answer but pages, which have a policy of their own."""
_HTTPS_ONLY = (b"strict-transport-security", b"max-age=31536000")
_OURS = frozenset({b"x-request-id", b"server-timing", *(name for name, _ in _ALWAYS)})

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:\-]{1,128}")
_TOKEN = re.compile(r"[^a-z0-9_]")

log = logging.getLogger(__name__)


class Edge:
    """The ASGI application that the server runs: our routes first, then BentoML's."""

    def __init__(
        self,
        routes: Routes,
        rest: ASGIApp,
        settings: Settings,
        lifecycle: Lifecycle | None = None,
        door: Door | None = None,
    ) -> None:
        self._routes = routes
        self._rest = rest
        self._settings = settings
        self._lifecycle = lifecycle or Lifecycle()
        self._door = door or Door()
        self._allowances: dict[tuple[str, bool], Allowance] = {}
        allowed = origins(settings)
        self._cors = Cors(self._serve, allowed) if allowed else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request or WebSocket, or pass on the lifespan."""
        if scope["type"] == "lifespan":
            await self._rest(scope, receive, send)
            await self._door.close()
            return
        if self._door.behind_proxies:
            self._door.believe(scope)
        await (self._cors or self._serve)(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint, app = self._routes.find(scope)
        if scope["type"] == "websocket":
            socket = Socket(endpoint, scope, receive, send, door=self._door, request_id=request_id_of(scope))
            await socket.run(app or _no_socket)
            return
        exchange = Exchange(
            endpoint,
            scope,
            receive,
            send,
            settings=self._settings,
            allowed=self._allowance(endpoint, scope["method"]),
            lifecycle=self._lifecycle,
            door=self._door,
        )
        preflight = self._cors.preflight(scope) if self._cors else None
        if preflight is not None:
            await exchange.run(preflight, guarded=False)  # browsers send preflights without credentials
        else:
            await (exchange.run(app) if app else exchange.run_foreign(self._rest))

    def _allowance(self, endpoint: str, method: str) -> Allowance:
        """Worked out once for each endpoint."""
        place = endpoint, method == "POST"
        if place not in self._allowances:
            self._allowances[place] = allowance(endpoint, method, self._settings)
        return self._allowances[place]


async def _no_socket(scope: Scope, receive: Receive, send: Send) -> None:
    raise ProblemError("not_found", "No WebSocket has this address; /v1/stream has one.")


class Exchange:
    """One request and its answer."""

    def __init__(
        self,
        endpoint: str,
        scope: Scope,
        receive: Receive,
        send: Send,
        *,
        settings: Settings,
        allowed: Allowance,
        lifecycle: Lifecycle,
        door: Door,
    ) -> None:
        self._endpoint = endpoint
        self._settings = settings
        self._allowed = allowed
        self._lifecycle = lifecycle
        self._door = door
        self._budget: Budget | None = None
        self._task: asyncio.Task[None] | None = None
        self._foreign = False
        self._scope = scope
        self._receive_message = receive
        self._send_message = send
        self._started = time.perf_counter()
        self._request_id = request_id_of(scope)
        self._bytes_in = 0
        self._bytes_out = 0
        self._status = 0
        self._read = False
        self._finished = False
        self._stopped: ProblemError | None = None
        self._replaced: ProblemError | None = None
        self._watcher: asyncio.Task[None] | None = None

    async def run(self, app: ASGIApp, *, guarded: bool = True) -> None:
        """Answer the request by `app`, if its caller may ask; whatever is raised inside becomes a Problem."""
        if not tracing.active() or self._endpoint in PROBES:
            await self._run(app, guarded)
            return
        method = self._scope["method"] if self._scope["method"] in metrics.METHODS else "other"
        facts = {"http.request.method": method, "http.route": self._endpoint, "request.id": self._request_id}
        with tracing.serving(f"{method} {self._endpoint}", self._scope["headers"], **facts) as span:
            await self._run(app, guarded)
            tracing.answered(span, self._status)

    async def _run(self, app: ASGIApp, guarded: bool) -> None:
        self._lifecycle.enter(self)
        try:
            self._check_open()
            self._door.check_page(self._scope)
            if guarded and self._door.guarded:
                self._budget = (await self._door.admit(self._scope, self._endpoint)).budget
            self._check_length()
            await self._answer(app)
        except Exception as error:
            await self._answer_problem(problem_of(error), error)
        finally:
            self._lifecycle.exit(self)
            self._account()

    def stop(self) -> None:
        """Answer now that the service is shutting down; an answer that has begun is cut off."""
        self._stop_with(_shutting_down("The service is shutting down and could not finish this; send it again."))

    async def run_foreign(self, app: ASGIApp) -> None:
        """The same for a framework's application, whose own error answers are replaced by Problems."""
        self._foreign = True
        await self.run(app)

    async def _answer(self, app: ASGIApp) -> None:
        scope = {**self._scope, "request_id": self._request_id}
        if scope["method"] == "HEAD":
            scope["method"] = "GET"  # the server itself leaves out the body of an answer to HEAD
        self._scope = scope
        self._task = cast("asyncio.Task[None]", asyncio.current_task())
        timer = asyncio.get_running_loop().call_later(WATCH_AFTER_SECONDS, self._watch)
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

    def _watch(self) -> None:
        self._watcher = asyncio.create_task(self._stop_in_time())

    async def _stop_in_time(self) -> None:
        """Cancel the work, once, when its client is gone or its time is up; what it holds it gives back on the way."""
        left = asyncio.ensure_future(self._client_left())
        try:
            while not left.done() and (seconds := self._allowed.seconds_after(self._bytes_in) - self._seconds()) > 0:
                await asyncio.wait([left], timeout=None if math.isinf(seconds) else seconds)
        finally:
            left.cancel()
        if left.done() and not left.cancelled():
            left.result()
            self._stop_with(ProblemError("cancelled", "The client went away before the answer was ready."))
        else:
            self._stop_with(self._timed_out())

    def _timed_out(self) -> ProblemError:
        limit = self._allowed.seconds_after(self._bytes_in)
        if limit < self._allowed.seconds:
            detail = f"After {limit:.0f} s only {self._bytes_in:,} bytes had come; send it over a faster connection."
        else:
            detail = f"The request took longer than {limit:g} s; send less at once."
        return ProblemError("timed_out", detail)

    def _stop_with(self, problem: ProblemError) -> None:
        if self._task is not None and self._stopped is None and not self._finished:
            self._stopped = problem
            self._task.cancel()

    def _check_open(self) -> None:
        if self._lifecycle.refuses and self._endpoint not in PROBES:
            raise _shutting_down("The service is shutting down and takes no new requests.")

    async def _client_left(self) -> None:
        while not self._read:  # whoever reads the body hears that the client left
            await asyncio.sleep(WATCH_AFTER_SECONDS)
        while (await self._receive_message())["type"] != "http.disconnect":
            pass

    def _check_length(self) -> None:
        length = Headers(scope=self._scope).get("content-length", "")
        if length.isdigit() and int(length) > self._allowed.body_bytes:
            raise self._too_large()

    def _too_large(self) -> ProblemError:
        megabytes = self._allowed.body_bytes / 1e6
        # What is still on its way will not be read, so the connection cannot be used again.
        return ProblemError("too_large", f"The body is larger than {megabytes:g} MB.", headers={"Connection": "close"})

    async def _receive(self) -> Message:
        message = await self._receive_message()
        if message["type"] == "http.request":
            self._bytes_in += len(message.get("body", b""))
            self._read = not message.get("more_body", False)
            if self._bytes_in > self._allowed.body_bytes:
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
        given = [pair for pair in message.get("headers", ()) if pair[0] not in _OURS]
        message["headers"] = [*given, *_ALWAYS, *self._own_headers(given)]

    def _own_headers(self, given: Sequence[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
        yield b"x-request-id", self._request_id.encode()
        yield b"server-timing", self._server_timing().encode()
        if not any(name == _NOTHING_RUNS[0] for name, _ in given):
            yield _NOTHING_RUNS
        if self._scope.get("scheme") == "https":
            yield _HTTPS_ONLY
        if self._lifecycle.closes_connections and (b"connection", b"close") not in given:
            yield b"connection", b"close"
        if self._budget is not None:
            yield from ((name.lower().encode(), value.encode()) for name, value in self._budget.headers().items())

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
            await response(self._scope, self._receive_message, self._send if self._read else self._send_and_linger)

    async def _send_and_linger(self, message: Message) -> None:
        """Send, but end the answer when the body is over: a socket closed on unread bytes takes the answer along."""
        if message["type"] == "http.response.start":
            await self._send(message)
            return
        await self._send({**message, "more_body": True})
        with suppress(asyncio.TimeoutError, TimeoutError):
            await asyncio.wait_for(self._rest_of_body(), LINGER_SECONDS)
        await self._send({"type": "http.response.body"})

    async def _rest_of_body(self) -> None:
        """Take what still comes, up to as much again as a body may have, and throw it away."""
        left, more = self._settings.max_body_bytes, True
        while more and left > 0:
            message = await self._receive_message()
            left -= len(message.get("body", b""))
            more = message["type"] == "http.request" and message.get("more_body", False)

    def _account(self) -> None:
        seconds = self._seconds()
        metrics.served(self._scope["method"], self._endpoint, self._status, seconds)
        self._door.answered(self._scope, self._status)
        fields = {
            "method": self._scope["method"],
            "request_id": self._request_id,
            "milliseconds": round(1000 * seconds, 2),
            "bytes_in": self._bytes_in,
            "bytes_out": self._bytes_out,
        }
        logs.accessed(self._endpoint, self._status, caller_of(self._scope).tag, fields)


def request_id_of(scope: Scope) -> str:
    """The client's `X-Request-ID` if it is well-formed, else a new one."""
    given = Headers(scope=scope).get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(16)


def _shutting_down(detail: str) -> ProblemError:
    return ProblemError("shutting_down", detail, headers={"Connection": "close"})


def _replacement(message: Message) -> ProblemError:
    """What to say instead of a framework's own error."""
    return problem_of_status(message["status"], dict(Headers(raw=list(message.get("headers", ())))))
