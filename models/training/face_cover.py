"""What hides a face, drawn before aligned grey crops: masks, hands, things and the edge of a picture.

Lengths are fractions of the crop, in which `service.features.face.TEMPLATE` says where eyes, nose and mouth lie.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Crop = NDArray[np.uint8]
Cover = NDArray[np.float32]

FINER = 4
"""Covers are drawn this much larger and averaged, so that their edges are as soft as a picture's."""

MASK_TOP = np.array([[-0.05, 0.42], [0.2, 0.53], [0.5, 0.52], [0.8, 0.53], [1.05, 0.42]])
MASK_BOTTOM = np.array(
    [[1.02, 0.68], [0.86, 0.92], [0.66, 1.06], [0.5, 1.09], [0.34, 1.06], [0.14, 0.92], [-0.02, 0.68]]
)


def covered(
    crop: Crop, rng: np.random.Generator, other: Crop | None = None, hands: Sequence[Crop] = ()
) -> tuple[Crop, Cover]:
    """The crop (s, s) with something before it, and how much of each pixel that hides, (s, s) in [0, 1].

    `other` is another face, whose parts serve as a textured thing; `hands` are photographed ones, (h, w, 2) of grey and
    of what is there, drawn ones stand in without.
    """
    kind = rng.random()
    if kind < 0.25:
        return masked(crop, rng)
    if kind < 0.8:
        photographed = len(hands) > 0 and rng.random() < 0.85
        return photographed_hand(crop, hands[rng.integers(len(hands))], rng) if photographed else handed(crop, rng)
    if kind < 0.92:
        return behind_a_thing(crop, rng, other)
    return cut_off(crop, rng)


def masked(crop: Crop, rng: np.random.Generator) -> tuple[Crop, Cover]:
    """A mask of cloth or paper over nose, mouth and chin: one shade, lit as the face is, with pleats and an edge."""
    size = len(crop)
    corners = np.concatenate([MASK_TOP, MASK_BOTTOM]) + rng.normal(0, 0.02, (12, 2))
    corners[:5, 1] += rng.normal(0, 0.04)
    corners[1:4, 1] += rng.normal(0, 0.02)
    cover = _polygon(size, corners)
    rows = np.linspace(0, 1, size)[:, None]
    pleats = rng.uniform(0, 12) * np.sin(2 * np.pi * (rows * rng.uniform(4, 12) + rng.random()))
    bulge = rng.uniform(0, 40) * (0.25 - (np.linspace(0, 1, size)[None] - rng.uniform(0.35, 0.65)) ** 2)
    return _laid(crop, cover, rng.uniform(15, 250) + pleats + bulge, rng), cover


