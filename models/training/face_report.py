"""What the card of the face model says in figures, measured with the shipped file alone; nothing is chosen here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray

from models.registry import ModelEntry, default_model
from models.training.face_clarity_scores import clarity_scores, lies_above
from models.training.face_cover import Crop, photographed_hand
from models.training.face_damage import hidden
from models.training.face_data import EMOTIONS, Faces, coarse_faces, ferplus, twins
from models.training.face_in_service import relocated
from models.training.face_network import ClarityNetwork
from models.training.face_scores import (
    accuracy_scores,
    all_scores,
    milliseconds_a_face,
    mistakes,
    rounded,
    served_clarity,
    served_logits,
)
from models.training.face_shelf import load_shelf
from service.runners.face import FaceDetector

Cut = Callable[..., NDArray[np.uint8]]
"""`Faces.crops` of one size and interpolation."""

Logits = Callable[[NDArray[np.uint8]], NDArray[np.float32]]

SMALL_SIDES = (32, 24, 16, 12)
PARTLY_HIDDEN = (0.15, 0.35)
"""A hand on the forehead and one brow hides less of what tells an expression, a mask more."""
GREY = 128


def measured(entry: ModelEntry, work: Path, animals: Path) -> dict[str, Any]:
    """Every figure of the card, by section. `animals` is where `models.training.detector_animals` says."""
    logits_of, size = served_logits(entry.path()), int(entry.settings["crop_size"])
    sampled = entry.settings.get("crop_interpolation", "linear")
    cut = partial(Faces.crops, size=size, interpolation=sampled)
    validation, test = ferplus("val", work), ferplus("test", work)
    shelf = load_shelf("val", work, animals)
    return {
        "file": file_facts(entry, logits_of, size),
        "rows": row_counts(work),
        "validation": scores_of(logits_of, validation, cut, entry.temperature),
        "test": scores_of(logits_of, test, cut, entry.temperature),
        "test, what most errors of a class are": mistakes(logits_of(cut(test)), test.labels),
        "test, pictures with a twin in another split": apart(logits_of, test, cut, twins("test", work)),
        "test, small or covered": worse(logits_of, cut(test), test.labels),
        "validation, behind hands": behind_hands(logits_of, cut(validation), validation.labels, shelf.hands),
        "landmarks by the service's detector": with_our_landmarks(logits_of, entry, (validation, test), cut),
        "clarity, validation": clarity_scores(served_clarity(entry.path()), shelf, size, sampled),
    }


def printed(sections: Mapping[str, Any]) -> str:
    """The sections as lines of text, one figure a line."""
    lines = []
    for name, values in sections.items():
        lines.append(name)
        lines += [f"{key:>44}  {value}" for key, value in rounded(dict(values)).items()]
    return "\n".join(lines)


def file_facts(entry: ModelEntry, logits_of: Logits, size: int) -> dict[str, Any]:
    """Name, size, parameters and time of the shipped file."""
    weights = onnx.load(entry.path()).graph.initializer
    second = sum(each.numel() for each in ClarityNetwork().parameters())
    whole = sum(int(np.prod(each.dims)) for each in weights)
    return {
        "model": entry.identifier,
        "bytes": entry.path().stat().st_size,
        "parameters, expressions": whole - second,
        "parameters, clarity": second,
        "temperature": entry.temperature,
        "milliseconds a face, one core": milliseconds_a_face(logits_of, size),
    }


def row_counts(work: Path) -> dict[str, Any]:
    """How many rows there are to learn from and to measure on, and how often no landmarks were found."""
    sets = {split: ferplus(split, work) for split in ("train", "val", "test")}
    return {
        **{f"FER+ {split}": len(faces) for split, faces in sets.items()},
        **{f"FER+ {split}, no landmarks found": float(1 - faces.found.mean()) for split, faces in sets.items()},
        "muxspace train": len(coarse_faces()),
        "muxspace val": len(coarse_faces("val")),
    }


def scores_of(logits_of: Logits, faces: Faces, cut: Cut, temperature: float) -> dict[str, Any]:
    """Accuracy, calibration and recalls of faces aligned as in serving, and accuracy on the plain pictures."""
    plain = accuracy_scores(logits_of(cut(faces, aligned=False)), faces.labels)
    return {
        **all_scores(logits_of(cut(faces)), faces.labels, temperature),
        "plain_pictures_accuracy": plain["accuracy"],
    }


def apart(logits_of: Logits, faces: Faces, cut: Cut, chosen: NDArray[np.bool_]) -> dict[str, Any]:
    """Accuracy on the chosen rows and on the others."""
    right = logits_of(cut(faces)).argmax(axis=1) == faces.labels
    return {
        "rows with a twin": int(chosen.sum()),
        "accuracy on them": float(right[chosen].mean()),
        "accuracy on the others": float(right[~chosen].mean()),
        "accuracy if all of them were right": float((right | chosen).mean()),
    }


def worse(logits_of: Logits, crops: NDArray[np.uint8], labels: NDArray[np.int64]) -> dict[str, float]:
    """Accuracy on crops that are scaled down first, and with the lower two fifths painted over in grey."""
    size = crops.shape[1]
    small = {f"accuracy from {side} pixels": _accuracy(logits_of(_shrunk(crops, side)), labels) for side in SMALL_SIDES}
    painted = crops.copy()
    painted[:, round(0.6 * size) :] = GREY
    said = logits_of(painted)
    neutral = float((said.argmax(axis=1) == EMOTIONS.index("neutral")).mean())
    return {**small, "accuracy, mouth painted over": _accuracy(said, labels), "called neutral then": neutral}


def with_our_landmarks(
    logits_of: Logits, entry: ModelEntry, sets: tuple[Faces, Faces], cut: Cut
) -> dict[str, dict[str, float]]:
    """The main scores of both splits with the landmarks that serving would find, and how far those are off."""
    detector = FaceDetector.load(default_model("face-detection"))
    told = {}
    for split, faces in zip(("validation", "test"), sets, strict=True):
        ours = relocated(faces, detector)
        scores = all_scores(logits_of(cut(ours)), ours.labels, entry.temperature)
        kept = {name: scores[name] for name in ("accuracy", "macro_f1", "sentiment_accuracy", "ece_after")}
        moved = np.linalg.norm(ours.landmarks - faces.landmarks, axis=-1)
        told[split] = {
            **kept,
            "not_found": float(1 - ours.found.mean()),
            "median_pixels_apart": float(np.median(moved)),
        }
    return told


def behind_hands(
    logits_of: Logits, crops: NDArray[np.uint8], labels: NDArray[np.int64], hands: Sequence[Crop]
) -> dict[str, float]:
    """Accuracy where a photographed hand hides a part of what tells, between `PARTLY_HIDDEN`, and without that hand."""
    rng = np.random.default_rng(3)
    pairs = [photographed_hand(crop[..., 0], hands[row % len(hands)], rng) for row, crop in enumerate(crops)]
    shares = np.array([hidden(cover) for _, cover in pairs])
    above = np.array([lies_above(cover) for _, cover in pairs])
    seen = logits_of(np.repeat(np.stack([crop for crop, _ in pairs])[..., None], 3, axis=-1))
    told, partly = logits_of(crops), (shares > PARTLY_HIDDEN[0]) & (shares < PARTLY_HIDDEN[1])
    scores = {}
    for name, chosen in (("over brows and eyes", partly & above), ("over cheeks and mouth", partly & ~above)):
        scores[f"rows, {name}"] = int(chosen.sum())
        scores[f"accuracy, {name}"] = _accuracy(seen[chosen], labels[chosen])
        scores[f"accuracy of these without, {name}"] = _accuracy(told[chosen], labels[chosen])
    return scores


def _accuracy(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    return float((logits.argmax(axis=1) == labels).mean())


def _shrunk(crops: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    size = crops.shape[1]
    small = (cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA) for crop in crops)
    return np.stack([cv2.resize(each, (size, size), interpolation=cv2.INTER_LINEAR) for each in small])
