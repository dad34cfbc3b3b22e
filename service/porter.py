"""Who answers callers while no worker can: every one hears a 503 with a Problem, and none holds up another."""

from __future__ import annotations

import ctypes
import selectors
import socket
import struct
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

HEAD_SECONDS = 5.0
"""A caller that has not said what it wants by then is let go."""
LINGER_SECONDS = 5.0
"""So long a body may go on arriving: few clients read the answer before they have sent it, and a reset would eat it."""
MAX_CALLERS = 256
MAX_HEAD_BYTES = 65_536
_READ_BYTES = 262_144
_SO_ATTACH_FILTER = 26
"""Linux's number, which Python does not name."""
_NOTHING = struct.pack("HBBI", 0x06, 0, 0, 0)
"""A packet filter of one instruction: return 0 bytes of each."""


@dataclass(frozen=True)
class Reason:
    """Why callers are turned away: the code of a Problem, and a sentence."""

    code: str
    detail: str


@dataclass(frozen=True)
class Answer:
    """The bytes of a response, and whether the request goes on with a body."""

    content: bytes
    expects_body: bool


Answering = Callable[[bytes, Reason], Answer]
"""Gives the answer to a request that begins with these bytes."""


def plainly(request: bytes, why: Reason) -> Answer:
    """An answer for programs of ours, which look at the status alone."""
    body = why.detail.encode()
    head = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    return Answer(head % len(body) + body, expects_body=not request.startswith((b"GET ", b"HEAD ")))


@dataclass(eq=False)
class _Caller:
    """One connection; `head` is what it said so far, until it was answered."""

    socket: socket.socket
    head: bytes = b""
    answered: bool = False
    until: float = field(default_factory=lambda: time.monotonic() + HEAD_SECONDS)


class Porter:
    """Turns callers away, many at a time, within a selector that others use as well."""

    def __init__(self, listeners: Sequence[socket.socket], why: Reason, answering: Answering = plainly) -> None:
        self._listeners = listeners
        self._why = why
        self._answering = answering
        self._callers: set[_Caller] = set()

    def watch(self, selector: selectors.BaseSelector, *, listens: bool) -> None:
        """Register who has called, and if it `listens` whoever calls next."""
        for caller in self._callers:
            selector.register(caller.socket, selectors.EVENT_READ, lambda caller=caller: self._hear(caller))
        if listens and len(self._callers) < MAX_CALLERS:
            for listener in self._listeners:
                selector.register(listener, selectors.EVENT_READ, lambda listener=listener: self._accept(listener))

    def deadline(self) -> float | None:
        """When the next caller is to be let go, by the steady clock."""
        return min((caller.until for caller in self._callers), default=None)

    def let_go(self) -> None:
        """Close the connections whose time is over."""
        now = time.monotonic()
        for caller in [caller for caller in self._callers if caller.until <= now]:
            self._close(caller)

    def turn_all_away(self, seconds: float) -> None:
        """Answer everybody who waits in the queue, to which nobody comes any more; at most for so long."""
        for listener in self._listeners:
            _take_no_more(listener)
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            with selectors.DefaultSelector() as selector:
                self.watch(selector, listens=True)
                # Nobody to hear of and nothing that came in: the queue is empty.
                ready = selector.select(min(left, LINGER_SECONDS) if self._callers else 0)
                if not ready and not self._callers:
                    return
                for key, _ in ready:
                    key.data()
            self.let_go()

    def forget(self) -> None:
        """In a child: its parent's callers are no affair of it."""
        while self._callers:
            self._callers.pop().socket.close()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):  # somebody else took it, or it has gone
            connection, _ = listener.accept()
            connection.setblocking(False)
            self._callers.add(_Caller(connection))

    def _hear(self, caller: _Caller) -> None:
        try:
            said = caller.socket.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            said = b""
        if not said:
            self._close(caller)
        elif not caller.answered:
            caller.head += said
            if b"\r\n\r\n" in caller.head or len(caller.head) > MAX_HEAD_BYTES:
                self._answer(caller)

    def _answer(self, caller: _Caller) -> None:
        """Answer, and read on where there is a body, so that the connection is not reset under the answer."""
        caller.answered, caller.until = True, time.monotonic() + LINGER_SECONDS
        answer = self._answering(caller.head, self._why)
        caller.head = b""
        try:
            caller.socket.sendall(answer.content)
            caller.socket.shutdown(socket.SHUT_WR)
        except OSError:
            self._close(caller)
        else:
            if not answer.expects_body:
                self._close(caller)

    def _close(self, caller: _Caller) -> None:
        self._callers.discard(caller)
        caller.socket.close()


def _take_no_more(listener: socket.socket) -> None:
    """Let the kernel drop who would come next, where it can: he tries again in a second, and hears that nobody listens.

    Else one who came between the last look at the queue and its end would be cut off without an answer.
    """
    if sys.platform != "linux":
        return
    program = ctypes.create_string_buffer(_NOTHING)
    with suppress(OSError):
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HL", 1, ctypes.addressof(program)))