def handed(crop: Crop, rng: np.random.Generator) -> tuple[Crop, Cover]:
    """A hand of the face's own shade: a palm and one to five fingers, over the mouth, a cheek, an eye or all of it."""
    size = len(crop)
    skin = float(np.median(crop[size // 4 : 3 * size // 4, size // 4 : 3 * size // 4])) * rng.uniform(0.75, 1.15)
    where = np.array([rng.uniform(0.15, 0.85), rng.uniform(0.1, 1.0)])
    angle, width = rng.uniform(0, 2 * np.pi), rng.uniform(0.08, 0.13)
    along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    hand, cover = np.full((size, size), skin, np.float32), np.zeros((size, size), np.float32)
    count = int(rng.integers(1, 6))
    for finger in range(count):
        start = where + across * width * (finger - (count - 1) / 2) * rng.uniform(0.9, 1.25)
        part = _capsule(size, start - along * 0.2, start + along * rng.uniform(0.15, 0.45), width)
        edge = np.clip(cv2.GaussianBlur(part, (0, 0), size / 40) - part, 0, 1) * cover
        hand = hand * (1 - 0.5 * edge)
        cover = np.maximum(cover, part)
    if rng.random() < 0.7:
        palm = where - along * rng.uniform(0.15, 0.4)
        cover = np.maximum(cover, _capsule(size, palm - across * 0.1, palm + across * 0.1, rng.uniform(0.3, 0.5)))
    return _laid(crop, cover, hand, rng), cover


def photographed_hand(crop: Crop, hand: Crop, rng: np.random.Generator) -> tuple[Crop, Cover]:
    """A real hand (h, w, 2), turned, scaled and shaded as the face is, somewhere before it."""
    size, (height, width) = len(crop), hand.shape[:2]
    scale = size * rng.uniform(0.7, 1.8) / max(height, width)
    held = np.array([width * rng.uniform(0.3, 0.9), height * rng.uniform(0.3, 0.7)])
    turn = cv2.getRotationMatrix2D(tuple(held), rng.uniform(0, 360), scale)
    turn[:, 2] += size * np.array([rng.uniform(0.15, 0.85), rng.uniform(0.1, 0.95)]) - held
    softer = cv2.GaussianBlur(hand[:, :: int(rng.choice([-1, 1]))], (0, 0), max(0.4 / scale, 0.3))
    small = cv2.warpAffine(softer, turn, (size, size)).astype(np.float32)
    cover = small[..., 1] / 255
    middle = crop[size // 4 : 3 * size // 4, size // 4 : 3 * size // 4]
    skin = float(np.percentile(middle, rng.uniform(40, 80))) * np.exp(rng.normal(0, 0.1))
    usual = float(np.median(hand[..., 0][hand[..., 1] > 128]))
    shade = skin + (small[..., 0] - usual) * skin / usual * rng.uniform(0.7, 1.6)
    shadow = 1 - rng.uniform(0, 0.5) * cv2.GaussianBlur(cover, (0, 0), size / 20) * (1 - cover)
    return np.clip(crop * (1 - cover) * shadow + shade * cover, 0, 255).astype(np.uint8), cover


def behind_a_thing(crop: Crop, rng: np.random.Generator, other: Crop | None) -> tuple[Crop, Cover]:
    """Something with straight edges and one shade, or the look of a part of another picture."""
    size = len(crop)
    middle, reach = rng.uniform(0.2, 0.8, 2), rng.uniform(0.15, 0.45)
    turns = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(4, 8))))
    cover = _polygon(
        size, middle + reach * np.stack([np.cos(turns), np.sin(turns)], -1) * rng.uniform(0.7, 1.3, (1, 2))
    )
    if other is None or rng.random() < 0.4:
        return _laid(crop, cover, np.full((size, size), rng.uniform(0, 255)), rng), cover
    looks = np.rot90(other, int(rng.integers(4))).astype(np.float32)
    return np.asarray(crop * (1 - cover) + looks * cover, np.uint8), cover


def cut_off(crop: Crop, rng: np.random.Generator) -> tuple[Crop, Cover]:
    """A face that reaches over the edge of its picture, whose last line is repeated there as in serving."""
    size = len(crop)
    lost = int(size * rng.uniform(0.15, 0.55))
    turns = int(rng.integers(4))
    turned, cover = np.rot90(crop, turns).copy(), np.zeros((size, size), np.float32)
    turned[:lost], cover[:lost] = turned[lost], 1
    return np.ascontiguousarray(np.rot90(turned, -turns)), np.ascontiguousarray(np.rot90(cover, -turns))


def _laid(crop: Crop, cover: Cover, shade: NDArray, rng: np.random.Generator) -> Crop:
    """The shade, under a part of the face's own light and with some grain, where the cover is."""
    light = cv2.GaussianBlur(crop, (0, 0), len(crop) / 6).astype(np.float32)
    lit = shade * (np.maximum(light, 1) / max(float(light.mean()), 1)) ** rng.uniform(0, 0.8)
    grain = cv2.GaussianBlur(rng.normal(0, rng.uniform(0, 12), crop.shape), (0, 0), rng.uniform(0.5, 2))
    return np.clip(crop * (1 - cover) + (lit + grain) * cover, 0, 255).astype(np.uint8)


def _polygon(size: int, corners: NDArray[np.float64]) -> Cover:
    canvas = np.zeros((size * FINER,) * 2, np.uint8)
    cv2.fillPoly(canvas, [np.rint(corners * size * FINER).astype(np.int32)], 255)
    return cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def _capsule(size: int, start: NDArray[np.float64], end: NDArray[np.float64], width: float) -> Cover:
    canvas, scale = np.zeros((size * FINER,) * 2, np.uint8), size * FINER
    ends = [tuple(map(int, np.rint(point * scale))) for point in (start, end)]
    cv2.line(canvas, *ends, 255, max(1, round(width * scale)), cv2.LINE_AA)
    return cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
