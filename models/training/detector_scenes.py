"""Pictures to train the face detector on: photographs pasted, scaled, turned and spoilt, with their faces' places."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.training.data import data_folder, read_table
from models.training.detector_animals import Animal, animals
from service.features.face import Detection, Picture, box_iou, decode_yunet, letterbox

YUNET = "models/face_detection_yunet_2023mar.onnx"
SMALLEST = 8.0
"""Faces below this many pixels are neither asked for nor punished."""
SMALLEST_DECOY = 25.0

TEACHER_ERRORS = frozenset(
    f"bsds500/{name}.jpg" for name in ("41033", "43051", "49024", "71076", "101085", "159008", "161045", "247003")
)
"""The teacher boxes a bison, a duck, a gorilla, wooden figures, foxes, the Sphinx and puppies: no face is there."""

MIRRORED = (1, 0, 2, 4, 3)


@dataclass(frozen=True, eq=False)
class Faces:
    """n faces: `boxes` (n, 4) as x, y, width, height; `landmarks` (n, 5, 2), NaN where unknown; `ignored` (n,)."""

    boxes: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    ignored: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.boxes)

    def where(self, chosen: NDArray[np.bool_]) -> Faces:
        """The chosen ones."""
        return Faces(self.boxes[chosen], self.landmarks[chosen], self.ignored[chosen])

    def moved(self, matrix: NDArray[np.float64]) -> Faces:
        """Under a (2, 3) affinity. A face is taken for the ellipse in its box; the new box holds the moved ellipse."""
        linear, shift = matrix[:, :2], matrix[:, 2]
        half = self.boxes[:, 2:] / 2
        middles = (self.boxes[:, :2] + half) @ linear.T + shift
        reach = np.sqrt((linear[None] ** 2 * half[:, None] ** 2).sum(-1))
        boxes = np.concatenate([middles - reach, 2 * reach], -1).astype(np.float32)
        landmarks = (self.landmarks @ linear.T + shift).astype(np.float32)
        mirrored = np.linalg.det(linear) < 0
        return Faces(boxes, landmarks[:, MIRRORED] if mirrored else landmarks, self.ignored)

    def __add__(self, other: Faces) -> Faces:
        return Faces(
            np.concatenate([self.boxes, other.boxes]),
            np.concatenate([self.landmarks, other.landmarks]),
            np.concatenate([self.ignored, other.ignored]),
        )


@dataclass(frozen=True, eq=False)
class Photograph:
    """A picture, the faces in it, and for something cut out how much of each pixel (h, w) is there, in [0, 1]."""

    picture: Picture
    faces: Faces
    cover: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Material:
    """What scenes are made of.

    The faces of `decoys` and `animals` are none: the teacher falls for animals, wheels, idols and trees.
    """

    portraits: Sequence[Photograph]
    streets: Sequence[Photograph]
    backdrops: Sequence[Picture]
    decoys: Sequence[Photograph]
    animals: Sequence[Photograph]


def faces_of(boxes: Iterable, landmarks: Iterable | None = None, ignored: bool = False) -> Faces:
    """Faces from nested lists of numbers; landmarks are unknown unless given."""
    four = np.asarray(list(boxes), np.float32).reshape(-1, 4)
    five = np.full((len(four), 5, 2), np.nan) if landmarks is None else np.asarray(list(landmarks)).reshape(-1, 5, 2)
    return Faces(four, five.astype(np.float32), np.full(len(four), ignored))


def load_material(split: str, folder: Path | None = None) -> Material:
    """Decode all pictures of a split into memory: about 3,900 small ones for `train`, and the animals of a `folder`."""
    scenes = read_table("face/scenes", split)
    teacher = Teacher()
    photographs = [scene(row) for row in scenes]
    portraits = [photograph for photograph in photographs if len(photograph.faces)]
    streets = [street(row, teacher) for row in read_table("face/facemask_boxes", split)]
    backdrops = [
        photograph.picture
        for row, photograph in zip(scenes, photographs, strict=True)
        if not len(photograph.faces) and not kept_for_validation(row)
    ]
    doubter = Teacher(0.3)
    decoys = [decoy for picture in backdrops if len((decoy := _decoy(picture, doubter)).faces)]
    known = [animal for animal in animals(folder) if not animal.kept_for_validation] if folder else []
    strangers = [_suspected(animal, doubter) for animal in known]
    return Material(portraits, streets, backdrops, decoys, strangers)


def kept_for_validation(row: dict) -> bool:
    """A sixth of the pictures without faces, since the validation split has none; by name, whatever the order."""
    return zlib.crc32(row["id"].encode()) % 6 == 0


def decoded(image: bytes) -> Picture:
    """The RGB picture in an encoded one."""
    return cv2.cvtColor(cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def scene(row: dict) -> Photograph:
    """A row of `face/scenes`, with the teacher's faces but for its known errors."""
    known = faces_of([]) if row["id"] in TEACHER_ERRORS else faces_of(row["boxes"], row["landmarks"])
    return Photograph(decoded(row["image"]), known)


