"""A program under a keeper: each worker answers its pid to one caller after another, and obeys one-word orders.

python -m tests.contract.kept_program <descriptor of a listening socket> <file of those who serve it>
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import sys
from pathlib import Path

from service import keeper, porter
from service.keeper import LEAVE, Keeper, Line, close
from service.lifeline import Presence
from service.porter import Answer, Reason


def work(line: Line) -> None:
    """Answer until told to leave; `FAIL` in the environment names a kind of birth that never gets ready."""
    if os.environ.get("FAIL") == line.birth:
        raise SystemExit(3)
    stops: list[int] = []
    signal.signal(signal.SIGTERM, lambda *_: stops.append(1))
    serving.enter()
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


def contractual(request: bytes, why: Reason) -> Answer:
    """What the gateway's keeper answers; loaded when it is needed, as most of these programs turn nobody away."""
    from service.api.turned_away import answer_to

    return answer_to(request, why)


def _answer(line: Line) -> None:
    try:
        caller, _ = listener.accept()
    except BlockingIOError:
        return
    with caller:
        order = caller.recv(1000).split(b" ")[1].partition(b"?")[0].strip(b"/")
        if order in (b"replace", b"freeze"):
            line.ask_for_successor()
        caller.sendall(f"{os.getpid()} {line.birth}".encode())
    if order == b"crash":
        os._exit(7)
    if order == b"freeze":
        os.kill(os.getpid(), signal.SIGSTOP)


porter.HEAD_SECONDS = porter.LINGER_SECONDS = 120.0  # whom a busy machine keeps waiting is not let go
if "REST" in os.environ:
    keeper.REST_SECONDS = (0.0, float(os.environ["REST"]))
listener = socket.socket(fileno=int(sys.argv[1]))
listener.setblocking(False)
serving = Presence(Path(sys.argv[2]))
Keeper(work, [listener], stop_seconds=5, others_serve=serving.anybody, answering=contractual).run()
close([listener])
