"""A recording as it is read: what it is, chunks of sound and pictures in time order, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.media import Undecodable
from service.media.limits import MAX_FRAMES
from service.media.sandbox import DecodingProcess
from service.media.sniff import Format

_MAX_SAMPLES_BYTES = 5 * 16_000 * 4


@dataclass(frozen=True)
class MediaInfo:
    """What the header says. `seconds` is None where it is silent or guesses; `width` and `height` are of the upright
    picture in square pixels, None if there is no video or none was asked for."""

    seconds: float | None
    width: int | None
    height: int | None
    has_audio: bool
    has_video: bool
    format: Format
    about_seconds: float | None = None
    """The same, or what FFmpeg guesses: good enough to show how far one is."""


@dataclass(frozen=True, eq=False)
class Samples:
    """Finite mono float32 at 16 kHz from `start` seconds on; chunks follow one another without a gap, from 0 or
    from a little before the start that was asked for."""

    start: float
    samples: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Frames:
    """Pictures at `times` seconds: upright RGB uint8 (height, width, 3), of one size throughout a recording."""

    start: float
    times: tuple[float, ...]
    pictures: tuple[NDArray[np.uint8], ...]


@dataclass(frozen=True)
class Summary:
    """How far the recording really went, how many pictures were sampled, and whether some of it is missing."""

    seconds: float
    frames_read: int
    truncated: bool


class MediaStream:
    """Iterate once. Decoding waits while nobody reads: memory holds a chunk or two, however long the recording is."""

    def __init__(self, process: DecodingProcess, info: MediaInfo, longest_side: int) -> None:
        self.info = info
        self._process = process
        self._summary: Summary | None = None
        self._longest_side = longest_side

    @property
    def process_id(self) -> int:
        """The process that decodes, as the system counts it."""
        return self._process.pid

    @property
    def summary(self) -> Summary:
        """Known after the last chunk; asking before is a `RuntimeError`."""
        if self._summary is None:
            raise RuntimeError("a recording has its summary when it has been read to the end")
        return self._summary

    def __aiter__(self) -> MediaStream:
        return self

    async def __anext__(self) -> Samples | Frames:
        """The next chunk; raises `TooLarge` where the limit is passed, `Undecodable` where decoding fails."""
        while self._summary is None:
            message = await self._process.receive(self._max_payload_bytes())
            try:
                chunk = self._read(message.header, message.payload)
            except (KeyError, TypeError, ValueError) as error:
                raise Undecodable("The file broke its decoder.") from error
            if chunk is not None:
                return chunk
        raise StopAsyncIteration

    def _read(self, header: Mapping[str, Any], payload: bytearray) -> Samples | Frames | None:
        """One message as a value; anything but what was agreed is a `ValueError`, for the sender is not trusted."""
        if header["type"] == "samples":
            return read_samples(header, payload)
        if header["type"] == "frames":
            return read_frames(header, payload, self._longest_side)
        if header["type"] == "summary":
            self._summary = Summary(float(header["seconds"]), int(header["frames_read"]), header["truncated"] is True)
            return None
        raise ValueError("a message of no known type")

    def _max_payload_bytes(self) -> int:
        return max(_MAX_SAMPLES_BYTES, MAX_FRAMES * self._longest_side**2 * 3)


def read_info(header: Mapping[str, Any], format: Format) -> MediaInfo:
    """The message `info`; raises `Undecodable` if it is not one."""
    try:
        seconds, width, height = header["seconds"], header["width"], header["height"]
        about = header.get("about_seconds")
        return MediaInfo(
            about_seconds=None if about is None else float(about),
            seconds=None if seconds is None else float(seconds),
            width=None if width is None else int(width),
            height=None if height is None else int(height),
            has_audio=header["has_audio"] is True,
            has_video=header["has_video"] is True,
            format=format,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise Undecodable("The file broke its decoder.") from error


def read_samples(header: Mapping[str, Any], payload: bytearray) -> Samples:
    """What is not finite becomes silence: float files can hold it, and it would poison every sum."""
    samples = np.frombuffer(payload, np.float32)
    return Samples(float(header["start"]), np.nan_to_num(samples, copy=False, nan=0.0, posinf=0.0, neginf=0.0))


def read_frames(header: Mapping[str, Any], payload: bytearray, longest_side: int) -> Frames:
    """Pictures share the memory of the message."""
    times = tuple(float(time) for time in header["times"])
    height, width, channels = header["shape"]
    if not 0 < len(times) <= MAX_FRAMES or not 0 < max(height, width) <= longest_side:
        raise ValueError("more pictures than were agreed, or larger")
    pictures = np.frombuffer(payload, np.uint8).reshape(len(times), height, width, channels)
    return Frames(times[0], times, tuple(pictures))
