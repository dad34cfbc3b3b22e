"""The process that forks decoding processes: it has the libraries loaded and never looks at a file itself.

It is started once by `sandbox.Sandbox` and obeys one socket. Lines of JSON come in: `{"start": id}` with the descriptor
of a connection, or `{"kill": id}`. Lines go out: `{"started": id, "pid": …}`, and `{"ended": id, "status": …}` as
`os.waitstatus_to_exitcode` says it. A child waits at its connection for one order (`wire.send_order`), carries it out
and exits. When the socket closes, every child is killed and the process ends: nothing outlives the service.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import selectors
import signal
import socket
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, NoReturn

from service.lifeline import die_with_parent
from service.media import MediaError, Undecodable, confine, wire

Send = Callable[..., None]
Operation = Callable[[BinaryIO, Mapping[str, Any], Send], None]
"""Reads the file, says what it finds by `send(header, *parts)` (`wire.send`), and raises a `MediaError` if it can't."""

_MAX_LINE_BYTES = 64 * 1024


@dataclass
class Nursery:
    """What the process knows: its socket, what can be run, the limits, and who is running (id by pid)."""

    control: socket.socket
    operations: Mapping[str, Operation]
    memory_bytes: int
    cpu_seconds: int
    children: dict[int, int] = field(default_factory=dict)
    unread: bytes = b""
    pid: int = field(default_factory=os.getpid)

    def serve(self) -> None:
        """Obey until the socket closes."""
        wake_up = _wake_up_on_child_end()
        with selectors.DefaultSelector() as selector:
            selector.register(self.control, selectors.EVENT_READ)
            selector.register(wake_up, selectors.EVENT_READ)
            open = True
            while open:
                ready = {key.fileobj for key, _ in selector.select()}
                if wake_up in ready:
                    wake_up.recv(_MAX_LINE_BYTES)
                    self._reap()
                if self.control in ready:
                    open = self._obey()
        for pid in self.children:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    def _obey(self) -> bool:
        """Read what has come and do it; False when the other side is gone."""
        data, descriptors, _, _ = socket.recv_fds(self.control, _MAX_LINE_BYTES, 1)
        *lines, self.unread = (self.unread + data).split(b"\n")
        for line in lines:
            order = json.loads(line)
            if "kill" in order:
                self._kill(order["kill"])
            else:
                self._start(order["start"], descriptors[0])
        return bool(data)

    def _start(self, id: int, connection: int) -> None:
        pid = os.fork()
        if pid == 0:
            self._be_child(connection)
        os.close(connection)
        self.children[pid] = id
        self._tell({"started": id, "pid": pid})

    def _kill(self, id: int) -> None:
        """Kill by id, not pid: what has ended was reaped here, so no stranger with its number can be hit."""
        for pid, running in self.children.items():
            if running == id:
                os.kill(pid, signal.SIGKILL)

    def _reap(self) -> None:
        while self.children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            self._tell({"ended": self.children.pop(pid), "status": os.waitstatus_to_exitcode(status)})

    def _tell(self, event: Mapping[str, Any]) -> None:
        self.control.sendall(json.dumps(event).encode() + b"\n")

    def _be_child(self, connection: int) -> NoReturn:
        """Give up all rights, wait for one order, carry it out, exit."""
        try:
            _forget_signals()
            confine.close_all_but(connection)
            die_with_parent(signal.SIGKILL, self.pid)
            confine.limit_resources(self.memory_bytes, self.cpu_seconds)
            confine.lock_files()
            self._carry_out_one(socket.socket(fileno=connection))
            os._exit(0)
        finally:
            os._exit(1)

    def _carry_out_one(self, connection: socket.socket) -> None:
        order = wire.await_order(connection)
        if order is not None:
            operate(self.operations[order.operation], order.file, order.request, connection)


def operate(operation: Operation, file: int, request: Mapping[str, Any], connection: socket.socket) -> None:
    """Run `operation`; whatever it raises becomes the last message."""

    def send(header: Mapping[str, Any], *parts: memoryview) -> None:
        wire.send(connection, header, *parts)

    try:
        with os.fdopen(file, "rb") as opened:
            operation(opened, request, send)
            send({"type": "end"})
    except BrokenPipeError:
        return  # Nobody listens any more.
    except MemoryError:
        error = Undecodable("The file needs more memory to decode than the decoder may use.")
        send(wire.describe_error(error))
    except MediaError as error:
        send(wire.describe_error(error))
    except Exception as error:  # Decoders raise anything at all on damaged files; the cause goes to the log.
        told = Undecodable("The file cannot be decoded: it is damaged, or not what it says it is.")
        send(wire.describe_error(told) | {"cause": _cause(error)})


def _cause(error: Exception) -> str:
    """Where it was raised and what it is; not what it says, for that may quote the file."""
    return "".join([*traceback.format_tb(error.__traceback__, limit=-3), type(error).__name__])[-1500:]


def main(settings: Mapping[str, Any]) -> None:
    """Load the libraries, leave what is not needed, serve. `settings` come from `sandbox`, which starts this."""
    operations = {name: _load(place) for name, place in settings["operations"].items()}
    control = socket.socket(fileno=settings["control"])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    confine.leave_surroundings()
    _silence()
    # What is loaded now is shared with the children for as long as nobody writes to it.
    gc.collect()
    gc.freeze()
    control.sendall(b'{"ready": true}\n')
    Nursery(control, operations, settings["memory_bytes"], settings["cpu_seconds"]).serve()


def _load(place: str) -> Operation:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


def _silence() -> None:
    """Decoders write warnings about bad files to standard error; nobody needs them."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    os.close(nowhere)


def _forget_signals() -> None:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def _wake_up_on_child_end() -> socket.socket:
    """A socket that becomes readable when a child ends."""
    reader, writer = socket.socketpair()
    reader.setblocking(False)
    writer.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writer.detach(), warn_on_full_buffer=False)
    return reader
