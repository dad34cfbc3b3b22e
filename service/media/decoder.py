"""The door to hostile bytes: a path goes in; pixels, samples, or one error of `service.media` come out."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.media import DecodersBusy, MediaError, Undecodable, Unsupported, wire
from service.media.limits import MAX_PICTURE_SIDE, Limits
from service.media.sandbox import DecodingProcess, Sandbox
from service.media.sniff import HEAD_BYTES, PICTURES, RECORDINGS, Format, sniff
from service.media.stream import MediaStream, read_info
from service.observability import tracing

OPERATIONS: Mapping[str, str] = MappingProxyType(
    {
        "picture": "service.media.image:read",
        "pictures": "service.media.image:read_live",
        "recording": "service.media.recording:read",
        "check": "service.media.image:check",
    }
)
"""What runs inside the decoding processes."""

_MIN_FILE_BYTES = 8
_CHECK_SECONDS = 5.0


@dataclass(frozen=True, eq=False)
class Picture:
    """An upright RGB picture. `pixels` is uint8 (height, width, 3), at most `MAX_PICTURE_SIDE` long.

    `width` and `height` are of the upright picture as it was sent, and `scale` is pixels here for a pixel there: a box
    found here, divided by `scale`, is a box there. `frames` counts an animation, of which the first is shown.
    `truncated` says that the file ends early and the rest of the picture is filling.
    """

    pixels: NDArray[np.uint8]
    width: int
    height: int
    scale: float
    frames: int
    truncated: bool
    format: Format


class Decoder:
    """Reads files in processes that may die. One a service process; `start` it in the event loop that uses it."""

    def __init__(self, limits: Limits, operations: Mapping[str, str] = OPERATIONS) -> None:
        self._limits = limits
        self._sandbox = Sandbox(limits, operations)
        # Lanes of their own: a picture takes milliseconds and must not wait for two long videos.
        self._picture_lane = _Lane(limits.decoders, limits.waiting)
        self._recording_lane = _Lane(limits.decoders, limits.waiting)

    async def start(self) -> None:
        """Load the decoding libraries, in a process of their own."""
        await self._sandbox.start()

    async def close(self) -> None:
        """Stop every decoding process; what is being read fails with `DecodersBusy`."""
        await self._sandbox.close()

    async def healthy(self) -> bool:
        """Whether a tiny picture can be decoded now, whoever else is waiting."""
        try:
            await asyncio.wait_for(self._check(), _CHECK_SECONDS)
        except (MediaError, OSError, RuntimeError, asyncio.TimeoutError):
            return False
        return True

    async def picture(self, path: Path) -> Picture:
        """Decode a picture; of an animation the first frame.

        Raises `Unsupported`, `Undecodable`, `TooLarge` (by the header, before decoding) or `DecodersBusy`.
        """
        with _opened(path) as file:
            format = _recognise(file, ("image",), PICTURES)
            request = {
                "reader": format.reader,
                "max_pixels": self._limits.max_pixels,
                "longest_side": MAX_PICTURE_SIDE,
            }
            async with self._picture_lane.place(), self._sandbox.run("picture", file, request) as process:
                with tracing.step("decode", kind="image"):
                    message = await process.receive(MAX_PICTURE_SIDE**2 * 3)
                return _read_picture(message.header, message.payload, format)

    @asynccontextmanager
    async def stream(
        self,
        path: Path,
        *,
        audio: bool,
        video: bool,
        max_seconds: float,
        frames_per_second: float,
        longest_side: int = 640,
        start_seconds: float = 0.0,
    ) -> AsyncIterator[MediaStream]:
        """Open a recording and read it bit by bit; leaving the block ends its process, however far it came.

        Nothing before `start_seconds` is needed; what comes of it all the same is the reader's to leave out.

        What the file lacks is said by `info`, not raised. Raises as `picture` does, on entry or while reading.
        """
        with _opened(path) as file:
            format = _recognise(file, ("audio", "video", "container"), RECORDINGS)
            request = {
                "reader": format.reader,
                "audio": audio,
                "video": video,
                "max_seconds": max_seconds,
                "max_pixels": self._limits.max_pixels,
                "frames_per_second": frames_per_second,
                "longest_side": longest_side,
                "start_seconds": start_seconds,
            }
            async with self._recording_lane.place(), self._sandbox.run("recording", file, request) as process:
                with tracing.step("decode", kind=format.kind):
                    info = read_info((await process.receive()).header, format)
                    yield MediaStream(process, info, longest_side)

    def live_pictures(self, longest_side: int = 640) -> LivePictures:
        """What decodes one live sender's pictures; close it."""
        return LivePictures(self._sandbox, self._picture_lane, self._limits, longest_side)

    async def _check(self) -> None:
        with _opened(Path(os.devnull)) as file:
            async with self._sandbox.run("check", file, {}) as process:
                await process.receive(MAX_PICTURE_SIDE**2 * 3)


