"""No process of ours outlives the one that started it, and each hears what happens to those it knows."""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import socket
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

PR_SET_PDEATHSIG = 1


def die_with_parent(how: signal.Signals = signal.SIGTERM, parent: int | None = None) -> None:
    """Have the kernel send this signal when the parent dies, however it dies. Linux only; elsewhere it does nothing.

    A process that is told which `parent` it had ends here if that one was gone before it could ask.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, how, 0, 0, 0)
    if parent is not None and os.getppid() != parent:
        os._exit(1)


def wake_up_on_signals(numbers: Iterable[signal.Signals]) -> socket.socket:
    """A socket that becomes readable when one of these signals comes; its number is what can be read."""
    reader, writer = socket.socketpair()
    reader.setblocking(False)
    writer.setblocking(False)
    for number in numbers:
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(writer.detach(), warn_on_full_buffer=False)
    return reader


class Presence:
    """Says to other processes of this machine that this one is there; the kernel takes it back when it ends.

    Any number may be present at the same file.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._held: int | None = None

    def enter(self) -> None:
        """Be present from now on."""
        self._held = self._locked(fcntl.LOCK_SH)  # waits for the instant in which somebody else looks

    def leave(self) -> None:
        """Be present no longer."""
        if self._held is not None:
            os.close(self._held)
            self._held = None

    def anybody(self) -> bool:
        """Whether some process is present now."""
        with self._turn():
            locked = self._locked(fcntl.LOCK_EX | fcntl.LOCK_NB)
            if locked is None:
                return True
            os.close(locked)
            return False

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Look one at a time: two that look in the same instant would take each other for present."""
        turn = _opened(self._file.with_name(f"{self._file.name}-turn"))
        try:
            fcntl.flock(turn, fcntl.LOCK_EX)
            yield
        finally:
            os.close(turn)

    def _locked(self, how: int) -> int | None:
        descriptor = _opened(self._file)
        try:
            fcntl.flock(descriptor, how)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return descriptor


def _opened(file: Path) -> int:
    return os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
