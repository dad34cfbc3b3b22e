"""The head of a request must come in time, and be no larger than heads are.

Uvicorn waits for one as long as it takes, and keeps what it gets: a client that drips its headers, or never ends them,
would hold a connection, and memory. Looking once a second at those whose head is not complete costs requests nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.porter import MAX_HEAD_BYTES, Answering, Reason, plainly


class TimelyHeads(HttpToolsProtocol):
    """Uvicorn's connection, which knows since when it waits for the rest of a head."""

    waiting_since: float | None = None
    """By the loop's clock; None while a request is answered, and while an idle connection is kept."""
    began = False
    """Whether something of the head has come."""
    head_bytes = 0

    def __init__(self, *arguments: Any, answering: Answering = plainly, **more: Any) -> None:
        """What uvicorn gives its connections, and what makes an answer to those that are turned away."""
        super().__init__(*arguments, **more)
        self._answering = answering

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A new connection has a request to come with."""
        super().connection_made(transport)
        self.waiting_since = self.loop.time()

    def on_message_begin(self) -> None:
        """The first byte of a head."""
        super().on_message_begin()
        self.began, self.head_bytes = True, 0
        if self.waiting_since is None:
            self.waiting_since = self.loop.time()

    def on_headers_complete(self) -> None:
        """The last byte of it."""
        self.waiting_since, self.began = None, False
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Bytes; of a head that is still not complete after them, they are counted."""
        super().data_received(data)
        if self.waiting_since is not None:
            self.head_bytes += len(data)
            if self.head_bytes > MAX_HEAD_BYTES:
                self._turn_away("too_large", f"The headers of a request have at most {MAX_HEAD_BYTES // 1024} kB.")

    def look(self, now: float, limit_seconds: float) -> None:
        """Close the connection if its head takes too long; who has not begun to speak is told nothing."""
        if self.waiting_since is None:
            if self._is_idle_unwatched():
                self.waiting_since = now
        elif now - self.waiting_since > limit_seconds:
            if self.began:
                self._turn_away("timed_out", f"The headers took longer than {limit_seconds:g} s; send them at once.")
            elif not self.transport.is_closing():
                self.transport.close()

    def _is_idle_unwatched(self) -> bool:
        """Between two requests bytes came, which ended uvicorn's watch, and were no head: empty lines."""
        return self.cycle is not None and self.cycle.response_complete and self.timeout_keep_alive_task is None

    def _turn_away(self, code: str, detail: str) -> None:
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete:  # else an answer before it is still on its way
            self.transport.write(self._answering(b"", Reason(code, detail)).content)
        self.transport.close()


def look_at(connections: Iterable[Any], now: float, limit_seconds: float) -> None:
    """Look at all connections of a server; WebSockets among them have had their head."""
    for connection in tuple(connections):
        if isinstance(connection, TimelyHeads):
            connection.look(now, limit_seconds)
