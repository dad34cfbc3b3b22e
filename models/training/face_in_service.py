"""How the face model does on FER+ with the landmarks of the detector that serves, instead of the teacher's.

    python -m models.training.face_in_service

Needs the cache of pictures that `models.training.face` keeps under `--work`, or the data to make it.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from models.registry import default_model
from models.training.face_data import Faces, ferplus, whole_picture
from models.training.face_scores import all_scores, rounded, served_logits
from service.runners.face import FaceDetector

ENLARGED = 4
BORDER = 32
GREY = 128


def landmarks_of(picture: NDArray[np.uint8], detector: FaceDetector) -> NDArray[np.float32]:
    """Five landmarks (5, 2) in pixels of a grey picture, found with room around it; where none are, of the whole."""
    large = cv2.resize(picture, None, fx=ENLARGED, fy=ENLARGED, interpolation=cv2.INTER_CUBIC)
    framed = cv2.copyMakeBorder(large, *(BORDER,) * 4, cv2.BORDER_CONSTANT, value=GREY)
    (found,) = detector.detect([np.repeat(framed[..., None], 3, axis=-1)])
    if not isinstance(found, tuple) or not found:
        return whole_picture(picture.shape[0])
    return (max(found, key=lambda face: face.score).landmarks - BORDER) / ENLARGED


def relocated(faces: Faces, detector: FaceDetector) -> Faces:
    """The same faces, cut out as serving would."""
    found = [landmarks_of(picture, detector) for picture in tqdm(faces.pictures, desc="landmarks")]
    return replace(faces, landmarks=np.stack(found).astype(np.float32))


def main() -> None:
    """Print the scores of both splits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("build/train-face"), help="cache of pictures")
    work = parser.parse_args().work
    work.mkdir(parents=True, exist_ok=True)
    entry = default_model("face-emotion")
    logits_of, size = served_logits(entry.path()), int(entry.settings["crop_size"])
    detector = FaceDetector.load(default_model("face-detection"))
    for split in ("val", "test"):
        faces = relocated(ferplus(split, work), detector)
        print(split, rounded(all_scores(logits_of(faces.crops(size)), faces.labels, entry.temperature)))


if __name__ == "__main__":
    main()
