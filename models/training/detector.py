"""Trains, exports, measures and publishes the face detector: `python -m models.training.detector`.

`--stage evaluate` measures the shipped file beside YuNet, prints every figure of its card and trains nothing.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from models.registry import FOLDER, default_model
from models.training.detector_network import Detector, export
from models.training.detector_scenes import Teacher
from models.training.detector_scores import LOWEST, Session, choose_threshold, report, rows, strangers, validation_score
from models.training.detector_trainer import Recipe, train
from models.training.publish import publish

NAME = "face-detector"
VERSION = "1.0.0"
FILE = f"weights/{NAME}.onnx"

LIMITS = (
    "Finds faces; it knows nobody and must not be made to.",
    "Turned by more than about 45 degrees, below about 10 pixels or in full profile, faces are missed.",
    "Statues, drawn faces and animals from the front are sometimes taken for faces: one of four sample dogs is.",
    "It starts from YuNet's weights and learnt from YuNet's boxes, mostly on press photographs and street scenes.",
)


def ship(detector: Detector) -> None:
    """Export the weights into the project and write their entry, with scores on the test splits beside YuNet's."""
    session = Session(export(detector, FOLDER / FILE))
    threshold = choose_threshold(session)
    publish(
        NAME,
        file=FILE,
        version=VERSION,
        task="face-detection",
        labels=["face"],
        licence="MIT (starts from YuNet, (c) 2020 Shiqi Yu); photographs without a stated licence: research use",
        commercial_use=False,
        scores=report(session, threshold),
        limits=list(LIMITS),
        settings={"score_threshold": threshold},
    )


def evaluation(animals: Path | None) -> dict[str, Any]:
    """Every figure of the card that the shipped file still shows, YuNet's beside it: validation, then test."""
    entry = default_model("face-detection")
    find, yunet, unseen = Session(entry.path()), Teacher(LOWEST).find, strangers(animals)
    sizes = [int(np.prod(each.dims)) for each in onnx.load(entry.path()).graph.initializer]
    return {
        "model": entry.identifier,
        "parameters": sum(sizes),
        "bytes": entry.path().stat().st_size,
        "threshold": entry.settings["score_threshold"],
        "threshold chosen anew": choose_threshold(find),
        "validation": validation_score(find, unseen)[1],
        "validation, YuNet": validation_score(yunet, unseen)[1],
        **rows(),
        **report(find, float(entry.settings["score_threshold"])),
    }


def train_and_ship(options: argparse.Namespace) -> None:
    """Train, then export into the project."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    options.folder.mkdir(parents=True, exist_ok=True)
    recipe = Recipe(**{name: getattr(options, name) for name in asdict(Recipe())})
    chosen = torch.device(device if options.device == "auto" else options.device)
    detector = train(recipe, options.folder, options.animals, chosen, options.workers)
    if not options.no_ship:
        ship(detector)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train and publish, or measure what is published."""
    options = parse(arguments)
    torch.set_num_threads(options.threads)
    if options.stage == "evaluate":
        print("\n".join(f"{key:>55}  {value}" for key, value in evaluation(options.animals).items()))
    else:
        train_and_ship(options)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line: one option for each field of `Recipe`, and what to do where."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--stage", choices=("all", "evaluate"), default="all", help="all of it, or measure alone")
    parser.add_argument("--folder", type=Path, default=Path("build/train-detector"), help="checkpoints of this run")
    parser.add_argument(
        "--animals", type=Path, help="more decoys, which the shipped weights did without: see detector_animals"
    )
    parser.add_argument("--device", default="auto", help="cpu, cuda or auto")
    parser.add_argument("--threads", type=int, default=2, help="threads of the CPU")
    parser.add_argument("--workers", type=int, default=1, help="processes that compose pictures")
    for name, value in asdict(Recipe()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    parser.add_argument("--no-ship", action="store_true", help="leave weights and registry alone")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
