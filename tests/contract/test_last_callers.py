"""Whoever calls while a service closes is answered, or hears that nobody listens; nobody is cut off."""

from __future__ import annotations

import errno
import select
import socket
import sys

import pytest

from service.keeper import close


class Closing(socket.socket):
    """A listening socket that somebody calls after the last look at its queue, and before it is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.late = socket.socket()
        self.late.setblocking(False)

    def shutdown(self, how: int) -> None:
        """Close, a moment too late."""
        assert self.late.connect_ex(self.getsockname()) == errno.EINPROGRESS
        super().shutdown(how)


@pytest.mark.skipif(sys.platform != "linux", reason="only there can callers be kept out of a queue that is still read")
def test_a_caller_in_the_last_moment_hears_that_nobody_listens_and_the_one_before_him_is_answered():
    with Closing() as listener, listener.late as late, socket.socket() as early:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.setblocking(False)
        early.connect(listener.getsockname())
        early.sendall(b"GET / HTTP/1.1\r\n\r\n")
        close([listener])
        assert early.recv(1000).startswith(b"HTTP/1.1 503 ")
        select.select([], [late], [])
        assert late.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED
