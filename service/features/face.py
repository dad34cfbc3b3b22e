"""Faces before and after the networks: letterbox, decoding, suppression, alignment and quality.

Training and serving share every function here. Pictures are RGB uint8 of shape (height, width, 3); points and boxes are
in pixels with the origin at the top left. Landmarks are (5, 2): right eye, left eye, nose, right and left mouth corner,
right and left being the person's own, so that the right eye is on the picture's left.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Points = NDArray[np.float32]

STRIDES: tuple[int, ...] = (8, 16, 32)
"""Pixels a cell of the detector's three maps; canvases are multiples of the last."""

PICTURE_SIDES: tuple[int, ...] = (320, 640)
"""Longest sides of the views of a picture or frame: the second finds the small faces of a group."""

MAX_ENLARGEMENT = 2.0
"""Small pictures are not blown up further than this: it adds cells, not detail."""

SCORE_THRESHOLD = 0.67
"""Chosen on validation data by `models.training.detector_scores`; the registry's entry names it for its own weights."""

NMS_IOU = 0.4

MOST_CANDIDATES = 500
"""What suppression looks at, best first: a bound on its time and memory whatever a picture shows."""

LOW_QUALITY = 0.4
"""Faces of less quality are named by a warning, even where they are good enough to count for something."""

CLARITY_FROM, CLARITY_TO = 0.2, 0.8
"""Clarity, as the face model tells it, at which nothing is left of a face's quality, and everything."""

BLOCK = 8
"""Side of JPEG's blocks in pixels."""

CROP_SIZE = 64
"""Side of an aligned face in pixels, unless the model that reads it says otherwise."""

