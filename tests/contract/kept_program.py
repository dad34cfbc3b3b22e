"""A program under a keeper: each worker answers its pid to one caller after another, and obeys one-word orders."""

from __future__ import annotations

import os
import selectors
import signal
import socket
import sys

from service.keeper import LEAVE, Keeper, Line, close


def work(line: Line) -> None:
    """Answer until told to leave; `fail` in the environment names a kind of birth that never gets ready."""
    if os.environ.get("FAIL") == line.birth:
        raise SystemExit(3)
    stops: list[int] = []
    signal.signal(signal.SIGTERM, lambda *_: stops.append(1))
    line.say_ready()
    with selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        selector.register(line.socket, selectors.EVENT_READ)
        while not stops:
            for key, _ in selector.select(0.05):
                if key.fileobj is line.socket:
                    if line.socket.recv(1) in (LEAVE, b""):
                        return
                else:
                    _answer(line)


def _answer(line: Line) -> None:
    try:
        caller, _ = listener.accept()
    except BlockingIOError:
        return
    with caller:
        order = caller.recv(10)
        if order in (b"replace", b"freeze"):
            line.ask_for_successor()
        caller.sendall(f"{os.getpid()} {line.birth}".encode())
    if order == b"crash":
        os._exit(7)
    if order == b"freeze":
        os.kill(os.getpid(), signal.SIGSTOP)


listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
listener.setblocking(False)
Keeper(work, [listener], stop_seconds=5).run()
close([listener])
