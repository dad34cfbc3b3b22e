"""An aligned face with one place covered at a time, and what that tells drawn as a map over the picture.

Occlusion sensitivity (Zeiler & Fergus 2014, Visualizing and Understanding Convolutional Networks). Pictures are RGB
uint8 (height, width, 3).
"""

from __future__ import annotations

import math
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import PlainValidator

from service.domain.sentiment import Prediction
from service.features.face import Picture

GRID = 8
"""Cells of the map a side."""

PATCH_ROWS, PATCH_COLUMNS = 3, 5
"""What is covered at once, in cells: a mouth or a pair of eyes; less leaves enough of a smile to be as sure of it."""

ROWS, COLUMNS = GRID - PATCH_ROWS + 1, GRID - PATCH_COLUMNS + 1
"""Patches begin at so many rows and columns; they overlap."""

PATCHES = ROWS * COLUMNS

MAP_SIDE = 64
"""Longest side of the drawn map in pixels; it is smooth, so that it can be enlarged."""

FOR, AGAINST = (255, 176, 0), (58, 110, 255)
"""RGB of what speaks for the label and against it: told apart with any kind of colour vision."""

MOST_OPAQUE = 190
"""Of 255: the face still shows."""

FAINTEST_FULL_COLOUR = 0.05
"""Where no place changes a probability by more, the map stays pale."""


def read_crop(stored: str | Picture) -> Picture:
    """A square crop as `write_crop` wrote it."""
    if not isinstance(stored, str):
        return stored
    flat = np.frombuffer(b64decode(stored), np.uint8)
    side = math.isqrt(len(flat) // 3)
    return flat.reshape(side, side, 3).copy()


def write_crop(crop: Picture) -> str:
    """A crop as text, to the bit."""
    return b64encode(np.ascontiguousarray(crop).tobytes()).decode()


Row = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class FaceView:
    """A face as the face model read it: the aligned crop, where in the picture it was, and what the model said."""

    crop: Annotated[Picture, PlainValidator(read_crop)]
    placement: tuple[Row, Row]
    """The similarity from pixels of the picture as sent to those of the crop."""
    said: Prediction
    seconds: float | None = None


def placed(matrix: NDArray[np.floating], scale: float) -> tuple[Row, Row]:
    """A similarity from a picture that has `scale` pixels for one as it was sent, for the picture as it was sent."""
    (a, b, x), (c, d, y) = matrix.tolist()
    return (a * scale, b * scale, x), (c * scale, d * scale, y)


def covered(crop: Picture) -> Iterator[Picture]:
    """The crop with each patch in turn in its mean colour: `PATCHES` of them, row by row."""
    edges = np.linspace(0, len(crop), GRID + 1).round().astype(int)
    mean = crop.mean(axis=(0, 1)).round().astype(np.uint8)
    for row, column in np.ndindex(ROWS, COLUMNS):
        patched = crop.copy()
        patched[edges[row] : edges[row + PATCH_ROWS], edges[column] : edges[column + PATCH_COLUMNS]] = mean
        yield patched


def cell_weights(changes: NDArray[np.floating]) -> NDArray[np.float64]:
    """What each cell (`GRID`, `GRID`) weighs: the mean of the changes (`PATCHES`,) by the patches that cover it."""
    sums, counts = np.zeros((GRID, GRID)), np.zeros((GRID, GRID))
    for (row, column), change in zip(np.ndindex(ROWS, COLUMNS), changes, strict=True):
        here = slice(row, row + PATCH_ROWS), slice(column, column + PATCH_COLUMNS)
        sums[here] += change
        counts[here] += 1
    return sums / counts


def full_colour(weights: NDArray[np.floating]) -> float:
    """The weight that is drawn in full colour."""
    return max(float(np.abs(weights).max()), FAINTEST_FULL_COLOUR)


def box_of(view: FaceView) -> tuple[float, float, float, float]:
    """The upright box around what the crop shows of the picture as sent: x, y, width, height in its pixels."""
    side = len(view.crop)
    corners = np.array([[0, 0, 1], [side, 0, 1], [0, side, 1], [side, side, 1]]) @ _inverse(view).T
    low, high = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
    return low[0], low[1], high[0] - low[0], high[1] - low[1]


def draw(weights: NDArray[np.floating], view: FaceView) -> bytes:
    """The weights (`GRID`, `GRID`) as a PNG with transparency, to be laid over `box_of` the view."""
    x, y, width, height = box_of(view)
    scale = MAP_SIDE / max(width, height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    to_picture = np.array([[1 / scale, 0, x], [0, 1 / scale, y], [0, 0, 1]])
    to_crop = np.asarray(view.placement) @ to_picture
    smooth = cv2.resize(weights.astype(np.float32), view.crop.shape[:2], interpolation=cv2.INTER_CUBIC)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    turned = cv2.warpAffine(smooth, to_crop, size, flags=flags, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    return _png(np.asarray(turned, np.float64) / full_colour(weights))


def _inverse(view: FaceView) -> NDArray[np.float64]:
    return np.asarray(cv2.invertAffineTransform(np.asarray(view.placement)), np.float64)


def _png(strengths: NDArray[np.floating]) -> bytes:
    """Strengths in [-1, 1] as colour and opacity."""
    opacity = np.clip(np.abs(strengths), 0, 1) * MOST_OPAQUE
    colour = np.where((strengths > 0)[..., None], FOR, AGAINST)
    colour[opacity < 1] = 0
    blue_first = np.dstack([colour[..., ::-1], opacity]).astype(np.uint8)
    _, encoded = cv2.imencode(".png", blue_first, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    return encoded.tobytes()
