"""The pictures that clarity is learnt from and measured on: faces, masked ones of the streets, hands, and no faces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.registry import default_model
from models.training.data import read_table
from models.training.detector_animals import Animal, animals, hands
from models.training.detector_scenes import decoded, on_grey
from models.training.face_augment import Variation, jittered
from models.training.face_cover import Crop
from models.training.face_data import Faces, coarse_faces, cut_out, ferplus
from service.features.face import TEMPLATE, Detection, Picture, box_iou
from service.runners.face import FaceDetector

LEFT = {"mask": 0.1, "mask_wrong": 0.5, "no_mask": 1.0}
"""How much of a face is left by the label of its box; a mask that is worn wrongly leaves the nose or the mouth."""

SMALLEST_FACE = 20

SUSPECTED = 0.2
"""Scores of the detector from which an animal's face serves as a face that is none."""

SIZES = (0.5, 1.0, 2.0)

MORE_SIZES = (0.35, 0.5, 0.75, 1.0, 1.5, 2.0)
"""How large the animals are shown to the detector, to measure and to train."""


@dataclass(frozen=True, eq=False)
class Marked:
    """A grey picture, the landmarks of a face in it, and how much of the face it shows."""

    picture: NDArray[np.uint8]
    landmarks: NDArray[np.float32]
    left: float


@dataclass(frozen=True, eq=False)
class Shelf:
    """What batches are drawn from."""

    faces: Sequence[Faces]
    real: Sequence[Marked]
    nothing: Sequence[Marked]
    animals: Sequence[NDArray[np.uint8]]
    hands: Sequence[Crop]


def load_shelf(split: str, work: Path, folder: Path) -> Shelf:
    """The training or validation pictures; `folder` has the animals."""
    training = split == "train"
    detector = FaceDetector.load(default_model("face-detection"))
    keen = FaceDetector.load(default_model("face-detection"), threshold=SUSPECTED)
    pictures = [on_grey(each) for each in animals(folder) if each.kept_for_validation != training]
    nothing = [mark for picture in pictures for mark in _suspects(keen, picture, MORE_SIZES if training else SIZES)]
    held = [as_cover(each) for each in hands(folder) if each.kept_for_validation != training]
    faces, grey = (ferplus(split, work), coarse_faces(split)), [_grey(each) for each in pictures]
    return Shelf(faces, street_faces(split, detector), nothing, grey, held)


def as_cover(hand: Animal) -> Crop:
    """A photographed hand as `face_cover` takes it: (h, w, 2), grey and how much of it is there."""
    return np.dstack([_grey(hand.picture), (hand.cover * 255).astype(np.uint8)])


def _suspects(detector: FaceDetector, picture: Picture, sizes: Sequence[float]) -> list[Marked]:
    """What a detector takes for faces in a picture without any, seen at several sizes."""
    scaled = [cv2.resize(picture, None, fx=factor, fy=factor) for factor in sizes]
    return [Marked(_grey(each), face.landmarks, np.nan) for each in scaled for face in _found(detector, each)]


def anywhere(picture: NDArray[np.uint8], rng: np.random.Generator) -> Marked:
    """A grey picture without a face, and landmarks at any place, of any size and turned a little: nothing is there."""
    side = min(picture.shape) * np.exp(rng.uniform(np.log(0.25), np.log(1.2)))
    angle = rng.normal(0, 0.4)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    middle = rng.uniform(0.1, 0.9, 2) * picture.shape[::-1]
    return Marked(picture, ((TEMPLATE - 0.5) @ turn * side + middle).astype(np.float32), np.nan)


def street_faces(split: str, detector: FaceDetector) -> list[Marked]:
    """Faces of street scenes that the detector finds where people have drawn a box, with what its label leaves."""
    marked = []
    for row in read_table("face/facemask_boxes", split):
        picture, boxes = decoded(row["image"]), np.asarray(row["boxes"], np.float32).reshape(-1, 4)
        for face in _found(detector, picture):
            overlaps = box_iou(np.array([face.box], np.float32), boxes)[0]
            if len(boxes) and overlaps.max() > 0.5 and min(face.box[2:]) >= SMALLEST_FACE:
                marked.append(Marked(_grey(picture), face.landmarks, LEFT[row["labels"][overlaps.argmax()]]))
    return marked


def drawn(shelf: Shelf, size: int, rng: np.random.Generator) -> Crop:
    """A grey crop (size, size) of a FER+ or a muxspace face, undamaged."""
    faces = shelf.faces[rng.integers(len(shelf.faces))]
    row = rng.integers(len(faces))
    return cut_out(faces.pictures[row], jittered(faces.landmarks[row], rng, Variation()), size)


def _found(detector: FaceDetector, picture: Picture) -> Sequence[Detection]:
    (found,) = detector.detect([picture])
    return found if isinstance(found, tuple) else ()


def _grey(picture: Picture) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)