def street(row: dict, teacher: Teacher | None = None) -> Photograph:
    """A row of `face/facemask_boxes`: boxes drawn by people, the teacher's landmarks where its box agrees.

    What the teacher alone has found may be a far face that nobody drew: it is ignored.
    """
    picture, drawn = decoded(row["image"]), faces_of(row["boxes"])
    if teacher is None or not len(drawn):
        return Photograph(picture, drawn)
    found = teacher.find(picture, 2 * max(picture.shape[:2]))
    overlaps = box_iou(drawn.boxes, np.array([each.box for each in found], np.float32).reshape(-1, 4))
    for index, detection in enumerate(found):
        if overlaps[:, index].max() > 0.5:
            drawn.landmarks[overlaps[:, index].argmax()] = detection.landmarks
    undrawn = [each.box for index, each in enumerate(found) if overlaps[:, index].max() < 0.2]
    return Photograph(picture, drawn + faces_of(undrawn, ignored=True))


def _decoy(picture: Picture, teacher: Teacher) -> Photograph:
    """A picture without faces, and where the teacher suspects some all the same.

    By eye, what it suspects above `SMALLEST_DECOY` pixels is no face; below, some are people far away.
    """
    found = teacher.find(picture, 2 * max(picture.shape))
    return Photograph(picture, faces_of(each.box for each in found if max(each.box[2:]) >= SMALLEST_DECOY))


def on_grey(animal: Animal) -> Picture:
    """An animal before a grey ground."""
    cover = animal.cover[..., None]
    return (animal.picture * cover + 128 * (1 - cover)).astype(np.uint8)


def _suspected(animal: Animal, teacher: Teacher) -> Photograph:
    """An animal or a thing, and where the teacher suspects a face; its middle where it suspects none."""
    shown = on_grey(animal)
    height, width = shown.shape[:2]
    found = (each.box for side in (128, 256, 512) for each in teacher.find(shown, side))
    boxes = [box for box in found if SMALLEST <= max(box[2:]) <= max(height, width)]
    third = min(height, width) / 3
    boxes = boxes or [(width / 2 - third / 2, height / 2 - third / 2, third, third)]
    return Photograph(animal.picture, faces_of(boxes), animal.cover)


class Teacher:
    """YuNet (Wu, Peng & Yu 2023; MIT) through OpenCV, from the data folder."""

    def __init__(self, threshold: float = 0.7) -> None:
        path = str(data_folder() / YUNET)
        self._network = cv2.FaceDetectorYN.create(path, "", (320, 320), threshold, 0.3, 5000)

    def find(self, picture: Picture, side: int) -> list[Detection]:
        """The faces that it sees with the longest side scaled to `side`, in pixels of the picture."""
        view = letterbox(picture, side)
        self._network.setInputSize(view.canvas.shape[1::-1])
        found = decode_yunet(self._network.detect(cv2.cvtColor(view.canvas, cv2.COLOR_RGB2BGR))[1])
        scale = np.array(view.scale)
        return [
            replace(each, box=tuple(np.array(each.box) / np.tile(scale, 2)), landmarks=each.landmarks / scale)
            for each in found
        ]


