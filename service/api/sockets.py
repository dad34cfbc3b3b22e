"""A WebSocket from its handshake to its end: who may not open one hears a Problem."""

from __future__ import annotations

import logging
import time
from contextlib import suppress

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from service.access.caller import caller_of
from service.access.credentials import SUBPROTOCOL
from service.access.door import Door
from service.api.problems import ProblemError, problem_of
from service.observability import logs, metrics

REFUSED = 4000
"""Added to the status of a Problem it is the code that closes a WebSocket."""
BROKEN = 1011

log = logging.getLogger(__name__)


class Socket:
    """One WebSocket."""

    def __init__(
        self, endpoint: str, scope: Scope, receive: Receive, send: Send, *, door: Door, request_id: str
    ) -> None:
        offered = scope.get("subprotocols", ())
        self._offered = [name for name in offered if not name.startswith(SUBPROTOCOL)] or list(offered)
        self._endpoint = endpoint
        self._door = door
        self._request_id = request_id
        self._scope = {**scope, "request_id": request_id}
        self._receive = receive
        self._send_message = send
        self._started = time.perf_counter()
        self._status = 0
        self._over = False

    async def run(self, app: ASGIApp) -> None:
        """Let it be opened by whoever may, and by `app`; what is raised before it is open becomes a Problem."""
        try:
            await self._admit()
            with metrics.connections.track_inprogress():
                await app(self._scope, self._receive, self._send)
        except WebSocketDisconnect:
            log.debug("a client left in the middle")
        except Exception as error:
            with suppress(OSError):  # the client may be gone
                await self._fail(problem_of(error), error)
        finally:
            self._account()

    async def _admit(self) -> None:
        self._door.check_page(self._scope)
        if self._door.guarded:
            await self._door.admit(self._scope, self._endpoint)
        self._scope["subprotocols"] = self._offered  # the token among them is nobody else's business

    async def _send(self, message: Message) -> None:
        if message["type"] == "websocket.accept":
            self._status = 101
            if self._offered and not message.get("subprotocol"):
                message["subprotocol"] = self._offered[0]  # browsers close a socket that chose none
        elif message["type"] in ("websocket.http.response.start", "websocket.close"):
            self._status = self._status or message.get("status", 403)
            self._over = True
        await self._send_message(message)

    async def _fail(self, problem: ProblemError, error: Exception) -> None:
        if problem.kind.code == "internal":
            log.error("unforeseen error", exc_info=error, extra={"fields": {"request_id": self._request_id}})
        if self._over:
            return
        if self._status == 101:
            await self._send_message({"type": "websocket.close", "code": BROKEN})
        elif "websocket.http.response" in self._scope.get("extensions", {}):
            problem.headers["X-Request-ID"] = self._request_id
            await problem.response(self._scope["path"], self._request_id)(self._scope, self._receive, self._send)
        else:
            self._status = problem.kind.status
            await self._close(REFUSED + problem.kind.status, problem.detail)

    async def _close(self, code: int, reason: str) -> None:
        await self._receive()
        await self._send_message({"type": "websocket.accept"})  # a close before it would lose the code
        await self._send_message({"type": "websocket.close", "code": code, "reason": reason[:120]})

    def _account(self) -> None:
        self._door.answered(self._scope, self._status)
        fields = {
            "method": "WEBSOCKET",
            "request_id": self._request_id,
            "milliseconds": round(1000 * (time.perf_counter() - self._started), 2),
        }
        logs.accessed(self._endpoint, self._status, caller_of(self._scope).tag, fields)
