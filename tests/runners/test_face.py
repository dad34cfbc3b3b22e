"""The face models as they are shipped, and YuNet by a setting."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from models.registry import default_model
from service.domain.sentiment import Prediction
from service.features.face import Detection, align, box_iou
from service.runners import Failed
from service.runners.face import FaceDetector, FaceModel, YuNetDetector, shrink
from tests.alike import differences

CROP = int(default_model("face-emotion").settings.get("crop_size", 64))
SAMPLED = default_model("face-emotion").settings.get("crop_interpolation", "linear")


@pytest.fixture(scope="module")
def yunet(samples: Path) -> YuNetDetector:
    path = samples.parent / "models" / "face_detection_yunet_2023mar.onnx"
    if not path.is_file():
        pytest.skip(f"There is no YuNet at {path}.")
    return YuNetDetector(path)


@pytest.fixture(scope="module")
def portrait(samples: Path) -> np.ndarray:
    return picture(next((samples / "image").glob("*.jp*g")))


def picture(path: Path) -> np.ndarray:
    found = cv2.imread(str(path))
    assert found is not None
    return cv2.cvtColor(found, cv2.COLOR_BGR2RGB)


def faces(answer: tuple[Detection, ...] | Failed) -> tuple[Detection, ...]:
    assert isinstance(answer, tuple)
    return answer


def crops(seed: int, count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [cv2.GaussianBlur(rng.integers(0, 255, (CROP, CROP, 3), np.uint8), (9, 9), 0) for _ in range(count)]


def test_a_batch_of_crops_is_answered_as_each_alone(face_model: FaceModel) -> None:
    batch = crops(0, 7)
    for together, crop in zip(face_model.predict(batch), batch, strict=True):
        (alone,) = face_model.predict([crop])
        assert isinstance(together, Prediction)
        assert isinstance(alone, Prediction)
        assert together.emotions == pytest.approx(dict(alone.emotions), abs=1e-4)


@pytest.mark.parametrize(
    "bad", [np.zeros((CROP, CROP), np.uint8), np.zeros((CROP + 1, CROP, 3), np.uint8), np.zeros((CROP, CROP, 3))]
)
def test_what_is_no_crop_fails_alone(face_model: FaceModel, bad: np.ndarray) -> None:
    first, second = crops(1, 2)
    answers = face_model.predict([first, bad, second])
    assert [isinstance(answer, Failed) for answer in answers] == [False, True, False]


def test_the_detector_finds_the_faces_that_yunet_finds(
    detector: FaceDetector, yunet: YuNetDetector, portrait: np.ndarray
) -> None:
    ours, theirs = faces(detector.detect([portrait])[0]), faces(yunet.detect([portrait])[0])
    assert ours
    assert theirs
    best = box_iou(np.array([theirs[0].box]), np.array([face.box for face in ours])).max()
    assert best > 0.5


def test_a_face_that_is_found_can_be_judged(
    detector: FaceDetector, face_model: FaceModel, portrait: np.ndarray
) -> None:
    face = faces(detector.detect([portrait])[0])[0]
    (answer,) = face_model.predict([align(portrait, face.landmarks, CROP, interpolation=SAMPLED)])
    assert isinstance(answer, Prediction)
    assert sum(answer.emotions.values()) == pytest.approx(1)


def test_a_face_is_clear_until_something_covers_its_mouth(
    detector: FaceDetector, face_model: FaceModel, samples: Path
) -> None:
    portrait = picture(samples / "image" / "portrait_smile.jpg")
    face = faces(detector.detect([portrait])[0])[0]
    clear = align(portrait, face.landmarks, CROP, interpolation=SAMPLED)
    covered = clear.copy()
    covered[CROP * 6 // 10 :] = (200, 205, 210)
    shown, hidden = face_model.predict([clear, covered])
    assert isinstance(shown, Prediction)
    assert isinstance(hidden, Prediction)
    assert shown.presence > 0.9
    assert shown.clarity > 0.8
    assert hidden.clarity < 0.4


def test_a_dogs_face_that_the_detector_takes_for_a_face_is_none_on_second_look(
    detector: FaceDetector, face_model: FaceModel, samples: Path
) -> None:
    dogs = picture(samples / "image" / "no_face_dogs.jpg")
    suspected = [align(dogs, face.landmarks, CROP, interpolation=SAMPLED) for face in faces(detector.detect([dogs])[0])]
    least = default_model("face-emotion").settings["presence_threshold"]
    for answer in face_model.predict(suspected):
        assert isinstance(answer, Prediction)
        assert answer.presence < least


@pytest.mark.parametrize("which", ["detector", "yunet"])
def test_pictures_of_any_shape_are_searched_and_others_fail_alone(
    which: str, request: pytest.FixtureRequest, portrait: np.ndarray
) -> None:
    model: FaceDetector | YuNetDetector = request.getfixturevalue(which)
    line, bad = np.zeros((1, 3000, 3), np.uint8), np.zeros((20, 20), np.uint8)
    found = model.detect([portrait, line, bad, portrait])
    assert isinstance(found[2], Failed)
    assert faces(found[1]) == ()
    same = [[(face.box, face.score) for face in faces(found[index])] for index in (0, 3)]
    assert same[0] and differences(same[0], same[1]) == []


@pytest.mark.parametrize("which", ["detector", "yunet"])
def test_a_large_picture_made_small_shows_the_same_faces(
    which: str, request: pytest.FixtureRequest, portrait: np.ndarray
) -> None:
    model: FaceDetector | YuNetDetector = request.getfixturevalue(which)
    large = cv2.resize(portrait, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
    scale = large.shape[1] / shrink(large).shape[1]
    whole, small = faces(model.detect([large])[0]), faces(model.detect([shrink(large)])[0])
    assert np.array(small[0].box) * scale == pytest.approx(np.array(whole[0].box), abs=0.05 * whole[0].box[2])


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.write_bytes(b"no network")])
def test_a_setting_that_names_no_yunet_is_refused_by_its_path(make: Callable[[Path], object], tmp_path: Path) -> None:
    path = tmp_path / "yunet.onnx"
    make(path)
    with pytest.raises((FileNotFoundError, ValueError), match=r"SENTIMENT_FACE_DETECTOR names .*yunet\.onnx"):
        YuNetDetector(path)