def compose(rng: np.random.Generator, material: Material, side: int) -> tuple[Picture, Faces]:
    """One training picture (side, side, 3) and its faces: a crowd, a portrait, a street or nobody at all."""
    canvas = _backdrop(rng, material, side)
    faces = faces_of([])
    kind = rng.random()
    if rng.random() < 0.5:
        _deceive(rng, canvas, material.decoys, faces)
    if material.animals and rng.random() < 0.5:
        _deceive(rng, canvas, material.animals, faces)
    if kind < 0.2:
        for _ in range(rng.integers(3, 10)):
            faces = _paste(rng, canvas, faces, *_portrait(rng, material.portraits, side, (9.0, 0.3 * side)))
    elif kind < 0.45:
        for _ in range(rng.integers(1, 3)):
            faces = _paste(rng, canvas, faces, *_portrait(rng, material.portraits, side, (0.15 * side, 1.05 * side)))
    elif kind < 0.9:
        faces = _paste(rng, canvas, faces, *_street(rng, material, side))
        if rng.random() < 0.3:
            faces = _paste(rng, canvas, faces, *_portrait(rng, material.portraits, side, (10.0, 0.4 * side)))
    if material.animals and rng.random() < 0.15:
        faces = _deceive(rng, canvas, material.animals, faces)
    _occlude(rng, canvas, faces)
    return spoil(rng, canvas), _seen(faces, side)


def _deceive(rng: np.random.Generator, canvas: Picture, shelf: Sequence[Photograph], faces: Faces) -> Faces:
    """Lay one or two things over the canvas, in place, that only look as if they had faces."""
    side = len(canvas)
    for _ in range(rng.integers(1, 3)):
        decoy, matrix = _portrait(rng, shelf, side, (12.0, 0.8 * side))
        faces = _paste(rng, canvas, faces, replace(decoy, faces=faces_of([])), matrix)
    return faces


def _portrait(
    rng: np.random.Generator, shelf: Sequence[Photograph], side: int, sizes: tuple[float, float]
) -> tuple[Photograph, NDArray[np.float64]]:
    """A photograph and the affinity that puts one of its faces, log-uniform in `sizes` pixels, anywhere."""
    photograph = shelf[rng.integers(len(shelf))]
    box = photograph.faces.boxes[rng.integers(len(photograph.faces))]
    size = math.exp(rng.uniform(math.log(sizes[0]), math.log(sizes[1])))
    place = rng.uniform(min(0.3 * size, side / 2), side - min(0.3 * size, side / 2), 2)
    return photograph, _affinity(rng, box[:2] + box[2:] / 2, place, size / max(box[2:]), turn=22)


def _street(rng: np.random.Generator, material: Material, side: int) -> tuple[Photograph, NDArray[np.float64]]:
    """A street scene and the affinity that shows the surroundings of one of its faces, or all of it."""
    photograph = material.streets[rng.integers(len(material.streets))]
    boxes = photograph.faces.boxes
    box = boxes[rng.integers(len(boxes))]
    factor = math.exp(rng.uniform(math.log(0.7), math.log(2.5)))
    place = rng.uniform(0.2 * side, 0.8 * side, 2)
    return photograph, _affinity(rng, box[:2] + box[2:] / 2, place, factor, turn=8)


def _affinity(
    rng: np.random.Generator, source: NDArray, target: NDArray, factor: float, turn: float
) -> NDArray[np.float64]:
    """Scale by `factor`, turn by about `turn` degrees, mirror, squeeze and shear, taking `source` to `target`."""
    angle = math.radians(float(np.clip(rng.normal(0, turn), -60, 60)))
    rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    squeeze = np.array([[rng.uniform(0.8, 1.1), rng.normal(0, 0.07)], [rng.normal(0, 0.05), 1.0]])
    mirror = np.diag([rng.choice([-1.0, 1.0]), 1.0])
    linear = factor * rotation @ squeeze @ mirror
    return np.concatenate([linear, (target - linear @ source)[:, None]], 1)


