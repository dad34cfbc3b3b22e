"""Sound without a container: 16-bit mono samples of a live sender, at any usual rate, become float32 at 16 kHz."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import av
    from av.filter import Graph

SAMPLE_RATE = 16_000
MIN_RATE, MAX_RATE = 8_000, 96_000

_FULL_SCALE = 32_768.0


class Pcm:
    """Chunks of bytes in, samples in [-1, 1] out; a chunk may end in the middle of a sample.

    The same numbers come out however the bytes are cut, and they are those of a WAV file with the same samples.
    """

    def __init__(self, rate: int) -> None:
        """`rate` is in samples a second, from `MIN_RATE` to `MAX_RATE`."""
        self.rate = rate
        self._rest = b""
        self._given = 0
        self._resampler: Graph | None = None

    def add(self, data: bytes) -> NDArray[np.float32]:
        """The samples (n,) that are complete now; little-endian, as WAV has them."""
        data = self._rest + data if self._rest else data
        whole = len(data) // 2 * 2
        self._rest = data[whole:]
        samples = np.frombuffer(data, "<i2", whole // 2)
        if self.rate == SAMPLE_RATE:
            return samples.astype(np.float32) / _FULL_SCALE
        return self._resample(samples) if samples.size else np.zeros(0, np.float32)

    def finish(self) -> NDArray[np.float32]:
        """What a resampler still holds at the end."""
        return np.zeros(0, np.float32) if self._resampler is None else self._pull(None)

    def _resample(self, samples: NDArray[np.int16]) -> NDArray[np.float32]:
        import av  # noqa: PLC0415 (20 MB that only senders of other rates need)

        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[None]), format="s16", layout="mono")
        frame.sample_rate, frame.time_base = self.rate, Fraction(1, self.rate)
        frame.pts = self._given
        self._given += samples.size
        return self._pull(frame)

    def _pull(self, frame: av.AudioFrame | None) -> NDArray[np.float32]:
        from service.media.audio import mono, pull, resampler  # noqa: PLC0415

        if self._resampler is None:
            assert frame is not None  # it is finished only if there is one
            self._resampler = resampler(frame)
        return np.concatenate([np.zeros(0, np.float32), *(mono(part) for part in pull(self._resampler, frame))])
