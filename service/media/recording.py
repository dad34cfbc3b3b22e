"""Audio and video files, inside the decoding process: one pass, in time order, never more than a chunk in memory."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import av
import av.subtitles.stream  # Loaded before the fork, for PyAV would look for it on opening a file.
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition, Stream
from av.video.stream import VideoStream
from numpy.typing import NDArray

from service.media import TooLarge, Undecodable
from service.media.audio import Sound
from service.media.nursery import Send
from service.media.video import Geometry, Sampler, geometry

_ESTIMATING_READERS = ("mp3", "aac", "mpeg", "mpegts", "amr", "flv")
"""These headers hold no duration, or FFmpeg guesses it from the bit rate: what is decoded counts instead."""

_MAX_FRAMES_BEFORE_PICTURE = 1_000
"""Decoded frames of sound kept back at most while the first picture, which says how the video lies, is awaited."""

_EARLY_END_SECONDS = 1.0
_EARLY_END_FRACTION = 0.05
"""A recording that ends this much before its header says was cut off."""

_TOLERATED_PACKETS = 2
_TOLERATED_FRACTION = 0.02
"""Sound files end in tags that look like a broken packet; this many are no sign that something is missing."""

_SEEKING_READERS = ("mov", "matroska", "wav")
"""These jump to where they are told and know when they are; Ogg, for one, is off by a tenth of a second afterwards."""

_PRE_ROLL_SECONDS = 1.0
"""Decoded before the start that is asked for: coders need some frames until they sound and look as they should."""

_GRACE_SECONDS = 0.5
"""Coders pad: a recording of exactly the limit is not too long."""


@dataclass(frozen=True)
class Request:
    """What is asked of a recording."""

    reader: str
    audio: bool
    video: bool
    max_seconds: float
    max_pixels: int
    frames_per_second: float
    longest_side: int
    start_seconds: float = 0.0


def read(file: BinaryIO, request: Mapping[str, Any], send: Send) -> None:
    """The operation `recording`: sends `info`, then `samples` and `frames` as they come, then `summary`."""
    asked = Request(**request)
    with _open(file, asked) as container:
        _Reading(container, asked, send).play()


def _open(file: BinaryIO, asked: Request) -> InputContainer:
    """Exactly one demuxer is tried, and no file that the recording names is opened."""
    options = {"format_whitelist": asked.reader, "protocol_whitelist": "none"}
    try:
        return av.open(file, "r", format=asked.reader, options=options, metadata_errors="replace")
    except MemoryError:
        raise
    except (FFmpegError, ValueError) as error:
        raise Undecodable("The recording cannot be opened: it is damaged, or was cut off before its index.") from error


class _Reading:
    """One pass over an opened recording."""

    def __init__(self, container: InputContainer, asked: Request, send: Send) -> None:
        self._container, self._asked, self._send = container, asked, send
        self._audio = next((stream for stream in container.streams.audio if _is_readable(stream)), None)
        self._video = next((stream for stream in container.streams.video if _is_readable(stream)), None)
        self._origin_seconds = (container.start_time or 0) / av.time_base
        self._header_seconds = _header_seconds(container, asked.reader)
        self._sound = Sound(self._origin_seconds)
        self._sampler = Sampler(asked.frames_per_second)
        self._geometry: Geometry | None = None
        self._video_seconds = 0.0
        self._frames_read = 0
        self._packets_read = self._packets_lost = 0
        self._breaks_off = False
        self._has_jumped = False

    def play(self) -> None:
        """Decode from the first byte to the last."""
        self._check_header()
        for stream in self._wanted():
            stream.codec_context.thread_count = 1  # Threads cost address space; other files need the cores.
        self._seek()
        begun, frames = self._until_first_picture(self._decode())
        self._send_info(begun)
        for frame in frames:
            self._take(frame)
        self._finish()

    def _check_header(self) -> None:
        """Refuse by what the header promises, before anything is decoded."""
        if self._header_seconds is not None:
            self._check_seconds(self._header_seconds)
        if self._video is not None and self._asked.video:
            self._check_pixels(self._video.codec_context.width, self._video.codec_context.height)

    def _wanted(self) -> list[Stream]:
        wanted = ((self._audio, self._asked.audio), (self._video, self._asked.video))
        return [stream for stream, asked in wanted if stream is not None and asked]

    def _seek(self) -> None:
        """Jump to shortly before the start that is asked for, where the container knows the way; else read up to it."""
        seconds = self._asked.start_seconds - _PRE_ROLL_SECONDS
        if seconds <= 0 or self._asked.reader not in _SEEKING_READERS:
            return
        try:
            self._container.seek(int((seconds + self._origin_seconds) * av.time_base))
        except FFmpegError:
            return
        self._has_jumped = True

    def _decode(self) -> Iterator[av.AudioFrame | av.VideoFrame]:
        """Every decoded frame; damaged packets are left out and counted."""
        for packet in self._packets():
            self._packets_read += 1
            try:
                frames = packet.decode()
            except MemoryError:
                raise
            except FFmpegError:
                self._packets_lost += 1
                continue
            yield from frames

    def _packets(self) -> Iterator[av.Packet]:
        """The packets of the wanted streams, as far as the container holds together."""
        streams = self._wanted()
        if not streams:
            return
        try:
            yield from self._container.demux(streams)
        except MemoryError:
            raise
        except FFmpegError:
            self._breaks_off = True

    def _until_first_picture(
        self, frames: Iterator[av.AudioFrame | av.VideoFrame]
    ) -> tuple[av.VideoFrame | None, Iterable[av.AudioFrame | av.VideoFrame]]:
        """The first picture, which alone knows how the video lies, and all frames from the beginning."""
        if self._video is None or not self._asked.video:
            return None, frames
        seen: list[av.AudioFrame | av.VideoFrame] = []
        for frame in itertools.islice(frames, _MAX_FRAMES_BEFORE_PICTURE):
            seen.append(frame)
            if isinstance(frame, av.VideoFrame):
                return frame, itertools.chain(seen, frames)
        return None, itertools.chain(seen, frames)

    def _send_info(self, first: av.VideoFrame | None) -> None:
        width, height = self._header_size()
        if first is not None:
            self._geometry = geometry(first, _aspect(self._video))
            width, height = self._geometry.upright
        self._send(
            {
                "type": "info",
                "seconds": self._header_seconds,
                "about_seconds": self._container.duration and self._container.duration / av.time_base,
                "width": width,
                "height": height,
                "has_audio": self._audio is not None,
                "has_video": self._video is not None,
            }
        )

    def _header_size(self) -> tuple[int | None, int | None]:
        """For a video whose first picture comes very late: the size as stored."""
        if self._video is None or not self._asked.video:
            return None, None
        return self._video.codec_context.width or None, self._video.codec_context.height or None

    def _take(self, frame: av.AudioFrame | av.VideoFrame) -> None:
        if isinstance(frame, av.VideoFrame):
            self._take_picture(frame)
        else:
            self._take_sound(frame)

    def _take_sound(self, frame: av.AudioFrame) -> None:
        if self._has_jumped and not self._sound.seconds and frame.time is not None:
            self._sound.begin_at(frame.time - self._origin_seconds)
        # Before resampling: a low rate in the header turns few samples into many.
        self._check_seconds(self._sound.seconds + frame.samples / max(frame.sample_rate, 1))
        for start, samples in self._sound.add(frame):
            self._send_samples(start, samples)

    def _take_picture(self, frame: av.VideoFrame) -> None:
        seconds = self._time_of(frame)
        self._check_seconds(seconds)
        self._video_seconds = max(self._video_seconds, seconds)
        if self._sampler.wants(seconds):
            self._check_pixels(frame.width, frame.height)
            self._geometry = self._geometry or geometry(frame, _aspect(self._video))
            self._sampler.add(seconds, self._geometry.picture(frame, self._asked.longest_side))
            self._frames_read += 1
        if self._sampler.is_full(seconds):
            self._send_frames()

    def _time_of(self, frame: av.VideoFrame) -> float:
        """Seconds from the start of the recording; a frame without a time follows the one before."""
        if frame.time is None:
            return self._video_seconds + self._frame_seconds()
        return max(0.0, frame.time - self._origin_seconds)

    def _frame_seconds(self) -> float:
        rate = self._video.average_rate if self._video is not None else None
        return float(1 / rate) if rate else 0.0

    def _finish(self) -> None:
        for start, samples in self._sound.finish():
            self._send_samples(start, samples)
        self._send_frames()
        if self._wanted() and not (self._frames_read or self._sound.seconds or self._has_jumped):
            raise Undecodable("The recording can be opened, but nothing in it can be decoded.")
        if self._frames_read:
            self._video_seconds += self._frame_seconds()
        seconds = max(self._sound.seconds, self._video_seconds)
        self._send(
            {
                "type": "summary",
                "seconds": seconds,
                "frames_read": self._frames_read,
                "truncated": self._is_incomplete(seconds),
            }
        )

    def _is_incomplete(self, seconds: float) -> bool:
        lost = self._packets_lost > max(_TOLERATED_PACKETS, self._packets_read * _TOLERATED_FRACTION)
        return self._breaks_off or lost or _ends_early(seconds, self._header_seconds)

    def _send_samples(self, start: float, samples: NDArray[np.float32]) -> None:
        self._send({"type": "samples", "start": start}, samples.data)

    def _send_frames(self) -> None:
        times, pictures = self._sampler.take()
        if times:
            header = {"type": "frames", "times": times, "shape": pictures[0].shape}
            self._send(header, *(picture.data for picture in pictures))

    def _check_seconds(self, seconds: float) -> None:
        if seconds > self._asked.max_seconds + _GRACE_SECONDS:
            raise TooLarge(f"The recording is longer than {self._asked.max_seconds:g} seconds, which is the limit.")

    def _check_pixels(self, width: int, height: int) -> None:
        if width * height > self._asked.max_pixels:
            millions = self._asked.max_pixels / 1e6
            raise TooLarge(f"The video has {width} x {height} pixels; at most {millions:g} million pixels are taken.")


def _is_readable(stream: Stream) -> bool:
    """Has a decoder, and is not a record's cover."""
    return stream.codec_context is not None and not stream.disposition & Disposition.attached_pic


def _header_seconds(container: InputContainer, reader: str) -> float | None:
    if container.duration is None or reader in _ESTIMATING_READERS:
        return None
    return container.duration / av.time_base


def _aspect(video: VideoStream | None) -> float | None:
    """Width of a stored pixel over its height, if the file says so."""
    ratio = video.sample_aspect_ratio if video is not None else None
    return float(ratio) if ratio else None


def _ends_early(seconds: float, header_seconds: float | None) -> bool:
    if header_seconds is None:
        return False
    return header_seconds - seconds > max(_EARLY_END_SECONDS, header_seconds * _EARLY_END_FRACTION)
