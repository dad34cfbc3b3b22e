"""Trains, exports, calibrates, measures and publishes the face emotion model: `python -m models.training.face`.

A small residual network learns the distribution of ten people's votes on FER+ pictures (Barsoum et al. 2016), cut out
as serving cuts out a face: five landmarks, then `align`. The landmarks are a teacher's, and jittered, because serving
finds them with another detector. One resumable run has one or more cosine cycles (Loshchilov & Hutter 2017); a run with
`--cycles 10 18` goes on where one with `--cycles 10` ended. A second run (`face_further`) goes on from it with a deeper
network and harder pictures, and a smaller network (`face_clarity`) learns whether and how clearly a crop shows a face.
"""

from __future__ import annotations

import argparse
import datetime
import os
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import cv2
import torch

from models.registry import FOLDER, default_model
from models.training.calibration import fit_temperature
from models.training.face_clarity import PRESENCE, ClarityRecipe, trained_clarity
from models.training.face_clarity_scores import clarity_scores
from models.training.face_data import CROP_INTERPOLATION, EMOTIONS, ferplus
from models.training.face_further import SECOND, THIRD, recipe_of, trained_further
from models.training.face_network import FaceNetwork, export_onnx
from models.training.face_report import measured, printed
from models.training.face_scores import (
    accuracy_scores,
    all_scores,
    milliseconds_a_face,
    rounded,
    served_clarity,
    served_logits,
)
from models.training.face_shelf import Shelf, load_shelf
from models.training.face_trainer import Course, Place, Recipe, best_of
from models.training.publish import publish

NAME = "face-emotion"
VERSION = "1.2.0"
"""Of what a run publishes; the shipped weights, which an earlier state of this code made, are 1.1.0."""
WEIGHTS = "weights/face-emotion.onnx"

LIMITS = (
    "Trained on pictures found on the web before 2013, many of them posed; culture and age are not balanced.",
    "Contempt, disgust and fear are rare in training: expect few and uncertain answers.",
    "Turned, covered, blurred or very small faces (under about 24 pixels) are read much less well.",
    "An expression is not a feeling: the model says how a face looks to people, not what a person feels.",
    "reliability is the accuracy of the derived three-way sentiment on FER+ validation rows other than surprise.",
    "For research: no licence is stated for the FER2013 and muxspace pictures.",
    "What is no face was learnt from animals and things of GCompris and Tux Paint: others may pass for faces.",
    "A hand on the forehead or the cheek is mostly not noticed; one over the mouth or a mask is.",
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Do everything, from the pictures to the registry's entry."""
    options = parse(arguments)
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(1)
    options.work.mkdir(parents=True, exist_ok=True)
    if options.stage == "evaluate":
        print(printed(measured(default_model(NAME), options.work, options.animals)))
    else:
        train_and_publish(options)


def train_and_publish(options: argparse.Namespace) -> None:
    """Train what is not trained yet, and, unless only that is asked for, export, measure and publish."""
    recipe = Recipe(**{field.name: getattr(options, field.name) for field in fields(Recipe)})
    work: Path = options.work
    network = trained_network(recipe, options, Place(work, device_named(options.device)))
    clarity = trained_clarity(ClarityRecipe(), work, options.animals, recipe.size)
    if options.stage == "train":
        return
    export_onnx(network, clarity, options.onnx, recipe.size)
    values = evaluation(recipe, work, options.onnx, load_shelf("val", work, options.animals))
    print(report(values))
    if options.onnx == FOLDER / WEIGHTS:
        publish(NAME, file=WEIGHTS, **values)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line: one option for each field of `Recipe`, and how and how long to run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("build/train-face"), help="caches and checkpoints")
    parser.add_argument("--cycles", type=int, nargs="+", default=[10, 18, 10, 10, 12], help="epochs of each cycle")
    parser.add_argument("--second", type=int, nargs="+", default=[18], help="epochs of each cycle of the second run")
    parser.add_argument("--third", type=int, nargs="+", default=[7], help="epochs of each cycle of the third run")
    parser.add_argument(
        "--animals", type=Path, default=Path("build/animals"), help="pictures: see models.training.detector_animals"
    )
    parser.add_argument("--device", default="auto", help="cpu, cuda or auto")
    parser.add_argument("--threads", type=int, default=1, help="threads of the CPU")
    parser.add_argument(
        "--stage", choices=("all", "train", "evaluate"), default="all", help="all of it, or train or measure alone"
    )
    parser.add_argument(
        "--onnx", type=Path, default=FOLDER / WEIGHTS, help="where to export to; the registry follows only its own file"
    )
    for field in fields(Recipe):
        kind, many = (int, "+") if isinstance(field.default, tuple) else (type(field.default), None)
        flag = f"--{field.name.replace('_', '-')}"
        parser.add_argument(flag, type=kind, default=field.default, nargs=many)  # type: ignore[arg-type]
    options = parser.parse_args(arguments)
    options.widths, options.depths = tuple(options.widths), tuple(options.depths)
    return options


