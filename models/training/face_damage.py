"""Faces damaged in known ways, and how much of each is left: what the clarity of a face is learnt from.

How much is left is the product of what covers leave free, counted where expressions show, and of the structural
similarity to the undamaged crop (Wang et al. 2004), which is near 1 for the mild wear of any photograph.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from models.training.face_cover import Cover, Crop, covered, cut_off

HIDDEN_FROM, HIDDEN_TO = 0.06, 0.35
"""A cover over this share of what matters costs nothing, and everything; a mask over nose and mouth hides half."""

ALIKE_FROM, ALIKE_TO = 0.6, 0.85
"""Structural similarity at which nothing is left, and everything."""


def damaged(
    crop: Crop, rng: np.random.Generator, other: Crop | None = None, hands: Sequence[Crop] = ()
) -> tuple[Crop, float]:
    """A grey crop (s, s) after one or two accidents, and how much of the face is left, in [0, 1]."""
    kind = rng.random()
    worn = worn_out(crop, rng) if kind < 0.45 else crop
    left = ramp(similarity(crop, worn), ALIKE_FROM, ALIKE_TO)
    if kind > 0.38:
        worn, cover = covered(worn, rng, other, hands) if rng.random() < 0.85 else cut_off(worn, rng)
        left *= 1 - ramp(hidden(cover), HIDDEN_FROM, HIDDEN_TO)
    return worn, left


def worn_out(crop: Crop, rng: np.random.Generator) -> Crop:
    """A crop as a much compressed, tiny, shaken, noisy or washed-out picture gives it."""
    accidents = (_compressed, _tiny, _shaken, _blurred, _noisy)
    for index in rng.choice(
        len(accidents), 1 + int(rng.random() < 0.3), replace=False, p=(0.5, 0.12, 0.12, 0.14, 0.12)
    ):
        crop = accidents[index](crop, rng)
    return crop


def hidden(cover: Cover) -> float:
    """The share of what shows an expression that a cover (s, s) hides."""
    return float((cover * importance(len(cover))).sum())


@cache
def importance(size: int) -> NDArray[np.float32]:
    """How much each pixel of an aligned crop tells, (size, size), adding up to 1: mouth, eyes, brows and forehead."""
    rows, columns = np.mgrid[:size, :size] / (size - 1)
    eyes = [(x, 0.36, 0.14, 0.1, 0.21) for x in (0.3, 0.7)]
    spots = [*eyes, (0.5, 0.77, 0.2, 0.11, 0.36), (0.5, 0.2, 0.3, 0.08, 0.12), (0.5, 0.5, 0.25, 0.3, 0.1)]
    total = np.zeros((size, size))
    for x, y, wide, high, share in spots:
        spot = np.exp(-(((columns - x) / wide) ** 2 + ((rows - y) / high) ** 2))
        total += share * spot / spot.sum()
    return total.astype(np.float32)


def similarity(one: Crop, other: Crop) -> float:
    """The mean structural similarity of two grey crops (Wang et al. 2004), each of mean 0 and deviation 50 first."""
    x, y = (
        50 * (each - each.mean()) / max(float(each.std()), 1.0)
        for each in (one.astype(np.float32), other.astype(np.float32))
    )
    mean_x, mean_y, xx, yy, xy = (cv2.GaussianBlur(each, (0, 0), 1.5) for each in (x, y, x * x, y * y, x * y))
    contrast = (2 * (xy - mean_x * mean_y) + 58.5) / (xx - mean_x**2 + yy - mean_y**2 + 58.5)
    light = (2 * mean_x * mean_y + 6.5) / (mean_x**2 + mean_y**2 + 6.5)
    return float((contrast * np.where(abs(mean_x) + abs(mean_y) > 10, light, 1)).mean())


def ramp(value: float, low: float, high: float) -> float:
    """0 up to `low`, 1 from `high`, linear between."""
    return min(max((value - low) / (high - low), 0.0), 1.0)


def _compressed(crop: Crop, rng: np.random.Generator) -> Crop:
    """As JPEG of quality 2 to 20 of a picture in which the face has 30 to 120 pixels."""
    size, side = len(crop), int(np.exp(rng.uniform(np.log(30), np.log(120))))
    shifts = rng.integers(0, 8, 2)
    placed = cv2.copyMakeBorder(cv2.resize(crop, (side, side)), *shifts.repeat(2)[[0, 1, 2, 3]], cv2.BORDER_REPLICATE)
    quality = int(np.exp(rng.uniform(np.log(2), np.log(20))))
    coded = cv2.imdecode(cv2.imencode(".jpg", placed, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_GRAYSCALE)
    cut = coded[shifts[0] : shifts[0] + side, shifts[1] : shifts[1] + side]
    return cv2.resize(cut, (size, size), interpolation=cv2.INTER_AREA if side > size else cv2.INTER_LINEAR)


def _tiny(crop: Crop, rng: np.random.Generator) -> Crop:
    small = cv2.resize(crop, (int(rng.integers(7, 30)),) * 2, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, crop.shape, interpolation=int(rng.choice([cv2.INTER_LINEAR, cv2.INTER_CUBIC])))


def _shaken(crop: Crop, rng: np.random.Generator) -> Crop:
    length = int(rng.integers(3, 15))
    kernel = np.zeros((length, length), np.float32)
    reach = (length - 1) / 2 * np.array([np.cos(angle := rng.uniform(0, np.pi)), np.sin(angle)])
    ends = [tuple(map(int, np.rint((length - 1) / 2 + sign * reach))) for sign in (-1, 1)]
    cv2.line(kernel, *ends, 1.0)
    return cv2.filter2D(crop, -1, kernel / kernel.sum())


def _blurred(crop: Crop, rng: np.random.Generator) -> Crop:
    return cv2.GaussianBlur(crop, (0, 0), rng.uniform(0.8, 5))


def _noisy(crop: Crop, rng: np.random.Generator) -> Crop:
    return np.clip(crop + rng.normal(0, rng.uniform(8, 60), crop.shape), 0, 255).astype(np.uint8)
