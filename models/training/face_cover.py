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
    """A drawn hand of the face's own shade, with its forearm, somewhere before the face (see `_held`)."""
    size = len(crop)
    place, along = _held(rng)
    scale = rng.uniform(0.75, 1.3)
    wrist = place - scale * rng.uniform(0.1, 0.6) * along
    hand, cover = np.ones((size, size), np.float32), np.zeros((size, size), np.float32)
    for path, width in _parts_of_a_hand(wrist, along, scale, rng):
        part = _stroke(size, path, width)
        round_off = cv2.GaussianBlur(part, (0, 0), size * width / 3)
        gap = np.clip(cv2.GaussianBlur(part, (0, 0), size / 40) - part, 0, 1) * cover
        hand = np.where(part > 0.5, 0.6 + 0.4 * round_off, hand * (1 - rng.uniform(0.3, 0.7) * gap))
        cover = np.maximum(cover, part)
    return _in_its_shade(crop, cv2.GaussianBlur(hand, (0, 0), size / 60) / 0.9, cover, rng), cover


def photographed_hand(crop: Crop, hand: Crop, rng: np.random.Generator) -> tuple[Crop, Cover]:
    """A real hand (h, w, 2) that points to the right, turned, scaled and shaded as the face is, somewhere before it.

    Its forearm goes on to the left as its first column does.
    """
    size, (height, width) = len(crop), hand.shape[:2]
    place, along = _held(rng)
    scale = size * rng.uniform(0.7, 1.5) / max(height, width)
    held = np.array([3 * width + width * rng.uniform(0.4, 0.9), height * rng.uniform(0.3, 0.7)])
    turn = cv2.getRotationMatrix2D(tuple(held), -float(np.rad2deg(np.arctan2(along[1], along[0]))), scale)
    turn[:, 2] += size * place - held
    longer = cv2.copyMakeBorder(hand[:: int(rng.choice([-1, 1]))], 0, 0, 3 * width, 0, cv2.BORDER_REPLICATE)
    softer = cv2.GaussianBlur(longer, (0, 0), max(0.4 / scale, 0.3))
    small = cv2.warpAffine(softer, turn, (size, size)).astype(np.float32)
    usual = float(np.median(hand[..., 0][hand[..., 1] > 128]))
    cover = small[..., 1] / 255
    return _in_its_shade(crop, 1 + (small[..., 0] / usual - 1) * rng.uniform(0.7, 1.6), cover, rng), cover


def _held(rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where a hand lies and where it points to: on forehead and eyes half of the time, else on a cheek or the mouth.

    Forearms come from below or from the side on which the hand lies.
    """
    kind, side = rng.random(), rng.choice([-1, 1])
    middle, spread = ((0.0, 0.22), (0.25, 0.1)) if kind < 0.5 else ((0.3, 0.55), (0.1, 0.15))
    if kind > 0.7:
        middle, spread = (0.0, 0.78), (0.2, 0.1)
    place = np.array([0.5, 0]) + rng.normal(middle, spread) * np.array([side, 1])
    outwards = np.sign(place[0] - 0.5)
    angle = -np.pi / 2 - outwards * rng.uniform(-0.4, 1.5)
    return place, np.array([np.cos(angle), np.sin(angle)])


def _parts_of_a_hand(
    wrist: NDArray[np.float64], along: NDArray[np.float64], scale: float, rng: np.random.Generator
) -> list[tuple[NDArray[np.float64], float]]:
    """Forearm, palm, thumb and fingers, from back to front, each as the corners of its middle line and its width.

    In a hand of `scale` 1, about as long as a face is from the brows to the chin, the palm is 0.36 long and wide.
    """
    across = np.array([-along[1], along[0]])
    palm, bent, spread, thumb = 0.36 * scale, rng.uniform(0.35, 1.0), rng.uniform(0, 0.16), rng.choice([-1, 1])
    parts = [
        (np.stack([wrist - 2 * along, wrist]), 0.25 * scale),
        (np.stack([wrist, wrist + 0.6 * palm * along]), palm),
    ]
    root = wrist + 0.1 * scale * along + thumb * 0.14 * scale * across
    aside = _turned(along, thumb * rng.uniform(0.2, 1.0))
    parts.append((np.stack([root, root + 0.3 * scale * aside]), 0.11 * scale))
    for index, length in zip((-1.5, -0.5, 0.5, 1.5), rng.permuted([0.28, 0.35, 0.38, 0.34]), strict=True):
        knuckle = wrist + palm * along + index * 0.095 * scale * across
        first = _turned(along, index * spread + rng.normal(0, 0.04))
        joint = knuckle + 0.5 * length * scale * bent * first
        tip = joint + 0.5 * length * scale * bent * _turned(first, rng.normal(0, 0.15))
        parts.append((np.stack([knuckle - 0.1 * scale * along, joint, tip]), 0.093 * scale))
    return parts


def _turned(direction: NDArray[np.float64], angle: float) -> NDArray[np.float64]:
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return turn @ direction


def _in_its_shade(crop: Crop, relief: Cover, cover: Cover, rng: np.random.Generator) -> Crop:
    """A hand over the crop, as bright as the face or a little less or more, with its shadow beside it."""
    size = len(crop)
    middle = crop[size // 4 : 3 * size // 4, size // 4 : 3 * size // 4]
    skin = float(np.percentile(middle, rng.uniform(40, 80))) * np.exp(rng.normal(0, 0.1))
    shadow = 1 - rng.uniform(0, 0.5) * cv2.GaussianBlur(cover, (0, 0), size / 20) * (1 - cover)
    return _laid((crop * shadow).astype(np.uint8), cover, skin * relief, rng)


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


def _stroke(size: int, path: NDArray[np.float64], width: float) -> Cover:
    """A line along the corners of a path, with round ends."""
    canvas, scale = np.zeros((size * FINER,) * 2, np.uint8), size * FINER
    cv2.polylines(canvas, [np.rint(path * scale).astype(np.int32)], False, 255, max(1, round(width * scale)))
    return cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
