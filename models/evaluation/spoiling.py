"""What texts, recordings and pictures suffer on their way: typing errors, noise, blur."""

from __future__ import annotations

import random

import cv2
import numpy as np
from numpy.typing import NDArray

TYPO_SHARE = 0.15
SIGNAL_TO_NOISE_DECIBELS = 5.0
BLUR_PIXELS = 5.0


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


def blurred(pixels: NDArray[np.uint8], deviation: float = BLUR_PIXELS) -> NDArray[np.uint8]:
    """The picture (h, w, 3) out of focus: a Gaussian of this standard deviation in pixels."""
    return cv2.GaussianBlur(pixels, (0, 0), deviation)
