"""What texts, recordings and pictures suffer on their way: typing errors, noise, other voices, blur, distance, JPEG."""

from __future__ import annotations

import random
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

TYPO_SHARE = 0.15
SIGNAL_TO_NOISE_DECIBELS = 5.0
BLUR_PIXELS = 5.0
GREY = 128
QUIET = 0.05


def mistyped(text: str, share: float = TYPO_SHARE) -> str:
    """The text with that share of its letters swapped with their neighbour, doubled or left out."""
    chance = random.Random(text)
    letters: list[str] = []
    for letter in text:
        if not letter.isalpha() or chance.random() >= share:
            letters.append(letter)
        elif (kind := chance.randrange(3)) == 0 and letters:
            letters.insert(len(letters) - 1, letter)
        elif kind == 1:
            letters += [letter, letter]
    return "".join(letters)


def noisy(samples: NDArray[np.float32], decibels: float = SIGNAL_TO_NOISE_DECIBELS) -> NDArray[np.float32]:
    """The samples (n,) under white noise at a signal-to-noise ratio in dB."""
    chance = np.random.default_rng(len(samples))
    power = float(np.mean(np.square(samples))) / 10 ** (decibels / 10)
    return np.clip(samples + chance.normal(0.0, power**0.5, len(samples)), -1, 1).astype(np.float32)


def crowd(talkers: Sequence[Sequence[NDArray[np.float32]]], length: int) -> NDArray[np.float32]:
    """Many people talking at once (babble), (length,) of power 1: each repeats their clips, all equally loud.

    The pauses before and after a clip are cut away, and everybody begins somewhere else.
    """
    together = np.zeros(length)
    for number, clips in enumerate(talkers):
        speech = np.concatenate([_without_ends(clip) for clip in clips])
        offset = number * len(speech) // len(talkers)
        together += np.resize(np.roll(speech, offset), length) / _loudness(speech)
    return (together / _loudness(together)).astype(np.float32)


def among_voices(samples: NDArray[np.float32], decibels: float, babble: NDArray[np.float32]) -> NDArray[np.float32]:
    """The samples (n,) over a stretch of `babble` (longer than they) at a signal-to-noise ratio in dB."""
    start = np.random.default_rng(len(samples)).integers(len(babble) - len(samples))
    noise = babble[start : start + len(samples)]
    scale = _loudness(samples) / 10 ** (decibels / 20) / _loudness(noise)
    return np.clip(samples + scale * noise, -1, 1).astype(np.float32)


def blurred(pixels: NDArray[np.uint8], deviation: float = BLUR_PIXELS) -> NDArray[np.uint8]:
    """The picture (h, w, 3) out of focus: a Gaussian of this standard deviation in pixels."""
    return cv2.GaussianBlur(pixels, (0, 0), deviation)


def further_away(pixels: NDArray[np.uint8], share: float) -> NDArray[np.uint8]:
    """The picture (h, w, 3) at that share of its size, in the middle of grey, as large as before."""
    height, width = pixels.shape[:2]
    small = cv2.resize(pixels, (round(width * share), round(height * share)), interpolation=cv2.INTER_AREA)
    top, left = (height - small.shape[0]) // 2, (width - small.shape[1]) // 2
    whole = np.full_like(pixels, GREY)
    whole[top : top + small.shape[0], left : left + small.shape[1]] = small
    return whole


def compressed(pixels: NDArray[np.uint8], quality: float) -> NDArray[np.uint8]:
    """The picture (h, w, 3) after JPEG of this quality, 1 to 100."""
    _, encoded = cv2.imencode(".jpg", pixels, (cv2.IMWRITE_JPEG_QUALITY, int(quality)))
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.uint8)


def _loudness(samples: NDArray) -> float:
    """Root mean square, never 0."""
    return max(float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))), 1e-6)


def _without_ends(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """From the first to the last sample that is not quiet beside the loudest."""
    loud = np.flatnonzero(np.abs(samples) > QUIET * np.abs(samples).max())
    return samples[loud[0] : loud[-1] + 1] if len(loud) else samples
