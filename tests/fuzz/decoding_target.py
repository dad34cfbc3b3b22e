"""The process that is fuzzed: decodes what comes over standard input as a decoding process does, and says how it went.

An order is a length (4 bytes, little end first), the operation's first letter, the reader's name in 15 bytes, the file.
The answer is a letter and the seconds that it took: `o` decoded, `r` refused as foreseen, `m` out of memory, `u` an
exception that nobody foresaw (the nursery tells the client that the file is damaged), `w` a wrong answer.
"""

from __future__ import annotations

import io
import os
import resource
import struct
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from service.media import MediaError, image, recording

ANSWER = struct.Struct("<cf")
MEMORY_BYTES = 6_000_000_000
"""Of address space; what follows the process needs some itself."""
LONGEST_SIDE = 320
PICTURE = {"max_pixels": 4_000_000, "longest_side": LONGEST_SIDE}
RECORDING = {
    "audio": True,
    "video": True,
    "max_seconds": 60.0,
    "max_pixels": 1_000_000,
    "frames_per_second": 2.0,
    "longest_side": LONGEST_SIDE,
}


class WrongAnswer(Exception):
    """What was sent does not fit its header, or is larger than was asked for."""


def serve() -> None:
    """Until standard input ends."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    orders, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb", 0)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    answers.write(struct.pack("<I", os.getpid()))
    while len(head := orders.read(4)) == 4:
        body = orders.read(int.from_bytes(head, "little"))
        started = time.perf_counter()
        outcome = decode(body[:1].decode(), body[1:16].rstrip(b"\0").decode(), body[16:])
        answers.write(ANSWER.pack(outcome, time.perf_counter() - started))


def decode(operation: str, reader: str, data: bytes) -> bytes:
    """One file; the letter of the answer."""
    read, request = (image.read, PICTURE) if operation == "p" else (recording.read, RECORDING)
    try:
        read(io.BytesIO(data), {**request, "reader": reader}, check)
    except WrongAnswer:
        return b"w"
    except MediaError:
        return b"r"
    except MemoryError:
        return b"m"
    except Exception:  # just what the nursery does
        return b"u"
    return b"o"


def check(header: Mapping[str, Any], *parts: memoryview) -> None:
    """Look at a message as its reader will. Raises `WrongAnswer`."""
    size = sum(part.nbytes for part in parts)
    if header["type"] in ("picture", "frames"):
        shape = header["shape"]
        if size != int(np.prod(shape)) * len(header.get("times", (0,))) or max(shape[:2]) > LONGEST_SIDE:
            raise WrongAnswer(header)
    elif header["type"] == "samples" and size % 4:
        raise WrongAnswer(header)


if __name__ == "__main__":
    serve()
