"""Recordings that tests make themselves, with what they need to be known about them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

PCM, FLOAT = 1, 3


def wav(samples: NDArray[np.int16] | NDArray[np.float32], rate: int = 16_000, data_bytes: int | None = None) -> bytes:
    """A WAV file of (n,) or (n, channels) samples; `data_bytes` is what the header claims, if not the truth."""
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    width = samples.dtype.itemsize
    body = samples.tobytes()
    claimed = len(body) if data_bytes is None else data_bytes
    kind = FLOAT if samples.dtype == np.float32 else PCM
    form = struct.pack("<HHIIHH", kind, channels, rate, rate * channels * width, channels * width, width * 8)
    head = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", claimed)
    return b"RIFF" + struct.pack("<I", min(claimed + 36, 2**32 - 1)) + head + body


def picture(seconds: float, width: int = 96, height: int = 64) -> NDArray[np.uint8]:
    """Grey of a level that grows by one a second, with a white upper left corner."""
    pixels = np.full((height, width, 3), int(seconds) % 200, np.uint8)
    pixels[: height // 4, : width // 4] = 255
    return pixels


def film(
    path: Path,
    seconds: int,
    *,
    frames_per_second: int = 1,
    aspect: Fraction | None = None,
    first_picture_seconds: int = 0,
    packets_each_second: int = 1,
) -> Path:
    """Motion JPEG of `picture`, and a 440 Hz tone in 16-bit PCM at 16 kHz."""
    with av.open(path, "w", format="matroska") as container:
        video = container.add_stream("mjpeg", rate=frames_per_second)
        video.width, video.height, video.pix_fmt = 96, 64, "yuvj444p"
        if aspect is not None:
            video.codec_context.sample_aspect_ratio = aspect
        audio = container.add_stream("pcm_s16le", rate=16_000, layout="mono")
        for number in range(seconds * frames_per_second):
            frame = av.VideoFrame.from_ndarray(picture(number / frames_per_second), "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, frames_per_second)
            if number >= first_picture_seconds * frames_per_second:
                container.mux(video.encode(frame))
            if number % frames_per_second == 0:
                for tone in _tones(number // frames_per_second, packets_each_second):
                    container.mux(audio.encode(tone))
        for stream in container.streams:
            container.mux(stream.encode(None))
    return path


def _tones(second: int, packets: int) -> Iterator[av.AudioFrame]:
    """One second of the tone, in so many pieces."""
    times = second + np.arange(16_000) / 16_000
    samples = (8_000 * np.sin(2 * np.pi * 440 * times)).astype(np.int16)
    for number, piece in enumerate(np.split(samples, packets)):
        frame = av.AudioFrame.from_ndarray(piece[None], format="s16", layout="mono")
        frame.sample_rate, frame.time_base = 16_000, Fraction(1, 16_000)
        frame.pts = second * 16_000 + number * piece.size
        yield frame
