"""A browser's microphone: WAV files of half a second become one unbroken sound at the rate that the service hears."""

from __future__ import annotations

import struct
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import av

SAMPLE_RATE = 16_000
MAX_CHUNK_BYTES = 4_000_000
_HEADER_BYTES = 44
_HEADER = struct.Struct("<4s4x4s4sIHHIIHH4s4x")
_PCM = 1


class NotSound(ValueError):
    """The chunk is not what a browser's recorder writes."""


class Microphone:
    """One recording. The resampler goes on from chunk to chunk, so that their borders are not heard."""

    def __init__(self) -> None:
        self._resampler: av.AudioResampler | None = None
        self._rate = 0
        self._given = 0

    def hear(self, wav: bytes) -> bytes:
        """16-bit mono samples at `SAMPLE_RATE` of the next chunk. Raises `NotSound`."""
        rate, channels = _read_header(wav)
        data = wav[_HEADER_BYTES : len(wav) - (len(wav) - _HEADER_BYTES) % (2 * channels)]
        samples = np.frombuffer(data, "<i2").reshape(-1, channels)
        mono = samples[:, 0] if channels == 1 else samples.mean(axis=1).astype("<i2")
        return mono.tobytes() if rate == SAMPLE_RATE else self._resample(np.ascontiguousarray(mono), rate)

    def _resample(self, mono: np.ndarray, rate: int) -> bytes:
        import av  # noqa: PLC0415 (20 MB that only a microphone needs)

        if self._resampler is None or rate != self._rate:
            self._resampler, self._rate = av.AudioResampler("s16", "mono", SAMPLE_RATE), rate
        if not mono.size:
            return b""
        frame = av.AudioFrame.from_ndarray(mono[None], format="s16", layout="mono")
        frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), self._given
        self._given += mono.size
        return b"".join(part.to_ndarray().tobytes() for part in self._resampler.resample(frame))


def _read_header(wav: bytes) -> tuple[int, int]:
    """Rate and channels. Browsers write the lengths before they know them, so what is there is what counts."""
    if not _HEADER_BYTES <= len(wav) <= MAX_CHUNK_BYTES:
        raise NotSound("The sound is empty or too long.")
    riff, wave, form, size, coding, channels, rate, _, _, bits, data = _HEADER.unpack(wav[:_HEADER_BYTES])
    good = (riff, wave, form, data) == (b"RIFF", b"WAVE", b"fmt ", b"data") and size == 16 and coding == _PCM
    if not good or bits != 16 or channels not in (1, 2) or not 8_000 <= rate <= 192_000:
        raise NotSound("The sound is not 16-bit PCM in a WAV file.")
    return rate, channels
