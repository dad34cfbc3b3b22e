"""What a file could make a decoder do: operations for tests alone, as if a library had been taken over."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

Send = Callable[..., None]
Request = Mapping[str, Any]

_INFO = {"type": "info", "seconds": 1.0, "width": 4, "height": 4, "has_audio": True, "has_video": True}


def count_bytes(file: BinaryIO, request: Request, send: Send) -> None:
    """No mischief: what a healthy operation looks like."""
    send({"type": "counted", "bytes": len(file.read()), "asked": request.get("asked")})


def crash(file: BinaryIO, request: Request, send: Send) -> None:
    """A real segmentation fault."""
    ctypes.string_at(0)


def abort(file: BinaryIO, request: Request, send: Send) -> None:
    os.abort()


def leave(file: BinaryIO, request: Request, send: Send) -> None:
    """End without a word."""
    os._exit(0)


def hang(file: BinaryIO, request: Request, send: Send) -> None:
    """Wait for ever, deaf to polite signals."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        time.sleep(60)


def hang_up(file: BinaryIO, request: Request, send: Send) -> None:
    """Close every connection and live on."""
    os.closerange(3, 64)
    time.sleep(600)


def spin(file: BinaryIO, request: Request, send: Send) -> None:
    """Use up the processor."""
    while True:
        pass


def swell(file: BinaryIO, request: Request, send: Send) -> None:
    """Ask for memory without end."""
    hoard = []
    while True:
        hoard.append(np.ones(2_000_000))


def raise_anything(file: BinaryIO, request: Request, send: Send) -> None:
    raise KeyError("a bug in a decoder\nwith a second line")


def escape(file: BinaryIO, request: Request, send: Send) -> None:
    """Try everything that a decoder has no business to do, and tell what worked."""
    attempts = {
        "read a file": lambda: Path(request["secret"]).read_text(),
        "write a file": lambda: Path("/tmp/written-by-a-decoder").write_text("x"),
        "write here": lambda: Path("written-by-a-decoder").write_text("x"),
        "list a folder": lambda: os.listdir("/"),
        "reach the network": lambda: socket.create_connection(("127.0.0.1", request["port"]), timeout=2),
        "signal the service": lambda: os.kill(request["service_pid"], 0),
        "start a program": lambda: os.execv("/bin/true", ["true"]),
    }
    send({"type": "escaped", "worked": [name for name, attempt in attempts.items() if _works(attempt)]})


def _works(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except OSError:
        return False
    return True


def talk_nonsense(file: BinaryIO, request: Request, send: Send) -> None:
    """A header that is no JSON, by going behind `send`'s back."""
    connection = send.__closure__[0].cell_contents  # type: ignore[attr-defined]
    connection.sendall(b"\x00\x00\x00\x04\x00\x00\x00\x00oops")


def promise_too_much(file: BinaryIO, request: Request, send: Send) -> None:
    """A message that claims four gigabytes."""
    connection = send.__closure__[0].cell_contents  # type: ignore[attr-defined]
    connection.sendall(b"\x00\x00\x00\x02\xff\xff\xff\xff{}")


def lie_about_shape(file: BinaryIO, request: Request, send: Send) -> None:
    """A picture whose shape does not fit its bytes."""
    header = {"type": "picture", "width": 9, "height": 9, "frames": 1, "truncated": False, "shape": [9, 9, 3]}
    send(header, memoryview(b"few"))


def lie_about_frames(file: BinaryIO, request: Request, send: Send) -> None:
    """A recording whose frames are larger than was asked."""
    send(_INFO)
    send({"type": "frames", "times": [0.0], "shape": [1, 10_000, 3]}, memoryview(bytes(30_000)))


def poison_samples(file: BinaryIO, request: Request, send: Send) -> None:
    """Samples that are not numbers."""
    send(_INFO)
    send({"type": "samples", "start": 0.0}, memoryview(np.full(16, np.nan, np.float32)))
    send({"type": "summary", "seconds": 0.001, "frames_read": 0, "truncated": False})
