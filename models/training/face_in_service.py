"""FER+ faces cut out by the landmarks of the detector that serves, instead of the teacher's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from models.training.face_data import BORDER, ENLARGEMENT, Faces, enlarged, whole_picture
from service.runners.face import FaceDetector


def landmarks_of(picture: NDArray[np.uint8], detector: FaceDetector) -> NDArray[np.float32] | None:
    """Five landmarks (5, 2) in pixels of a grey picture, found with room around it; None where none are."""
    (found,) = detector.detect([np.repeat(enlarged(picture)[..., None], 3, axis=-1)])
    if not isinstance(found, tuple) or not found:
        return None
    return (max(found, key=lambda face: face.score).landmarks - BORDER) / ENLARGEMENT


def relocated(faces: Faces, detector: FaceDetector) -> Faces:
    """The same faces, cut out as serving would; the whole picture where it finds none."""
    told = [landmarks_of(picture, detector) for picture in tqdm(faces.pictures, desc="landmarks")]
    landmarks = np.stack([whole_picture(faces.side) if each is None else each for each in told])
    return replace(
        faces, landmarks=landmarks.astype(np.float32), found=np.array([each is not None for each in told], bool)
    )
