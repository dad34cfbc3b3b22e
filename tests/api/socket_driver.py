"""The other end of a WebSocket in this process: what a server would hand to the application, without a server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
from starlette.types import ASGIApp

WAIT_SECONDS = 120.0


class Closed(Exception):
    """The application closed the socket, or refused to open it; `message` is what it sent last."""

    def __init__(self, message: dict[str, Any]) -> None:
        super().__init__(message)
        self.message = message


class Line:
    """One WebSocket as its client sees it. While `slow` is set nothing that is sent to it is taken."""

    def __init__(self, app: ASGIApp, path: str, client: str = "127.0.0.1") -> None:
        self._app = app
        self._scope = {
            "type": "websocket",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": [(b"host", b"test")],
            "subprotocols": [],
            "client": (client, 1),
            "server": ("test", 80),
            "scheme": "ws",
            "root_path": "",
            "extensions": {"websocket.http.response": {}},
        }
        self._to_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._from_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._reads = asyncio.Event()
        self._reads.set()
        self._gone = False
        self.task: asyncio.Task[None] | None = None

    async def open(self) -> dict[str, Any]:
        """Ask for the socket; raises `Closed` if it is refused."""
        self._to_app.put_nowait({"type": "websocket.connect"})
        self.task = asyncio.create_task(self._app(self._scope, self._to_app.get, self._take))  # type: ignore[arg-type]
        message = await self._next()
        if message["type"] != "websocket.accept":
            raise Closed(message)
        return message

    def give(self, *frames: bytes) -> None:
        """Send binary messages so that the application finds them all at once."""
        for data in frames:
            self._to_app.put_nowait({"type": "websocket.receive", "bytes": data})

    async def say(self, **message: Any) -> None:
        """Send a text message."""
        self._to_app.put_nowait({"type": "websocket.receive", "text": orjson.dumps(message).decode()})
        await asyncio.sleep(0)

    async def text(self, text: str) -> None:
        """Send any text."""
        self._to_app.put_nowait({"type": "websocket.receive", "text": text})

    async def frame(self, data: bytes) -> None:
        """Send a binary message, and let the application have a look at it."""
        self.give(data)
        await asyncio.sleep(0)

    async def hear(self) -> dict[str, Any]:
        """The next message. Raises `Closed`."""
        message = await self._next()
        if message["type"] != "websocket.send":
            raise Closed(message)
        return orjson.loads(message["text"])

    async def until(self, kind: str) -> dict[str, Any]:
        """The next message of a type; what comes before is passed over."""
        while (message := await self.hear())["type"] != kind:
            pass
        return message

    async def end(self) -> dict[str, Any]:
        """The close that comes next, whatever is said before."""
        while True:
            try:
                await self.hear()
            except Closed as closed:
                return closed.message

    def leave(self, code: int = 1006) -> None:
        """Be gone, as a client that vanishes is."""
        self._gone = True
        self._reads.set()
        self._to_app.put_nowait({"type": "websocket.disconnect", "code": code})

    def stop_reading(self) -> None:
        """Take nothing more of what is sent."""
        self._reads.clear()

    def waiting(self) -> int:
        """Messages that the application has not looked at."""
        return self._to_app.qsize()

    async def _take(self, message: dict[str, Any]) -> None:
        await self._reads.wait()
        if self._gone:
            raise OSError("gone")
        self._from_app.put_nowait(message)

    async def _next(self) -> dict[str, Any]:
        taken = asyncio.ensure_future(self._from_app.get())
        assert self.task is not None
        await asyncio.wait([taken, self.task], timeout=WAIT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if taken.done():
            return taken.result()
        taken.cancel()
        if self.task.done():
            self.task.result()
        raise AssertionError("the application said nothing more")


@asynccontextmanager
async def line(app: ASGIApp, path: str = "/v1/stream", client: str = "127.0.0.1") -> AsyncIterator[Line]:
    """A socket that is gone in the end."""
    opened = Line(app, path, client)
    try:
        yield opened
    finally:
        if opened.task is not None:
            opened.leave()
            await asyncio.wait([opened.task], timeout=WAIT_SECONDS)
