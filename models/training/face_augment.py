"""How a training face is varied: as another detector, camera, light or hand before the face would have made it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.training.face_cover import covered
from models.training.face_data import Faces, cut_out, whole_picture

Crop = NDArray[np.uint8]


@dataclass(frozen=True)
class Variation:
    """Standard deviations and chances of the changes; lengths are fractions of the span of the landmarks."""

    point_shift: float = 0.025
    shift: float = 0.04
    turn_degrees: float = 6.0
    log_scale: float = 0.08
    unaligned: float = 0.07
    low_resolution: float = 0.2
    blur: float = 0.15
    sharpen: float = 0.1
    jpeg: float = 0.1
    noise: float = 0.1
    erase: float = 0.25
    cover: float = 0.0
    log_contrast: float = 0.2
    log_gamma: float = 0.2
    brightness: float = 15.0


def varied_crops(
    faces: Faces, chosen: NDArray[np.int64], size: int, rng: np.random.Generator, variation: Variation
) -> NDArray[np.uint8]:
    """Grey crops (n, size, size) of the chosen rows, aligned by jittered landmarks, flipped, degraded and erased."""
    return np.stack([_varied_crop(faces, row, size, rng, variation) for row in chosen])


def jittered(landmarks: NDArray[np.float32], rng: np.random.Generator, variation: Variation) -> NDArray[np.float32]:
    """Landmarks (5, 2) as a less exact detector sets them: each moved a little, all turned, scaled and shifted."""
    centre, span = landmarks.mean(axis=0), np.ptp(landmarks, axis=0).max()
    angle = np.deg2rad(rng.normal(0, variation.turn_degrees))
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    scale = np.exp(rng.normal(0, variation.log_scale))
    own = rng.normal(0, variation.point_shift * span, landmarks.shape)
    shift = rng.normal(0, variation.shift * span, 2)
    return ((landmarks - centre + own) @ turn * scale + centre + shift).astype(np.float32)


def degraded(crop: Crop, rng: np.random.Generator, variation: Variation) -> Crop:
    """A crop as a small, soft, over-sharpened or much compressed picture of the face would give it."""
    if rng.random() < variation.low_resolution:
        crop = _low_resolution(crop, rng.uniform(0.35, 0.9))
    if rng.random() < variation.blur:
        crop = cv2.GaussianBlur(crop, (0, 0), rng.uniform(0.4, 1.4))
    if rng.random() < variation.sharpen:
        crop = cv2.addWeighted(crop, 2.0, cv2.GaussianBlur(crop, (0, 0), 1.0), -1.0, 0)
    if rng.random() < variation.jpeg:
        crop = _compressed(crop, int(rng.integers(25, 80)))
    return crop


def relit(crop: Crop, rng: np.random.Generator, variation: Variation) -> Crop:
    """A crop under another light: gamma, contrast about its mean, brightness, and now and then a side in the shade."""
    levels = np.arange(256) / 255
    gamma, contrast = np.exp(rng.normal(0, [variation.log_gamma, variation.log_contrast]))
    curve = 255 * levels**gamma
    middle = curve[int(crop.mean())]
    curve = (curve - middle) * contrast + middle + rng.normal(0, variation.brightness)
    return np.clip(curve, 0, 255).astype(np.uint8)[crop]


def noisy(crop: Crop, rng: np.random.Generator) -> Crop:
    """A crop with a sensor's noise."""
    return np.clip(crop + rng.normal(0, rng.uniform(2, 9), crop.shape), 0, 255).astype(np.uint8)


def erased(crop: Crop, rng: np.random.Generator) -> Crop:
    """A crop with something flat before it: a rectangle of 3 to 20 per cent in one grey (Zhong et al. 2020)."""
    side, area = len(crop), rng.uniform(0.03, 0.2)
    aspect = np.exp(rng.uniform(-1, 1))
    height, width = (int(min(side * np.sqrt(area * ratio), side - 1)) for ratio in (aspect, 1 / aspect))
    top, left = rng.integers(0, side - height), rng.integers(0, side - width)
    covered = crop.copy()
    covered[top : top + height, left : left + width] = rng.integers(0, 256)
    return covered


def _varied_crop(faces: Faces, row: int, size: int, rng: np.random.Generator, variation: Variation) -> Crop:
    unaligned = rng.random() < variation.unaligned
    landmarks = whole_picture(faces.side) if unaligned else faces.landmarks[row]
    crop = cut_out(faces.pictures[row], jittered(landmarks, rng, variation), size)
    crop = relit(degraded(crop, rng, variation), rng, variation)
    if rng.random() < variation.noise:
        crop = noisy(crop, rng)
    if rng.random() < variation.erase:
        crop = erased(crop, rng)
    if variation.cover and rng.random() < variation.cover:
        crop, _ = covered(crop, rng)
    return crop[:, ::-1] if rng.random() < 0.5 else crop


def _low_resolution(crop: Crop, factor: float) -> Crop:
    size = len(crop)
    small = cv2.resize(crop, (max(8, round(size * factor)),) * 2, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (size, size), interpolation=cv2.INTER_LINEAR)


def _compressed(crop: Crop, quality: int) -> Crop:
    _, encoded = cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE)