INTERPOLATIONS = {"linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC}
"""How crops are sampled between pixels, by the name that a model's setting `crop_interpolation` gives."""

TEMPLATE: Points = np.array(
    [[0.305, 0.382], [0.695, 0.382], [0.500, 0.579], [0.342, 0.755], [0.658, 0.755]], dtype=np.float32
)
"""Where the landmarks come to lie, as fractions of the crop: the median of 1,690 FER+ training faces, made symmetric.

An aligned face therefore shows what a FER+ picture shows, from the forehead to the chin.
"""


@dataclass(frozen=True, eq=False)
class Detection:
    """One face: `box` is (x, y, width, height) in pixels, `landmarks` (5, 2), `score` in [0, 1]."""

    box: tuple[float, float, float, float]
    landmarks: Points
    score: float


@dataclass(frozen=True, eq=False)
class View:
    """A picture on the detector's canvas: `scale` is canvas pixels a picture pixel, (x, y)."""

    canvas: Picture
    scale: tuple[float, float]


@dataclass(frozen=True)
class QualityParts:
    """What `quality` multiplies, each in [0, 1] and 1 where nothing is wrong."""

    size: float
    sharpness: float
    pose: float
    light: float
    compression: float
    score: float
    clarity: float = 1.0

    @property
    def product(self) -> float:
        """One bad part makes a bad face."""
        return math.prod(astuple(self))


def letterbox(picture: Picture, side: int, *, square: bool = False) -> View:
    """Scale the longest side to `side` (enlarging at most `MAX_ENLARGEMENT`); pad the right and the bottom with black.

    The canvas is the smallest with sides of multiples of 32, or `side` by `side` if `square`, for batches of mixed
    shapes.
    """
    height, width = picture.shape[:2]
    factor = min(side / max(height, width), MAX_ENLARGEMENT)
    new_width, new_height = max(1, round(width * factor)), max(1, round(height * factor))
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    scaled = cv2.resize(picture, (new_width, new_height), interpolation=how)
    canvas_height, canvas_width = (side, side) if square else (_whole_cells(new_height), _whole_cells(new_width))
    canvas = np.zeros((canvas_height, canvas_width, 3), np.uint8)
    canvas[:new_height, :new_width] = scaled
    return View(canvas, (new_width / width, new_height / height))


def views(picture: Picture, sides: Iterable[int] = PICTURE_SIDES, *, square: bool = False) -> list[View]:
    """The picture at each of `sides`; a side that adds no pixels to the one before is left out."""
    made: list[View] = []
    for side in sorted(sides):
        view = letterbox(picture, side, square=square)
        if not made or view.scale[0] > made[-1].scale[0]:
            made.append(view)
    return made


def decode(
    scores: NDArray[np.floating],
    boxes: NDArray[np.floating],
    landmarks: NDArray[np.floating],
    view: View,
    threshold: float = SCORE_THRESHOLD,
) -> list[Detection]:
    """The faces of one view in the pixels of its picture, before suppression.

    `scores` (cells,), `boxes` (cells, 4) and `landmarks` (cells, 10) are the detector's outputs for one canvas: the
    maps of strides 8, 16 and 32 one after another, row by row. A box is (dx, dy, log width, log height) and a landmark
    (dx, dy), from the centre of the cell and in units of its stride.
    """
    chosen = np.flatnonzero(scores >= threshold)
    centres, strides = (part[chosen] for part in cells(*view.canvas.shape[:2]))
    scale = np.array(view.scale, np.float32)
    middles = (centres + boxes[chosen, :2] * strides[:, None]) / scale
    sizes = np.exp(boxes[chosen, 2:]) * strides[:, None] / scale
    points = (centres[:, None] + landmarks[chosen].reshape(-1, 5, 2) * strides[:, None, None]) / scale
    corners = middles - sizes / 2
    return [
        Detection(tuple(map(float, (*corner, *size))), np.asarray(five, np.float32), float(score))  # type: ignore[arg-type]
        for corner, size, five, score in zip(corners, sizes, points, scores[chosen], strict=True)
    ]


def cells(height: int, width: int) -> tuple[Points, NDArray[np.float32]]:
    """Centres (cells, 2) in pixels and strides (cells,) of a canvas, in the order of the detector's outputs."""
    centres, strides = [], []
    for stride in STRIDES:
        rows, columns = np.mgrid[0 : height // stride, 0 : width // stride]
        centres.append((np.stack([columns, rows], -1).reshape(-1, 2) + 0.5) * stride)
        strides.append(np.full(rows.size, stride))
    return np.concatenate(centres).astype(np.float32), np.concatenate(strides).astype(np.float32)


def decode_yunet(faces: NDArray[np.floating] | None) -> list[Detection]:
    """What `cv2.FaceDetectorYN.detect` (which reads BGR) returns, (n, 15) or None, as detections already suppressed."""
    rows = [] if faces is None else faces
    return [
        Detection(tuple(map(float, row[:4])), np.asarray(row[4:14], np.float32).reshape(5, 2), float(row[14]))  # type: ignore[arg-type]
        for row in rows
    ]


def suppress(detections: Sequence[Detection], iou: float = NMS_IOU) -> list[Detection]:
    """Greedy non-maximum suppression: best score first, dropping what overlaps a kept box by more than `iou`."""
    order = sorted(detections, key=lambda found: -found.score)[:MOST_CANDIDATES]
    boxes = np.array([found.box for found in order], np.float32).reshape(-1, 4)
    overlaps = box_iou(boxes, boxes)
    kept: list[int] = []
    for index in range(len(order)):
        if not np.any(overlaps[index, kept] > iou):
            kept.append(index)
    return [order[index] for index in kept]


def box_iou(first: NDArray[np.floating], second: NDArray[np.floating]) -> NDArray[np.floating]:
    """Intersection over union of boxes (n, 4) and (m, 4), each (x, y, width, height): (n, m)."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum((first[:, :2] + first[:, 2:])[:, None], (second[:, :2] + second[:, 2:])[None])
    shared = np.prod(np.clip(high - low, 0, None), axis=-1)
    union = np.prod(first[:, 2:], axis=-1)[:, None] + np.prod(second[:, 2:], axis=-1)[None] - shared
    return shared / np.maximum(union, 1e-9)


def similarity(source: Points, target: Points) -> NDArray[np.float64]:
    """The (2, 3) similarity that maps `source` points to `target` with least squared error (Umeyama 1991).

    In the plane the least-squares rotation and scale are one complex number, and no reflection can come out.
    """
    start, goal = (np.asarray(points, np.float64) @ (1, 1j) for points in (source, target))
    centred = start - start.mean()
    turn = np.vdot(centred, goal - goal.mean()) / max(np.vdot(centred, centred).real, 1e-9)
    shift = goal.mean() - turn * start.mean()
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def placement(landmarks: Points, size: int = CROP_SIZE, margin: float = 0.0) -> NDArray[np.float64]:
    """The similarity (2, 3) from a picture to the aligned crop of a face in it, as `align` makes it."""
    return similarity(landmarks, (TEMPLATE + margin) / (1 + 2 * margin) * size)


def align(
    picture: Picture,
    landmarks: Points,
    size: int = CROP_SIZE,
    margin: float = 0.0,
    *,
    interpolation: str = "linear",
) -> Picture:
    """The face turned upright and scaled so that its landmarks lie on `TEMPLATE`: RGB uint8 (size, size, 3).

    `margin` widens the crop by that fraction of it on each side. Beyond the picture its edge is repeated.
    `interpolation` is one of `INTERPOLATIONS`, that by which the model that reads the crop was trained: cubic leaves
    more of the detail of a face about as large as the crop.
    """
    matrix = placement(landmarks, size, margin)
    # A large face is sampled finely and then averaged: bilinear sampling alone would alias.
    finer = min(8, max(1, math.ceil(0.75 / max(math.hypot(matrix[0, 0], matrix[1, 0]), 1e-6))))
    flags = INTERPOLATIONS[interpolation]
    warped = cv2.warpAffine(
        picture, matrix * finer, (size * finer, size * finer), flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    if finer > 1:
        warped = cv2.resize(warped, (size, size), interpolation=cv2.INTER_AREA)
    return np.asarray(warped, np.uint8)


def quality(picture: Picture, detection: Detection, clarity: float = 1.0) -> float:
    """How far a face can be trusted to show an expression, in [0, 1]: the product of `quality_parts`."""
    return quality_parts(picture, detection, clarity).product


def quality_parts(picture: Picture, detection: Detection, clarity: float = 1.0) -> QualityParts:
    """Size, sharpness, pose, light, compression, score and clarity of a face, each in [0, 1].

    `size` rises with the box's shorter side, from 0 at 8 to 1 at 48 pixels. `sharpness` rises with the variance of the
    Laplacian of the aligned grey crop (Pech-Pacheco et al. 2000). `pose` falls as the nose leaves the middle between
    the eyes, from 1 in front to 0 in full profile. `light` falls as the crop's mean nears black or white, and with its
    contrast. `compression` falls as `blockiness` rises, from 1 at 2.4 (99 in 100 validation faces lie below that
    as JPEG of quality 30) to 0 at 4 (half of them lie above that from quality 6), and the less the larger the face is
    against blocks of 8 pixels. `clarity` rises with how much of a face the face model says that the crop shows: it
    falls with masks, hands and blur, and is 1 for a model that can't tell.
    """
    # The ramps below were measured on bilinear crops, whatever the face model reads.
    grey = cv2.cvtColor(align(picture, detection.landmarks, CROP_SIZE), cv2.COLOR_RGB2GRAY)
    mean, contrast = float(grey.mean()), float(grey.std())
    blocks = blockiness(_inside(picture, detection.box))
    return QualityParts(
        size=_ramp(float(min(detection.box[2:])), 8, 48),
        sharpness=_ramp(float(cv2.Laplacian(grey, cv2.CV_32F).var()), 0, 150),
        pose=_ramp(-asymmetry(detection.landmarks), -1.2, -0.2),
        light=min(_ramp(mean, 5, 45), _ramp(-mean, -250, -215)) * _ramp(contrast, 4, 20),
        compression=max(_ramp(-blocks, -4.0, -2.4), _ramp(min(detection.box[2:]), 64, 192)),
        score=min(max(detection.score, 0.0), 1.0),
        clarity=_ramp(clarity, CLARITY_FROM, CLARITY_TO),
    )


def blockiness(grey: NDArray[np.uint8]) -> float:
    """How much stronger steps are at the edges of JPEG's blocks of 8 pixels than between others (Wang et al. 2002).

    About 1.2 in a grey picture (h, w) that is hardly compressed, 2 at quality 20 and 5 at quality 5. Where the blocks
    begin is unknown, so that the strongest of 8 places counts. 1 in pictures below 24 pixels, which tell too little.
    """
    if min(grey.shape) < 3 * BLOCK:
        return 1.0
    ratios = []
    for turned in (grey, grey.T):
        steps = np.abs(np.diff(turned.astype(np.float32), axis=1)).mean(axis=0)
        places = steps[: len(steps) // BLOCK * BLOCK].reshape(-1, BLOCK).mean(axis=0)
        ratios.append(places.max() / max((places.sum() - places.max()) / (BLOCK - 1), 0.5))
    return float(np.mean(ratios))


def _inside(picture: Picture, box: tuple[float, float, float, float]) -> NDArray[np.uint8]:
    """What of a box lies inside the picture, in grey; at least one pixel."""
    height, width = picture.shape[:2]
    left, top = (int(min(max(start, 0), limit - 1)) for start, limit in zip(box, (width, height), strict=False))
    right, bottom = (
        int(min(max(start + length, low + 1), limit))
        for start, length, low, limit in zip(box[:2], box[2:], (left, top), (width, height), strict=True)
    )
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(picture[top:bottom, left:right]), cv2.COLOR_RGB2GRAY), np.uint8)


def asymmetry(landmarks: Points) -> float:
    """How far the nose is from the middle between the eyes, along their line: 0 in front, 1 and above in profile.

    In units of half the distance between the eyes; unchanged by turning, scaling and moving the face.
    """
    right, left, nose = np.asarray(landmarks[:3], np.float64)
    axis = left - right
    return float(2 * abs((nose - (right + left) / 2) @ axis) / max(axis @ axis, 1e-9))


def _ramp(value: float, low: float, high: float) -> float:
    """0 up to `low`, 1 from `high`, linear between."""
    return min(max((value - low) / (high - low), 0.0), 1.0)


def _whole_cells(length: int) -> int:
    """`length` rounded up to a multiple of the coarsest stride."""
    return -(-length // STRIDES[-1]) * STRIDES[-1]
