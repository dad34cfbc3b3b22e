"""How well a face detector finds: average precision, recall at a rate of false alarms, landmark error, time."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from models.training.data import read_table
from models.training.detector_animals import animals
from models.training.detector_scenes import (
    Photograph,
    Teacher,
    compose,
    faces_of,
    kept_for_validation,
    load_material,
    on_grey,
    scene,
    street,
)
from service.features.face import Detection, Picture, box_iou, decode, letterbox, suppress

Find = Callable[[Picture, int], list[Detection]]
"""A detector: the faces of a picture whose longest side is scaled to so many pixels, with scores from low to high."""

FALSE_ALARMS = 0.1
MADE, MADE_SIDE = 400, 320
"""How many scenes are composed to measure on, and their height and width in pixels."""

LOWEST = 0.05
"""Scores below this are not looked at when a curve is drawn."""


class Session:
    """An exported detector on one thread."""

    def __init__(self, path: Path, threshold: float = LOWEST) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._threshold = threshold

    def __call__(self, picture: Picture, side: int) -> list[Detection]:
        view = letterbox(picture, side)
        outputs = self._session.run(["scores", "boxes", "landmarks"], {"pictures": view.canvas[None]})
        return suppress(decode(*(output[0] for output in outputs), view, self._threshold))


@dataclass(frozen=True, eq=False)
class Matched:
    """All detections on a set of pictures, best first: `scores` (n,), `right` (n,); and the faces to be found."""

    scores: NDArray[np.float64]
    right: NDArray[np.bool_]
    faces: int
    pictures: int
    landmark_errors: NDArray[np.float64]

    def recall_at(self, false_alarms: float) -> float:
        """The share of faces found before there are more than `false_alarms` wrong boxes a picture."""
        allowed = np.cumsum(~self.right) <= false_alarms * self.pictures
        return float(self.right[allowed].sum() / self.faces)

    def threshold_at(self, false_alarms: float) -> float:
        """The lowest score with at most `false_alarms` wrong boxes a picture."""
        allowed = np.cumsum(~self.right) <= false_alarms * self.pictures
        return float(self.scores[allowed].min(initial=1.0))

    def at(self, threshold: float) -> tuple[float, float, float]:
        """Recall, precision and false alarms a picture of what scores `threshold` or more."""
        kept = self.right[self.scores >= threshold]
        return (
            float(kept.sum() / self.faces),
            float(kept.mean()) if len(kept) else 1.0,
            float((~kept).sum() / self.pictures),
        )

    @property
    def average_precision(self) -> float:
        """The area under precision over recall, precision made monotone (Everingham et al. 2010)."""
        hits = np.cumsum(self.right)
        precision = hits / np.arange(1, len(hits) + 1)
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        return float((envelope * self.right).sum() / self.faces)


def match(find: Find, photographs: Sequence[Photograph], side: int, smallest: float = 0.0) -> Matched:
    """Match greedily, best first, at an IoU of 0.5.

    Faces below `smallest` pixels (longer side, as stored) and ignored ones are neither asked for nor held against the
    detector.
    """
    scores, right, errors, count = [], [], [], 0
    for photograph in photographs:
        faces = photograph.faces
        counted = (faces.boxes[:, 2:].max(-1, initial=0) >= smallest) & ~faces.ignored
        count += int(counted.sum())
        for score, index, error in _pairs(find(photograph.picture, side), photograph):
            if index is None or counted[index]:
                scores.append(score)
                right.append(index is not None)
                errors += [] if error is None else [error]
    order = np.argsort(-np.array(scores), kind="stable")
    return Matched(np.array(scores)[order], np.array(right, bool)[order], count, len(photographs), np.array(errors))


def _pairs(found: list[Detection], photograph: Photograph) -> list[tuple[float, int | None, float | None]]:
    """Each detection's score, the face that it is (or None) and its landmark error in distances between the eyes."""
    faces, taken, pairs = photograph.faces, set(), []
    boxes = np.array([each.box for each in found], np.float32).reshape(-1, 4)
    overlaps = box_iou(boxes, faces.boxes)
    for index in sorted(range(len(found)), key=lambda i: -found[i].score):
        free = [face for face in range(len(faces)) if face not in taken and overlaps[index, face] >= 0.5]
        if not free:
            pairs.append((found[index].score, None, None))
            continue
        face = max(free, key=lambda each: overlaps[index, each])
        taken.add(face)
        pairs.append((found[index].score, face, _landmark_error(found[index].landmarks, faces.landmarks[face])))
    return pairs


def _landmark_error(found: NDArray, truth: NDArray) -> float | None:
    if not np.isfinite(truth).all():
        return None
    return float(np.linalg.norm(found - truth, axis=-1).mean() / max(np.linalg.norm(truth[0] - truth[1]), 1e-6))


@cache
def scenes(split: str) -> tuple[Photograph, ...]:
    """`face/scenes`: the teacher's boxes."""
    return tuple(scene(row) for row in read_table("face/scenes", split))


@cache
def streets(split: str) -> tuple[Photograph, ...]:
    """`face/facemask_boxes`: boxes drawn by people."""
    return tuple(street(row) for row in read_table("face/facemask_boxes", split))


@cache
def quiet() -> tuple[Photograph, ...]:
    """Photographs of `face/scenes` without faces that training has not seen."""
    kept = (scene(row) for row in read_table("face/scenes", "train") if not row["person"] and kept_for_validation(row))
    return tuple(photograph for photograph in kept if not len(photograph.faces))


