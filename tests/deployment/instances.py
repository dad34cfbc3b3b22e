"""Light stand-ins for instances of the service and for the UI, where what is in front of them is tested.

Each says who it is and what it was asked, and does as the query asks: `?status=503`, `?seconds=1`. A `Door` is the port
of an instance that takes connections and closes them at once.
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from tests.serving import free_port

FOR_EVER = "public, max-age=31536000, immutable"


@dataclass
class Instance:
    """One stand-in; `asked` holds the paths that it was asked for, but for probes."""

    name: str
    port: int
    asked: list[str] = field(default_factory=list)
    ready: bool = True
    host: str = "127.0.0.1"
    server: uvicorn.Server | None = None
    thread: threading.Thread | None = None

    def start(self) -> Instance:
        """Listen, and return when it does."""
        configuration = uvicorn.Config(
            self._application(), self.host, self.port, log_level="error", timeout_keep_alive=65, lifespan="off"
        )
        self.server = uvicorn.Server(configuration)
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        while not self.server.started:
            assert self.thread.is_alive(), f"port {self.port} is taken"
            time.sleep(0.01)
        return self

    def stop(self) -> None:
        """End, and close every connection."""
        if self.server is not None and self.thread is not None:
            self.server.should_exit = self.server.force_exit = True
            self.thread.join(10)

    def _application(self) -> Starlette:
        routes = [
            Route("/readyz", self._probe),
            Route("/health", self._probe),
            WebSocketRoute("/v1/stream", self._echo),
            Route("/{path:path}", self._answer, methods=["GET", "POST", "DELETE", "PUT"]),
        ]
        return Starlette(routes=routes)

    async def _probe(self, _request: Request) -> Response:
        return Response(status_code=200 if self.ready else 503)

    async def _answer(self, request: Request) -> Response:
        self.asked.append(request.url.path)
        try:
            size = len(await request.body())
        except ClientDisconnect:
            return Response(status_code=499)
        await asyncio.sleep(float(request.query_params.get("seconds", "0")))
        said = {"instance": self.name, "path": request.url.path, "bytes": size, "headers": dict(request.headers)}
        headers = {"X-Request-ID": request.headers.get("x-request-id", ""), "Strict-Transport-Security": "max-age=1"}
        hashed = request.url.path.startswith("/assets/") and "hashed" in request.url.path
        headers["Cache-Control"] = FOR_EVER if hashed else "no-store"
        return JSONResponse(said, int(request.query_params.get("status", "200")), headers)

    async def _echo(self, socket_: WebSocket) -> None:
        await socket_.accept()
        await socket_.send_text(json.dumps({"instance": self.name, "headers": dict(socket_.headers)}))
        async for text in socket_.iter_text():
            await socket_.send_text(text)


@contextmanager
def instances(*names: str) -> Iterator[list[Instance]]:
    """Stand-ins of these names, each at a port of its own."""
    started: list[Instance] = []
    try:
        for name in names:
            started.append(Instance(name, free_port()).start())
        yield started
    finally:
        for one in started:
            one.stop()


class Door:
    """Takes connections at a port and closes them; `knocks` counts them."""

    def __init__(self, port: int) -> None:
        self.knocks = 0
        self._listening = socket.create_server(("127.0.0.1", port))
        self._thread = threading.Thread(target=self._refuse, daemon=True)
        self._thread.start()

    def _refuse(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.knocks += 1
            connection.close()

    def close(self) -> None:
        """Stop listening."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(10)
