"""What is said over the connection to a decoding process: one order with a file, and messages back.

A message is a small JSON header and raw bytes, never a pickle: whoever reads hostile files may have become hostile.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from service.media import MediaError, TooLarge, Undecodable, Unsupported

_LENGTHS = struct.Struct(">II")
_MAX_HEADER_BYTES = 64 * 1024

LIVE_READERS = ("JPEG", "WEBP")
"""What a live sender's pictures may be: what every browser's canvas writes."""

LIVE_HEADER = struct.Struct(">BI")
"""Before each of them: its place in `LIVE_READERS`, and its length in bytes."""

_ERROR_CODES: dict[str, type[MediaError]] = {
    "too_large": TooLarge,
    "undecodable": Undecodable,
    "unsupported": Unsupported,
}
_MAX_SENTENCE_CHARACTERS = 300


class Garbled(Exception):
    """The other side broke the protocol, or fell silent in the middle of a message."""


@dataclass(frozen=True)
class Message:
    """`header["type"]` says what it is; `payload` is the raw bytes behind it."""

    header: Mapping[str, Any]
    payload: bytearray


@dataclass(frozen=True)
class Order:
    """What a decoding process shall do with which open file."""

    operation: str
    request: Mapping[str, Any]
    file: int


def send_order(connection: socket.socket, order: Order) -> None:
    """Hand over the order and the descriptor; a waiting process has room for both, so this does not block."""
    line = json.dumps({"operation": order.operation, "request": order.request}).encode()
    socket.send_fds(connection, [line + b"\n"], [order.file])


def await_order(connection: socket.socket) -> Order | None:
    """Block until an order comes; None if the other side closes instead."""
    line, descriptors = b"", []
    while not line.endswith(b"\n"):
        data, received, _, _ = socket.recv_fds(connection, _MAX_HEADER_BYTES, 1)
        if not data:
            return None
        line, descriptors = line + data, descriptors + received
    return Order(**json.loads(line), file=descriptors[0])


def send(connection: socket.socket, header: Mapping[str, Any], *parts: memoryview) -> None:
    """Write one message, blocking while the reader is behind: that is the back-pressure."""
    encoded = json.dumps(header).encode()
    size = sum(part.nbytes for part in parts)
    connection.sendall(_LENGTHS.pack(len(encoded), size) + encoded)
    for part in parts:
        connection.sendall(part)


async def receive(connection: socket.socket, max_payload_bytes: int) -> Message | None:
    """The next message, or None at the end; raises `Garbled` for anything that is not one."""
    lengths = await _read(connection, _LENGTHS.size)
    if lengths is None:
        return None
    header_bytes, payload_bytes = _LENGTHS.unpack(lengths)
    if header_bytes > _MAX_HEADER_BYTES or payload_bytes > max_payload_bytes:
        raise Garbled("a message longer than was agreed")
    header, payload = await _read(connection, header_bytes), await _read(connection, payload_bytes)
    if header is None or payload is None:
        raise Garbled("an unfinished message")
    return Message(_parse(header), payload)


def describe_error(error: MediaError) -> dict[str, str]:
    """The header that carries `error` to the reader."""
    code = next(code for code, kind in _ERROR_CODES.items() if isinstance(error, kind))
    return {"type": "error", "code": code, "detail": str(error)}


def read_error(header: Mapping[str, Any]) -> MediaError:
    """The error that `describe_error` wrote down."""
    kind = _ERROR_CODES.get(str(header.get("code")), Undecodable)
    return kind(str(header.get("detail"))[:_MAX_SENTENCE_CHARACTERS])


def _parse(header: bytearray) -> Mapping[str, Any]:
    try:
        parsed = json.loads(header)
    except ValueError as error:
        raise Garbled("a header that is not JSON") from error
    if not isinstance(parsed, dict):
        raise Garbled("a header that is not an object")
    return parsed


async def _read(connection: socket.socket, size: int) -> bytearray | None:
    """Exactly `size` bytes, or None if the stream ends before; reads nothing ahead, so that the writer must wait."""
    loop = asyncio.get_running_loop()
    buffer = bytearray(size)
    view = memoryview(buffer)
    while view:
        try:
            count = await loop.sock_recv_into(connection, view)
        except ConnectionError:
            return None
        if count == 0:
            return None
        view = view[count:]
    return buffer