@cache
def made(split: str) -> tuple[Photograph, ...]:
    """Scenes composed as for training, of a split's own pictures: turned, squeezed, dark, tiny, many faces, or none."""
    material, rng = load_material(split), np.random.default_rng(7)
    return tuple(Photograph(*compose(rng, material, MADE_SIDE)) for _ in range(MADE))


def strangers(folder: Path | None) -> tuple[Photograph, ...]:
    """Animals and things that training has not seen; none without a folder of them."""
    if folder is None:
        return ()
    return tuple(Photograph(on_grey(each), faces_of([])) for each in animals(folder) if each.kept_for_validation)


def alarms_a_picture(find: Find, photographs: Sequence[Photograph]) -> float:
    """How much a detector suspects in pictures without faces: the sum of its scores at two sizes, a picture."""
    found = (each.score for photograph in photographs for side in (160, 320) for each in find(photograph.picture, side))
    return sum(found) / max(len(photographs), 1)


def validation_score(find: Find, animals_without_faces: Sequence[Photograph]) -> tuple[float, str]:
    """What the best checkpoint is chosen by, from the validation pictures, and in words."""
    near, far = match(find, scenes("val"), 320), match(find, streets("val"), 640)
    recall, precision = near.recall_at(FALSE_ALARMS), far.average_precision
    landmarks = float(np.mean(near.landmark_errors)) if len(near.landmark_errors) else 1.0
    alarms = sum(each.score for photograph in quiet() for each in find(photograph.picture, 320)) / len(quiet())
    deceived = alarms_a_picture(find, animals_without_faces)
    words = (
        f"scenes AP {near.average_precision:.4f}, recall {recall:.4f} from {near.threshold_at(FALSE_ALARMS):.2f}, "
        f"landmarks {landmarks:.4f}; streets AP {precision:.4f}, recall {far.recall_at(FALSE_ALARMS):.4f} "
        f"from {far.threshold_at(FALSE_ALARMS):.2f}; quiet {alarms:.3f}, "
        f"animals {deceived:.3f}"
    )
    return (
        recall + near.average_precision + 2 * precision
    ) / 4 - 0.5 * landmarks - 0.1 * alarms - 0.05 * deceived, words


def choose_threshold(find: Find, precision: float = 0.9, false_alarms: float = 0.05) -> float:
    """The lowest score, in hundredths, that is right nine times in ten on validation data.

    And on pictures without faces, seen at both sizes, it gives at most one false alarm in twenty pictures.
    """
    near, far = match(find, scenes("val"), 320), match(find, streets("val"), 640)
    alarms = np.array(
        [each.score for photograph in quiet() for side in (320, 640) for each in find(photograph.picture, side)]
    )

    def fits(score: float) -> bool:
        right = min(near.at(score)[1], far.at(score)[1]) >= precision
        return right and (alarms >= score).sum() <= false_alarms * len(quiet())

    return min((score / 100 for score in range(10, 95) if fits(score / 100)), default=0.7)


def rows() -> dict[str, str]:
    """How many pictures and faces there are in each set that is measured on."""
    sets = {
        "scenes, validation": scenes("val"),
        "scenes, test": scenes("test"),
        "street scenes, validation": streets("val"),
        "street scenes, test": streets("test"),
        "made scenes, test": made("test"),
        "pictures without faces, validation": quiet(),
    }
    counted = {name: sum(int((~one.faces.ignored).sum()) for one in each) for name, each in sets.items()}
    return {name: f"{len(each)} pictures, {counted[name]} faces" for name, each in sets.items()}


def report(find: Find, threshold: float) -> dict[str, Any]:
    """Scores on the test splits, ours and YuNet's measured in the same run."""
    yunet: Find = Teacher(LOWEST).find
    near = match(find, scenes("test"), 320)
    recall, precision, alarms = near.at(threshold)
    scores: dict[str, Any] = {
        "scenes_recall_at_0.1_false_alarms": near.recall_at(FALSE_ALARMS),
        "scenes_recall_at_0.05_false_alarms": near.recall_at(FALSE_ALARMS / 2),
        "scenes_average_precision": near.average_precision,
        "scenes_recall": recall,
        "scenes_precision": precision,
        "scenes_false_alarms_a_picture": alarms,
        **{
            f"{name}made_scenes_recall_at_0.05_false_alarms": match(each, made("test"), MADE_SIDE).recall_at(0.05)
            for name, each in (("", find), ("yunet_", yunet))
        },
        "scenes_landmark_error": float(np.mean(near.landmark_errors)),
        "yunet_scenes_landmark_error": float(np.mean(match(yunet, scenes("test"), 320).landmark_errors)),
    }
    for side, smallest in ((320, 0), (320, 16), (640, 0), (640, 16)):
        for name, detector in (("", find), ("yunet_", yunet)):
            measured = match(detector, streets("test"), side, smallest)
            scores[f"{name}streets_{side}px_faces_from_{smallest}px_average_precision"] = measured.average_precision
    for side in (320, 640):
        scores[f"milliseconds_{side}px"] = milliseconds(find, side)
        scores[f"yunet_milliseconds_{side}px"] = milliseconds(yunet, side)
    return {name: round(value, 4) for name, value in scores.items()}


def milliseconds(find: Find, side: int, times: int = 15) -> float:
    """The median time for a square picture on one thread, letterbox and decoding included."""
    cv2.setNumThreads(1)
    picture = cv2.resize(streets("test")[0].picture, (side, side))
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        find(picture, side)
        taken.append(1000 * (time.perf_counter() - start))
    return statistics.median(taken)
