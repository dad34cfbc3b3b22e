"""Moving pictures, inside the decoding process: every frame is decoded, the sampled ones become upright RGB."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import av
import numpy as np
from av.sidedata.sidedata import Type as SideDataType
from numpy.typing import NDArray

from service.media.limits import MAX_FRAMES

_MAX_CHUNK_SECONDS = 4.0
_MIN_STRETCH = 1.02
_MAX_STRETCH = 8.0
"""Pixels nearer to square than the one are rounding, further than the other an error in the file."""


@dataclass(frozen=True)
class Geometry:
    """How stored frames are shown: `width` and `height` upright with square pixels, and what turns them so."""

    stored: tuple[int, int]
    swap_axes: bool
    flip_x: bool
    flip_y: bool

    @property
    def upright(self) -> tuple[int, int]:
        """Width and height as seen."""
        width, height = self.stored
        return (height, width) if self.swap_axes else (width, height)

    def picture(self, frame: av.VideoFrame, longest_side: int) -> NDArray[np.uint8]:
        """`frame` upright, (height, width, 3), no side longer than `longest_side`."""
        scale = min(1.0, longest_side / max(self.stored))
        width, height = (max(1, round(side * scale)) for side in self.stored)
        pixels = (
            frame.reformat(width, height, format="rgb24", interpolation="AREA", threads=1)
            .to_ndarray()
            .astype(np.uint8, copy=False)
        )
        if self.swap_axes:
            pixels = pixels.transpose(1, 0, 2)
        pixels = pixels[:, ::-1] if self.flip_x else pixels
        pixels = pixels[::-1] if self.flip_y else pixels
        return np.ascontiguousarray(pixels)


def geometry(frame: av.VideoFrame, sample_aspect_ratio: float | None) -> Geometry:
    """Read off the first frame: its size, the shape of its pixels, its display matrix."""
    stretch = sample_aspect_ratio or 1.0
    width, height = frame.width, frame.height
    # Wide pixels widen the picture and tall ones lengthen it, so that no detail is lost.
    if _MIN_STRETCH <= stretch <= _MAX_STRETCH:
        width = round(width * stretch)
    elif _MIN_STRETCH <= 1 / stretch <= _MAX_STRETCH:
        height = round(height / stretch)
    return Geometry((width, height), *_turn(_display_matrix(frame)))


@dataclass
class Sampler:
    """Chooses frames on a grid of `frames_per_second`, the first always, and gathers them into chunks."""

    frames_per_second: float
    _due_seconds: float = -math.inf
    _times: list[float] = field(default_factory=list)
    _pictures: list[NDArray[np.uint8]] = field(default_factory=list)

    def wants(self, seconds: float) -> bool:
        """Whether the frame at `seconds` is the next of the grid; sets when the one after is due."""
        if seconds < self._due_seconds:
            return False
        step = 1.0 / self.frames_per_second
        # Half a millisecond forgives containers that round times down.
        self._due_seconds = (math.floor(seconds / step + 1e-3) + 1) * step - 5e-4
        return True

    def add(self, seconds: float, picture: NDArray[np.uint8]) -> None:
        self._times.append(seconds)
        self._pictures.append(picture)

    def is_full(self, now_seconds: float) -> bool:
        """Whether the chunk has enough frames, or has waited long enough for more."""
        waited = bool(self._times) and now_seconds - self._times[0] >= _MAX_CHUNK_SECONDS
        return waited or len(self._times) >= MAX_FRAMES

    def take(self) -> tuple[Sequence[float], Sequence[NDArray[np.uint8]]]:
        """The chunk: times and pictures; the next one starts empty."""
        taken = self._times, self._pictures
        self._times, self._pictures = [], []
        return taken


def _display_matrix(frame: av.VideoFrame) -> tuple[float, float, float, float] | None:
    """a, b, c, d of the matrix that takes a stored point (x, y) to (a x + c y, b x + d y), of libavutil/display.h."""
    side_data: Any  # PyAV declares the keys, and gives the values
    for side_data in frame.side_data:
        if side_data.type == SideDataType.DISPLAYMATRIX:
            matrix = memoryview(bytes(side_data)).cast("i")
            return matrix[0], matrix[1], matrix[3], matrix[4]
    return None


def _turn(matrix: tuple[float, float, float, float] | None) -> tuple[bool, bool, bool]:
    """(swap axes, flip x, flip y), in this order: the nearest of the eight ways to lay a picture."""
    if matrix is None or not any(matrix):
        return False, False, False
    a, b, c, d = matrix
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return False, a < 0, d < 0
    return True, c < 0, b < 0
