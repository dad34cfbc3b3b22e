"""The face models: where faces are in a picture, and what an aligned face expresses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from onnxruntime import InferenceSession

from models.registry import ModelEntry
from service.domain.sentiment import Prediction
from service.features.face import (
    CROP_SIZE,
    PICTURE_SIDES,
    SCORE_THRESHOLD,
    Detection,
    Picture,
    View,
    decode,
    decode_yunet,
    suppress,
    views,
)
from service.runners import Failed, calibration
from service.runners.session import open_model

CROPS_A_CALL = 8
"""A face costs as much in a batch of 64 as alone (1.1 ms on one Zen 4 core), but the memory arena keeps growing."""

YUNET_SIDE = 64
"""OpenCV 4.14 finds faces of no or endless size in an empty canvas that is 32 pixels high: it reads past its memory."""

Detections = tuple[Detection, ...]


class FaceDetector:
    """Pictures to faces, by our own detector."""

    def __init__(
        self, session: InferenceSession, sides: Sequence[int] = PICTURE_SIDES, threshold: float = SCORE_THRESHOLD
    ) -> None:
        self._session = session
        self._sides = sides
        self._threshold = threshold

    @classmethod
    def load(cls, entry: ModelEntry, threads: int = 1, threshold: float | None = None) -> FaceDetector:
        """The model of a registry entry, with its threshold unless one is given. Raises `WeightsMismatch`."""
        if threshold is None:
            threshold = float(entry.settings.get("score_threshold", SCORE_THRESHOLD))
        return cls(open_model(entry, threads), threshold=threshold)

    def detect(self, pictures: Sequence[Picture]) -> list[Detections | Failed]:
        """The faces of each upright RGB picture (h, w, 3), best first; what is no picture fails alone."""
        return [_refuse_picture(picture) or self._faces(picture) for picture in pictures]

    def warm(self) -> None:
        """Infer once, so that the first caller does not wait for what is set up lazily."""
        self.detect([np.zeros((360, 640, 3), np.uint8)])

    def _faces(self, picture: Picture) -> Detections:
        return tuple(suppress([face for view in views(picture, self._sides) for face in self._look(view)]))

    def _look(self, view: View) -> list[Detection]:
        name = self._session.get_inputs()[0].name
        outputs = self._session.run(["scores", "boxes", "landmarks"], {name: view.canvas[None]})
        scores, boxes, landmarks = (np.asarray(output)[0] for output in outputs)
        return decode(scores, boxes, landmarks, view, self._threshold)


class YuNetDetector:
    """Pictures to faces, by YuNet (Wu et al. 2023) from a file that a setting names."""

    def __init__(
        self, path: Path, threads: int = 1, sides: Sequence[int] = PICTURE_SIDES, threshold: float = 0.6
    ) -> None:
        """Raises `FileNotFoundError` or `ValueError` if there is no such detector."""
        if not path.is_file():
            raise FileNotFoundError(f"SENTIMENT_FACE_DETECTOR names {path}, which is not a file.")
        try:
            self._net = cv2.FaceDetectorYN.create(str(path), "", (320, 320), threshold)
        except cv2.error as error:
            raise ValueError(f"SENTIMENT_FACE_DETECTOR names {path}, which is no YuNet file.") from error
        self._sides = sides
        cv2.setNumThreads(threads)  # of the whole process: OpenCV would take every core

    def detect(self, pictures: Sequence[Picture]) -> list[Detections | Failed]:
        """The faces of each upright RGB picture (h, w, 3), best first; what is no picture fails alone."""
        return [_refuse_picture(picture) or self._faces(picture) for picture in pictures]

    def warm(self) -> None:
        """Infer once, so that the first caller does not wait for what is set up lazily."""
        self.detect([np.zeros((360, 640, 3), np.uint8)])

    def _faces(self, picture: Picture) -> Detections:
        found = []
        for view in views(picture, self._sides):
            canvas = _for_yunet(view.canvas)
            self._net.setInputSize((canvas.shape[1], canvas.shape[0]))
            _, faces = self._net.detect(canvas)
            found += [
                unscaled(face, view.scale)
                for face in decode_yunet(None if faces is None else np.asarray(faces, np.float32))
            ]
        return tuple(suppress(found))


class FaceModel:
    """Aligned crops to calibrated emotions, and whether and how clearly each shows a face."""

    def __init__(
        self, session: InferenceSession, labels: Sequence[str], crop_size: int = CROP_SIZE, temperature: float = 1.0
    ) -> None:
        self._session = session
        self._labels = labels
        self._crop_size = crop_size
        self._temperature = temperature

    @classmethod
    def load(cls, entry: ModelEntry, threads: int = 1) -> FaceModel:
        """The model of a registry entry. Raises `WeightsMismatch`."""
        crop_size = int(entry.settings.get("crop_size", CROP_SIZE))
        return cls(open_model(entry, threads), entry.labels, crop_size, entry.temperature)

    def predict(self, crops: Sequence[Picture]) -> list[Prediction | Failed]:
        """One answer an aligned RGB crop (`crop_size`, `crop_size`, 3), in order; another shape fails alone."""
        shape = (self._crop_size, self._crop_size, 3)
        results: list[Prediction | Failed] = [
            Failed(f"A crop has the shape {shape} and bytes, not {crop.shape} and {crop.dtype}.") for crop in crops
        ]
        good = [index for index, crop in enumerate(crops) if crop.shape == shape and crop.dtype == np.uint8]
        for start in range(0, len(good), CROPS_A_CALL):
            some = good[start : start + CROPS_A_CALL]
            for index, prediction in zip(some, self._infer([crops[index] for index in some]), strict=True):
                results[index] = prediction
        return results

    def warm(self) -> None:
        """Infer once, so that the first caller does not wait for what is set up lazily."""
        self.predict([np.zeros((self._crop_size, self._crop_size, 3), np.uint8)])

    def _infer(self, crops: Sequence[Picture]) -> list[Prediction | Failed]:
        logits, clarity = self._session.run(["logits", "clarity"], {"faces": np.stack(crops)})
        rows = zip(calibration.rows(np.asarray(logits)), calibration.rows(np.asarray(clarity)), strict=True)
        return [self._answer(row, presence, shown) for row, (presence, shown) in rows]

    def _answer(self, logits: Sequence[float], presence: float, clarity: float) -> Prediction | Failed:
        answer = calibration.emotions(logits, self._labels, self._temperature)
        return replace(answer, presence=presence, clarity=clarity) if isinstance(answer, Prediction) else answer


def _for_yunet(canvas: Picture) -> Picture:
    """The canvas in BGR, at least `YUNET_SIDE` wide and high."""
    height, width = canvas.shape[:2]
    padded = np.zeros((max(height, YUNET_SIDE), max(width, YUNET_SIDE), 3), np.uint8)
    padded[:height, :width] = canvas[:, :, ::-1]
    return padded


def _refuse_picture(picture: Picture) -> Failed | None:
    if picture.ndim != 3 or picture.shape[2] != 3 or not picture.size or picture.dtype != np.uint8:
        return Failed(f"A picture has the shape (h, w, 3) and bytes, not {picture.shape} and {picture.dtype}.")
    return None


def shrink(picture: Picture, side: int = max(PICTURE_SIDES)) -> Picture:
    """A picture whose longest side is `side`: as much as a detector looks at."""
    factor = side / max(picture.shape[:2])
    size = (max(1, round(picture.shape[1] * factor)), max(1, round(picture.shape[0] * factor)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def scale_of(seen: Picture, picture: Picture) -> tuple[float, float]:
    """How many pixels of `seen` one of `picture` is, (x, y)."""
    return seen.shape[1] / picture.shape[1], seen.shape[0] / picture.shape[0]


def unscaled(face: Detection, scale: tuple[float, float]) -> Detection:
    """A face of a picture scaled by (x, y), in the pixels of the picture itself."""
    x, y, width, height = face.box
    box = (x / scale[0], y / scale[1], width / scale[0], height / scale[1])
    return Detection(box, face.landmarks / np.array(scale, np.float32), face.score)
