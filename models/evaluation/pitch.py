"""How high a voice speaks: the median of its fundamental frequency."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from service.features.speech import SAMPLE_RATE, Samples

FRAME_SECONDS, HOP_SECONDS = 0.04, 0.01
LOWEST_HERTZ, HIGHEST_HERTZ = 65.0, 600.0
FINER = 4
"""Lags are looked at in this part of a sample: a high voice's period is far from a whole number of them."""

VOICED = 0.6
"""A frame whose autocorrelation peaks below this is noise, a consonant or silence."""

OCTAVE_COST = 0.01
"""What a peak loses for each octave below `HIGHEST_HERTZ`: else half of the true pitch fits as well."""

LOUD = 0.1
"""Frames below this share of the loudest frame's amplitude are no speech."""


def median_pitch(samples: Samples) -> float | None:
    """The median fundamental frequency in Hz over the voiced frames of a recording (n,); None if there are none.

    By the highest peak of each frame's autocorrelation over that of its window (Boersma 1993), without path finding.
    """
    frames = _frames(samples)
    loudness = np.sqrt(np.mean(np.square(frames), axis=1))
    frames = frames[loudness > max(LOUD * loudness.max(initial=0.0), 1e-5)]
    if not len(frames):
        return None
    correlation = _autocorrelation(frames)
    rate = FINER * SAMPLE_RATE
    shortest, longest = round(rate / HIGHEST_HERTZ), round(rate / LOWEST_HERTZ)
    lags = np.arange(shortest, longest + 1)
    strengths = correlation[:, lags] - OCTAVE_COST * np.log2(lags / shortest)
    best = strengths.argmax(axis=1)
    voiced = correlation[np.arange(len(frames)), lags[best]] > VOICED
    return float(np.median(rate / lags[best[voiced]])) if voiced.any() else None


def _frames(samples: Samples) -> NDArray[np.float64]:
    """Overlapping frames (n, frame), each without its mean."""
    size, hop = round(FRAME_SECONDS * SAMPLE_RATE), round(HOP_SECONDS * SAMPLE_RATE)
    padded = np.pad(np.asarray(samples, np.float64), (0, max(0, size - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop]
    return frames - frames.mean(axis=1, keepdims=True)


def _autocorrelation(frames: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each windowed frame, over that of the window, 1 at lag 0: (n, FINER * frame), interpolated by its spectrum."""
    size = frames.shape[1]
    window = np.hanning(size)

    def correlated(signal: NDArray[np.float64]) -> NDArray[np.float64]:
        power = np.abs(np.fft.rfft(signal, 2 * size, axis=-1)) ** 2
        lags = np.fft.irfft(power, FINER * 2 * size, axis=-1)[..., : FINER * size]
        return lags / np.maximum(lags[..., :1], 1e-12)

    return correlated(frames * window) / np.maximum(correlated(window), 1e-3)
