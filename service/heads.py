"""The head of a request must come in time and be no larger than heads are, and so must the trailers of a body.

Trailers are thrown away: no route reads them, and among the headers they would say who comes (RFC 9110, 6.5.1).
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
    """Uvicorn's connection, which knows since when it waits for the rest of a head or of trailers."""

    waiting_since: float | None = None
    """By the loop's clock; None while a request is answered, and while an idle connection is kept."""
    began = False
    """Whether something of the head has come."""
    head_bytes = 0
    """Of a head or trailers, without the bytes that came together with their beginning."""
    unread_since: float | None = None
    """Since when the body of a request that was answered already has been seen to come."""
    _in_trailers = False
    """Whether what is called a header now comes after the head: it must not act as one, say whom to believe."""
    _began_now = False
    """Whether what is waited for began within the bytes that came last; before it they may hold the end of a body."""
    _after_size = False
    """Whether a chunk's size has come and nothing of the chunk: bytes after the size of the last are trailers."""

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
        self._in_trailers = False
        self.began, self._began_now, self.head_bytes = True, True, 0
        if self.waiting_since is None:
            self.waiting_since = self.loop.time()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; or a trailer, which uvicorn would add to those of a head that nobody has looked at yet."""
        if not self._in_trailers:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The last byte of it."""
        self.waiting_since, self.began, self._in_trailers = None, False, True
        super().on_headers_complete()

    def on_chunk_header(self) -> None:
        """The size of a chunk, which is the last one if no byte of it follows."""
        self._after_size, self._began_now, self.head_bytes = True, True, 0

    def on_body(self, body: bytes) -> None:
        """Bytes of a body, or of a chunk of it."""
        self._after_size = False
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The end of a request; uvicorn leaves one that was answered before as if more were to come."""
        self.waiting_since, self._after_size = None, False
        super().on_message_complete()
        if self.cycle is not None and self.cycle.response_complete:
            self.cycle.more_body, self.unread_since = False, None

    def on_response_complete(self) -> None:
        """An answer is over; what came of the next head meanwhile may have been held up by it."""
        super().on_response_complete()
        if self.waiting_since is not None:
            self.waiting_since = self.loop.time()
            self._check_size()

    def data_received(self, data: bytes) -> None:
        """Bytes; of a head or trailers that are still not complete after them, they are counted."""
        super().data_received(data)
        if self.waiting_since is not None or self._after_size:
            self._count(len(data))

    def look(self, now: float, head_seconds: float, body_seconds: float) -> None:
        """Close the connection if its head takes too long; who has not begun to speak is told nothing."""
        if self.waiting_since is None:
            self._look_between(now, body_seconds)
        elif now - self.waiting_since > head_seconds and not self._owes_answer():
            self._turn_away("timed_out", f"The headers took longer than {head_seconds:g} s; send them at once.")

    def _look_between(self, now: float, body_seconds: float) -> None:
        """After an answer bytes came, which ended uvicorn's watch, and were no head: a refused body, or empty lines."""
        if self.cycle is None or not self.cycle.response_complete or self.timeout_keep_alive_task is not None:
            return
        if not self.cycle.more_body:
            self.waiting_since, self.head_bytes = now, 0
        elif self.unread_since is None:
            self.unread_since = now
        elif now - self.unread_since > body_seconds:
            self.transport.close()

    def _count(self, count: int) -> None:
        if self._began_now:
            self._began_now = False
            return
        if self.waiting_since is None:
            self.waiting_since = self.loop.time()
        self.head_bytes += count
        self._check_size()

    def _check_size(self) -> None:
        if self.head_bytes <= MAX_HEAD_BYTES or self.transport.is_closing():
            return
        if self._owes_answer():
            self.flow.pause_reading()
        else:
            self._turn_away("too_large", f"The headers of a request have at most {MAX_HEAD_BYTES // 1024} kB.")

    def _owes_answer(self) -> bool:
        """Whether the head is that of a next request, before which an answer is still on its way."""
        return self.began and self.cycle is not None and not self.cycle.response_complete

    def _turn_away(self, code: str, detail: str) -> None:
        """Close, and say why to who has begun a head; trailers belong to a request that has its own answer."""
        if self.transport.is_closing():
            return
        if self.began:
            self.transport.write(self._answering(b"", Reason(code, detail)).content)
        self.transport.close()


def look_at(connections: Iterable[Any], now: float, head_seconds: float, body_seconds: float) -> None:
    """Look at all connections of a server; WebSockets among them have had their head.

    `body_seconds` is for how long a body may still come whose request was refused.
    """
    for connection in tuple(connections):
        if isinstance(connection, TimelyHeads):
            connection.look(now, head_seconds, body_seconds)


def any_unheard(connections: Iterable[Any]) -> bool:
    """Whether a connection is still to come with its first request."""
    return any(isinstance(connection, TimelyHeads) and connection.cycle is None for connection in tuple(connections))
