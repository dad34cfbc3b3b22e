"""Small healthy files in every format that is read, made here: what hostile files and fuzzing start from."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from fractions import Fraction
from functools import cache

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.media.recordings import wav

PICTURES: Mapping[str, tuple[str, Mapping[str, object]]] = {
    "baseline.jpg": ("JPEG", {"quality": 80}),
    "progressive.jpg": ("JPEG", {"progressive": True, "subsampling": 2}),
    "plain.png": ("PNG", {}),
    "lossy.webp": ("WEBP", {"quality": 60}),
    "lossless.webp": ("WEBP", {"lossless": True}),
    "plain.gif": ("GIF", {}),
    "plain.bmp": ("BMP", {}),
    "lzw.tiff": ("TIFF", {"compression": "tiff_lzw"}),
    "deflate.tiff": ("TIFF", {"compression": "tiff_adobe_deflate"}),
    "still.avif": ("AVIF", {"quality": 50}),
}
SOUNDS: Mapping[str, tuple[str, str, int]] = {
    "voice.mp3": ("mp3", "libmp3lame", 16_000),
    "voice.flac": ("flac", "flac", 16_000),
    "voice.opus.ogg": ("ogg", "libopus", 48_000),
    "voice.m4a": ("ipod", "aac", 16_000),
    "voice.adts.aac": ("adts", "aac", 16_000),
    "voice.aiff": ("aiff", "pcm_s16be", 16_000),
    "voice.au": ("au", "pcm_s16be", 16_000),
    "voice.caf": ("caf", "pcm_s16le", 16_000),
    "voice.ulaw.wav": ("wav", "pcm_mulaw", 8_000),
    "voice.adpcm.wav": ("wav", "adpcm_ms", 16_000),
    "voice.amr": ("amr", "libopencore_amrnb", 8_000),
    "voice.asf": ("asf", "libmp3lame", 16_000),
}
"""Container, coder and sample rate."""
FILMS: Mapping[str, tuple[str, str, str, int]] = {
    "film.h264.mp4": ("mp4", "libx264", "aac", 16_000),
    "film.mov": ("mov", "mjpeg", "pcm_s16le", 16_000),
    "film.vp8.webm": ("webm", "libvpx", "libopus", 48_000),
    "film.mkv": ("matroska", "mpeg4", "flac", 16_000),
    "film.avi": ("avi", "mpeg4", "libmp3lame", 16_000),
    "film.ts": ("mpegts", "libx264", "aac", 16_000),
    "film.flv": ("flv", "flv", "libmp3lame", 44_100),
    "film.mpg": ("vob", "mpeg2video", "mp2", 16_000),
}
"""Container, coders of pictures and sound, and sample rate."""

_FRAMES = 5


@cache
def healthy() -> Mapping[str, bytes]:
    """Every seed by name: pictures of 48 x 32, sounds of a second, films of a second."""
    return dict(_all())


def _all() -> Iterator[tuple[str, bytes]]:
    for name, (format, options) in PICTURES.items():
        yield name, picture(format, **options)
    yield "animated.gif", _animated()
    yield "palette.png", picture("PNG", mode="P")
    yield "grey16.png", picture("PNG", mode="I;16")
    yield "cmyk.jpg", picture("JPEG", mode="CMYK")
    yield "voice.wav", wav((8_000 * _voice(16_000)).astype(np.int16))
    yield "voice.float.wav", wav(_voice(16_000))
    for name, (container, coder, rate) in SOUNDS.items():
        yield name, sound(container, coder, rate)
    for name, (container, coder, sound_coder, rate) in FILMS.items():
        yield name, film(container, coder, sound_coder, rate)


def picture(format: str, mode: str = "RGB", **options: object) -> bytes:
    """A small picture with edges and a gradient."""
    image = Image.fromarray(_pixels(0))
    stream = io.BytesIO()
    (image.convert("L").convert(mode) if mode.startswith("I") else image.convert(mode)).save(stream, format, **options)
    return stream.getvalue()


def sound(container: str, coder: str, rate: int) -> bytes:
    """A second of a tone that swells."""
    stream = io.BytesIO()
    with av.open(stream, "w", format=container) as output:
        _encode_sound(output, _sound_stream(output, coder, rate), rate)
    return stream.getvalue()


def film(container: str, coder: str, sound_coder: str, rate: int) -> bytes:
    """A second of moving pictures with sound."""
    stream = io.BytesIO()
    with av.open(stream, "w", format=container) as output:
        frames_per_second = 25 if coder == "mpeg2video" else _FRAMES
        video = output.add_stream(coder, rate=frames_per_second)
        video.width, video.height = 48, 32
        video.pix_fmt = "yuvj420p" if coder == "mjpeg" else "yuv420p"
        audio = _sound_stream(output, sound_coder, rate)
        for number in range(_FRAMES):
            frame = av.VideoFrame.from_ndarray(_pixels(number), "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, frames_per_second)
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
        _encode_sound(output, audio, rate)
    return stream.getvalue()


def _animated() -> bytes:
    first, *others = (Image.fromarray(_pixels(number)) for number in range(3))
    stream = io.BytesIO()
    first.save(stream, "GIF", save_all=True, append_images=others, duration=100)
    return stream.getvalue()


def _sound_stream(output: av.container.OutputContainer, coder: str, rate: int) -> av.AudioStream:
    stream = output.add_stream(coder, rate=rate, layout="mono")
    if coder.startswith("libopencore"):
        stream.bit_rate = 12_200
    return stream


def _encode_sound(output: av.container.OutputContainer, stream: av.AudioStream, rate: int) -> None:
    frame = av.AudioFrame.from_ndarray(_voice(rate)[None], format="fltp", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
    output.mux(stream.encode(frame))
    output.mux(stream.encode(None))


def _pixels(number: int) -> NDArray[np.uint8]:
    """(32, 48, 3): a gradient, and a square that moves."""
    rows, columns = np.mgrid[:32, :48]
    pixels = np.stack([rows * 7, columns * 5, (rows + columns) * 3], axis=-1).astype(np.uint8)
    pixels[8:16, 4 + 6 * number : 12 + 6 * number] = (250, 240, 30)
    return pixels


def _voice(rate: int) -> NDArray[np.float32]:
    times = np.arange(rate, dtype=np.float32) / rate
    return (0.5 * times * np.sin(2 * np.pi * 220 * times)).astype(np.float32)