class LivePictures:
    """One live sender's pictures, decoded one after another in a process that no other sender shares.

    It is forked for the first picture and again when it ended: forking for each costs 10 ms of processor time. Before
    its processor time is used up it is renewed, so that a long session doesn't look like a hostile one.
    """

    def __init__(self, sandbox: Sandbox, lane: _Lane, limits: Limits, longest_side: int) -> None:
        self._sandbox = sandbox
        self._lane = lane
        self._max_pixels = limits.max_pixels
        self._renew_after_seconds = limits.cpu_seconds / 2
        self._longest_side = longest_side
        self._busy_seconds = 0.0
        self._open: tuple[AsyncExitStack, DecodingProcess, socket.socket] | None = None

    async def decode(self, data: bytes) -> Picture:
        """Decode one JPEG or WebP picture, scaled to at most the longest side. One at a time.

        Raises `Unsupported`, `Undecodable`, `TooLarge` or `DecodersBusy`; the next picture may be good.
        """
        format = sniff(data[:HEAD_BYTES])
        if format.reader not in wire.LIVE_READERS:
            raise Unsupported(f"The picture looks like {format.name}; a stream takes JPEG and WebP.")
        async with self._lane.place():
            process, pipe = await self._process()
            started = time.monotonic()
            try:
                message = await self._ask(process, pipe, wire.LIVE_READERS.index(format.reader), data)
            except BaseException:  # what it would answer next belongs to this picture
                await self.close()
                raise
            self._busy_seconds += time.monotonic() - started
        if message.header.get("type") == "refused":
            raise wire.read_error(message.header)
        return _read_picture(message.header, message.payload, format)

    async def close(self) -> None:
        """End the process."""
        opened, self._open = self._open, None
        if opened is not None:
            await opened[0].aclose()

    async def _process(self) -> tuple[DecodingProcess, socket.socket]:
        if self._busy_seconds > self._renew_after_seconds:
            await self.close()
        if self._open is None:
            self._open, self._busy_seconds = await self._start(), 0.0
        return self._open[1:]

    async def _start(self) -> tuple[AsyncExitStack, DecodingProcess, socket.socket]:
        async with AsyncExitStack() as stack:
            ours, theirs = socket.socketpair()
            stack.callback(ours.close)
            ours.setblocking(False)
            request = {"max_pixels": self._max_pixels, "longest_side": self._longest_side}
            with theirs:
                process = await stack.enter_async_context(self._sandbox.run("pictures", theirs.fileno(), request))
            return stack.pop_all(), process, ours

    async def _ask(self, process: DecodingProcess, pipe: socket.socket, reader: int, data: bytes) -> wire.Message:
        loop = asyncio.get_running_loop()
        with suppress(ConnectionError):  # it has ended; why, `receive` says
            await loop.sock_sendall(pipe, wire.LIVE_HEADER.pack(reader, len(data)) + data)
        return await process.receive(self._longest_side**2 * 3)


class _Lane:
    """At most `places` at once; `waiting` more queue in order, and the next is refused."""

    def __init__(self, places: int, waiting: int) -> None:
        self._places = asyncio.Semaphore(places)
        self._free_to_wait = waiting

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        if self._places.locked() and self._free_to_wait == 0:
            raise DecodersBusy("Too many files are waiting to be decoded; try again in a moment.")
        self._free_to_wait -= 1
        try:
            await self._places.acquire()
        finally:
            self._free_to_wait += 1
        try:
            yield
        finally:
            self._places.release()


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """A descriptor that is handed to the decoding process, which may not open paths itself."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield file
    finally:
        os.close(file)


def _recognise(file: int, kinds: tuple[str, ...], accepted: str) -> Format:
    """The format by the first bytes; raises one sentence if it is none of `kinds`, which `accepted` names."""
    head = os.pread(file, HEAD_BYTES, 0)
    if not head:
        raise Undecodable(f"The file is empty; accepted are {accepted}.")
    if len(head) < _MIN_FILE_BYTES:
        raise Undecodable(f"The file ends within its first {_MIN_FILE_BYTES} bytes; accepted are {accepted}.")
    format = sniff(head)
    if format.kind not in kinds or format.reader is None:
        raise Unsupported(f"The file looks like {format.name}; accepted are {accepted}.")
    return format


def _read_picture(header: Mapping[str, Any], payload: bytearray, format: Format) -> Picture:
    """The message `picture`, from a process that is not trusted."""
    try:
        height, width, channels = header["shape"]
        pixels = np.frombuffer(payload, np.uint8).reshape(height, width, channels)
        full_width, full_height = int(header["width"]), int(header["height"])
        return Picture(
            pixels=pixels,
            width=full_width,
            height=full_height,
            scale=max(width, height) / max(full_width, full_height),
            frames=int(header["frames"]),
            truncated=header["truncated"] is True,
            format=format,
        )
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise Undecodable("The file broke its decoder.") from error