def device_named(name: str) -> torch.device:
    """The device, a GPU for `auto` where there is one."""
    return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)


def trained(recipe: Recipe, cycles: Sequence[int], work: Path, device: torch.device) -> FaceNetwork:
    """The first run: FER+ alone, from nothing."""
    course = Course(recipe, ferplus("train", work), ferplus("val", work), cycles)
    return best_of(course, work / "checkpoint.pt", device)


def trained_network(recipe: Recipe, options: argparse.Namespace, place: Place) -> FaceNetwork:
    """All three runs, as far as they are not done."""
    network = trained(recipe, options.cycles, place.work, place.device)
    for further, cycles in ((SECOND, options.second), (THIRD, options.third)):
        network = trained_further(network, recipe, further, cycles, place)
        recipe = recipe_of(recipe, further)
    return network


def evaluation(recipe: Recipe, work: Path, path: Path, shelf: Shelf) -> dict[str, Any]:
    """The registry's values for the exported file: temperature and reliability by validation, scores by test."""
    logits_of = served_logits(path)
    validation, test = ferplus("val", work), ferplus("test", work)
    val_logits = logits_of(validation.crops(recipe.size))
    temperature = fit_temperature(val_logits, validation.labels)
    val_scores = all_scores(val_logits, validation.labels, temperature)
    scores = all_scores(logits_of(test.crops(recipe.size)), test.labels, temperature)
    plain = accuracy_scores(logits_of(test.crops(recipe.size, aligned=False)), test.labels)
    return {
        "version": VERSION,
        "task": "face-emotion",
        "modality": "face",
        "labels": list(EMOTIONS),
        "licence": "Research use: labels FER+ (MIT); FER2013 and muxspace pictures, licence not stated",
        "commercial_use": False,
        "temperature": round(temperature, 4),
        "reliability": round(val_scores["sentiment_accuracy"], 4),
        "limits": list(LIMITS),
        "settings": {
            "crop_size": recipe.size,
            "crop_interpolation": CROP_INTERPOLATION,
            "presence_threshold": PRESENCE,
        },
        "scores": {
            "data": "FER+ test, aligned crops, rows with a strict majority",
            **rounded(scores),
            "plain_pictures_accuracy": round(plain["accuracy"], 4),
            "milliseconds_a_face": round(milliseconds_a_face(logits_of, recipe.size), 2),
            "date": datetime.date.today().isoformat(),
            "validation": rounded(val_scores),
            "clarity": rounded(clarity_scores(served_clarity(path), shelf, recipe.size)),
        },
    }


def report(values: dict[str, Any]) -> str:
    """The published values, one a line."""
    scores = {**values["scores"], "temperature": values["temperature"], "reliability": values["reliability"]}
    return "\n".join(f"{key:>26}  {value}" for key, value in scores.items())


if __name__ == "__main__":
    main()