def _paste(
    rng: np.random.Generator, canvas: Picture, faces: Faces, photograph: Photograph, matrix: NDArray[np.float64]
) -> Faces:
    """Lay a moved photograph over the canvas, in place; returns the faces there, without what is now covered."""
    height, width = photograph.picture.shape[:2]
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]]) @ matrix[:, :2].T + matrix[:, 2]
    left, top = np.maximum(np.floor(corners.min(0)), 0).astype(int)
    right, bottom = np.minimum(np.ceil(corners.max(0)), canvas.shape[1::-1]).astype(int)
    if right - left < 2 or bottom - top < 2:
        return faces
    picture, shrunk = _antialiased(_toned(rng, photograph.picture), matrix)
    shrunk[:, 2] -= left, top
    window = (int(right - left), int(bottom - top))
    layer = cv2.warpAffine(picture, shrunk, window, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    cover = np.ones((height, width), np.float32) if photograph.cover is None else photograph.cover
    cover = cv2.resize(cover, picture.shape[1::-1], interpolation=cv2.INTER_AREA)
    mask = cv2.warpAffine(cover, shrunk, window, flags=cv2.INTER_LINEAR)
    region = canvas[top:bottom, left:right]
    opaque = mask[..., None]
    region[:] = (region * (1 - opaque) + layer * opaque).astype(np.uint8)
    return _uncovered(faces, mask, (int(left), int(top))) + photograph.faces.moved(matrix)


def _toned(rng: np.random.Generator, picture: Picture) -> Picture:
    """Half of the grey pictures, which most portraits are, in the tones of a lamp or of skin."""
    sample = picture[::8, ::8].astype(np.int16)
    if np.ptp(sample, axis=-1).mean() > 4 or rng.random() < 0.5:
        return picture
    levels = np.linspace(0, 1, 256)
    tables = [levels**gamma * rng.uniform(0.9, 1.0) for gamma in (rng.uniform(0.6, 1), 1.0, rng.uniform(1, 1.6))]
    return cv2.LUT(picture, (np.stack(tables, -1) * 255).astype(np.uint8)[None])


def _antialiased(picture: Picture, matrix: NDArray[np.float64]) -> tuple[Picture, NDArray[np.float64]]:
    """The picture averaged down when `matrix` shrinks it much, and the matrix for what remains to be done."""
    factor = math.sqrt(abs(np.linalg.det(matrix[:, :2])))
    if factor > 0.7:
        return picture, matrix.copy()
    height, width = picture.shape[:2]
    small = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    rest = matrix.copy()
    rest[:, :2] = matrix[:, :2] @ np.diag([width / small.shape[1], height / small.shape[0]])
    return small, rest


def _uncovered(faces: Faces, mask: NDArray[np.float32], corner: tuple[int, int]) -> Faces:
    """Faces less those that `mask`, whose corner lies there, hides for the most part; half-hidden ones are ignored."""
    hidden = np.array([_hidden(box, mask, corner) for box in faces.boxes])
    if not len(hidden):
        return faces
    doubtful = replace(faces, ignored=faces.ignored | (hidden > 0.25))
    return doubtful.where(hidden < 0.7)


def _hidden(box: NDArray[np.float32], mask: NDArray[np.float32], corner: tuple[int, int]) -> float:
    """The share of a box that lies under the mask."""
    low = np.maximum(box[:2] - corner, 0).astype(int)
    high = np.maximum(np.ceil(box[:2] + box[2:] - corner), 0).astype(int)
    return float(mask[low[1] : high[1], low[0] : high[0]].sum() / max(box[2] * box[3], 1.0))


def _seen(faces: Faces, side: int) -> Faces:
    """Faces at least a fifth inside the canvas; those mostly outside or too small are ignored."""
    low, high = faces.boxes[:, :2], faces.boxes[:, :2] + faces.boxes[:, 2:]
    inside = np.prod(np.clip(np.minimum(high, side) - np.maximum(low, 0), 0, None), -1)
    share = inside / np.maximum(np.prod(faces.boxes[:, 2:], -1), 1e-6)
    small = faces.boxes[:, 2:].max(-1) < SMALLEST
    doubtful = replace(faces, ignored=faces.ignored | small | (share < 0.6))
    return doubtful.where(share > 0.2)


def _backdrop(rng: np.random.Generator, material: Material, side: int) -> Picture:
    """A photograph without faces, or a texture made up, as large as the canvas."""
    if rng.random() < 0.35:
        return _texture(rng, side)
    picture = material.backdrops[rng.integers(len(material.backdrops))]
    height, width = picture.shape[:2]
    length = int(min(height, width) * rng.uniform(0.4, 1.0))
    top, left = rng.integers(height - length + 1), rng.integers(width - length + 1)
    part = picture[top : top + length, left : left + length]
    part = np.rot90(part, rng.integers(4)) if rng.random() < 0.3 else part
    return cv2.resize(np.ascontiguousarray(part[:, :: rng.choice([-1, 1])]), (side, side))


def _texture(rng: np.random.Generator, side: int) -> Picture:
    """Coloured noise of several grains around a random colour, with a few discs: buttons, wheels, lamps."""
    canvas = np.full((side, side, 3), rng.uniform(0, 255, 3), np.float32)
    for grain in rng.choice([2, 4, 8, 16, 64], 2, replace=False):
        noise = rng.normal(0, rng.uniform(2, 45), (grain, grain, rng.choice([1, 3]))).astype(np.float32)
        canvas += cv2.resize(noise, (side, side), interpolation=cv2.INTER_CUBIC).reshape(side, side, -1)
    texture = np.clip(canvas, 0, 255).astype(np.uint8)
    for _ in range(rng.integers(0, 12)):
        centre = tuple(map(int, rng.integers(0, side, 2)))
        axes = tuple(map(int, rng.integers(2, side // 6, 2)))
        colour = tuple(map(float, rng.uniform(0, 255, 3)))
        cv2.ellipse(texture, centre, axes, rng.uniform(0, 180), 0, 360, colour, int(rng.choice([-1, 1, 2, 5])))
    return texture


def _occlude(rng: np.random.Generator, canvas: Picture, faces: Faces) -> None:
    """Cover a part of some faces with a patch of one colour or of elsewhere in the canvas, in place."""
    side = canvas.shape[0]
    for x, y, width, height in faces.boxes[rng.random(len(faces)) < 0.08]:
        w, h = int(width * rng.uniform(0.2, 0.6)), int(height * rng.uniform(0.2, 0.45))
        left, top = int(x + rng.uniform(0, width - w)), int(y + rng.uniform(0, height - h))
        target = canvas[max(top, 0) : max(top + h, 0), max(left, 0) : max(left + w, 0)]
        rows, columns = target.shape[:2]
        if rng.random() < 0.5 or rows == 0 or columns == 0:
            target[:] = rng.integers(0, 256, 3)
        else:
            r, c = rng.integers(side - rows + 1), rng.integers(side - columns + 1)
            target[:] = canvas[r : r + rows, c : c + columns].copy()


def spoil(rng: np.random.Generator, picture: Picture) -> Picture:
    """Light, colour, grey, blur, noise and JPEG, each at random."""
    if rng.random() < 0.8:
        picture = _relit(rng, picture)
    if rng.random() < 0.2:
        picture = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    if rng.random() < 0.25:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 1.4))
    if rng.random() < 0.15:
        noise = rng.normal(0, rng.uniform(2, 9), picture.shape)
        picture = np.clip(picture + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.3:
        options = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(20, 90))]
        picture = cv2.imdecode(cv2.imencode(".jpg", picture, options)[1], cv2.IMREAD_COLOR)
    return picture


def _relit(rng: np.random.Generator, picture: Picture) -> Picture:
    """Gamma, gain and a tint by one table a channel; sometimes nearly dark."""
    levels = np.linspace(0, 1, 256)
    dark = rng.uniform(0.15, 0.5) if rng.random() < 0.08 else 1.0
    gamma, gain, lift = math.exp(rng.normal(0, 0.35)), rng.uniform(0.7, 1.3), rng.normal(0, 0.06)
    tints = rng.normal(1, 0.07, 3)
    tables = [np.clip((levels**gamma * gain * tint + lift) * dark, 0, 1) * 255 for tint in tints]
    return cv2.LUT(picture, np.stack(tables, -1).astype(np.uint8)[None])
