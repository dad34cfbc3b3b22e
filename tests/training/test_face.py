from __future__ import annotations

from dataclasses import fields

import cv2
import numpy as np
import onnxruntime
import pytest

from models.registry import default_model, sha256
from models.training.calibration import softmax
from models.training.data import data_folder
from models.training.face_augment import Variation, jittered, varied_crops
from models.training.face_data import (
    EMOTIONS,
    TEACHER,
    Faces,
    find_landmarks,
    strict_majority,
    vote_distribution,
    whole_picture,
)
from service.domain.labels import EMOTION_SENTIMENT
from service.features.face import align, decode_yunet

SAMPLED = default_model("face-emotion").settings.get("crop_interpolation", "linear")
STILL = Variation(*[0.0] * len(fields(Variation)))


def votes(**given: int) -> np.ndarray:
    """One row of votes by our names, `unknown` and `no_face` at the end as in FER+."""
    return np.array([[given.get(name, 0) for name in (*EMOTIONS, "unknown", "no_face")]])


@pytest.fixture(scope="module")
def entry():
    return default_model("face-emotion")


@pytest.fixture(scope="module")
def session(entry):
    return onnxruntime.InferenceSession(str(entry.path()), providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def size(entry) -> int:
    return entry.settings["crop_size"]


@pytest.fixture
def noise(size) -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, (5, size, size, 3), dtype=np.uint8)


def sample_crop(name: str, size: int) -> np.ndarray:
    """The best face of a sample picture, found by YuNet and aligned."""
    picture, teacher = data_folder() / "samples" / "image" / name, data_folder() / TEACHER
    if not picture.exists() or not teacher.exists():
        pytest.skip(f"{picture} or {teacher} is missing; set SENTIMENT_DATA")
    bgr = cv2.imread(str(picture), cv2.IMREAD_COLOR)
    detector = cv2.FaceDetectorYN.create(str(teacher), "", bgr.shape[1::-1], 0.5)
    best = max(decode_yunet(detector.detect(bgr)[1]), key=lambda face: face.score)
    return align(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), best.landmarks, size, interpolation=SAMPLED)


def emotions_of(session, entry, crop: np.ndarray) -> dict[str, float]:
    logits = session.run(["logits"], {"faces": crop[None]})[0]
    return dict(zip(entry.labels, softmax(logits, entry.temperature)[0], strict=True))


def test_a_vote_that_one_person_alone_gave_counts_for_nothing():
    target = vote_distribution(votes(happy=6, neutral=3, surprised=1))[0]
    assert target[EMOTIONS.index("happy")] == pytest.approx(6 / 9)
    assert target[EMOTIONS.index("surprised")] == 0


def test_votes_for_unknown_and_for_no_face_are_no_part_of_the_target():
    target = vote_distribution(votes(sad=4, unknown=3, no_face=3))[0]
    assert target[EMOTIONS.index("sad")] == 1
    assert target.sum() == pytest.approx(1)


def test_single_votes_count_where_there_is_nothing_else():
    target = vote_distribution(votes(sad=1, angry=1, unknown=8))[0]
    assert target[EMOTIONS.index("sad")] == target[EMOTIONS.index("angry")] == pytest.approx(0.5)


def test_a_row_without_a_vote_for_an_emotion_has_an_empty_target():
    assert vote_distribution(votes(no_face=10)).sum() == 0


@pytest.mark.parametrize(
    ("given", "label"),
    [
        ({"happy": 6, "neutral": 4}, "happy"),
        ({"happy": 5, "neutral": 4, "sad": 1}, "happy"),  # 5 of 9: the single vote is struck out first
        ({"happy": 5, "neutral": 5}, None),  # half is not more than half
        ({"happy": 4, "neutral": 3, "sad": 3}, None),
        ({"happy": 4, "unknown": 4, "sad": 2}, None),  # unknown is a vote like the others
        ({"unknown": 6, "happy": 4}, None),
        ({"no_face": 10}, None),
        ({"happy": 1, "neutral": 1, "unknown": 1}, None),
    ],
)
def test_a_label_takes_more_than_half_of_the_votes(given, label):
    expected = -1 if label is None else EMOTIONS.index(label)
    assert strict_majority(votes(**given))[0] == expected


def test_the_whole_picture_stands_in_where_no_landmarks_were_found():
    picture = np.random.default_rng(0).integers(0, 256, (48, 48), dtype=np.uint8)
    np.testing.assert_array_equal(align(picture, whole_picture(48), 48), picture)


def test_without_variation_a_training_crop_is_the_serving_crop_or_its_mirror_image():
    random = np.random.default_rng(1)
    picture = cv2.GaussianBlur(random.integers(0, 256, (48, 48), dtype=np.uint8), (0, 0), 2)
    landmarks = whole_picture(48) + np.float32(2)
    faces = Faces(picture[None], landmarks[None], np.ones(1, bool), np.eye(8, dtype=np.float32)[:1], np.zeros(1, int))
    served = faces.crops(48)[0, ..., 0].astype(int)
    for _ in range(8):
        trained = varied_crops(faces, np.array([0]), 48, random, STILL)[0].astype(int)
        assert min(abs(trained - served).max(), abs(trained[:, ::-1] - served).max()) <= 1


def test_jittered_landmarks_stay_near_and_keep_their_order():
    landmarks = whole_picture(48)
    moved = np.stack([jittered(landmarks, np.random.default_rng(seed), Variation()) for seed in range(200)])
    assert np.abs(moved.mean(axis=0) - landmarks).max() < 1
    assert 1 < np.abs(moved - landmarks).mean() < 4
    assert (moved[:, 0, 0] < moved[:, 1, 0]).all()


def test_landmarks_are_found_on_a_small_grey_face_where_the_eyes_and_mouth_are(size):
    grey = cv2.cvtColor(sample_crop("astronaut.jpg", 48), cv2.COLOR_RGB2GRAY)
    (landmarks,) = find_landmarks([grey], data_folder() / TEACHER)
    assert landmarks is not None
    assert np.abs(landmarks - whole_picture(48)).max() < 4


def test_the_shipped_file_is_the_one_the_registry_names(entry):
    assert sha256(entry.path()) == entry.sha256
    assert entry.path().stat().st_size <= 5 << 20


def test_every_emotion_of_the_model_speaks_for_a_sentiment(entry, session, noise):
    assert entry.labels == EMOTIONS
    assert set(entry.labels) <= set(EMOTION_SENTIMENT)
    assert session.run(["logits"], {"faces": noise})[0].shape == (5, len(entry.labels))


def test_a_batch_of_n_equals_n_batches_of_one(session, noise):
    together = session.run(["logits"], {"faces": noise})[0]
    alone = np.concatenate([session.run(["logits"], {"faces": face[None]})[0] for face in noise])
    np.testing.assert_allclose(together, alone, atol=1e-4)


def test_a_mirrored_face_has_the_same_answer(session, noise):
    straight, mirrored = (
        session.run(["logits"], {"faces": np.ascontiguousarray(each)})[0] for each in (noise, noise[:, :, ::-1])
    )
    np.testing.assert_allclose(straight, mirrored, atol=1e-3)


def test_a_dimmer_face_has_nearly_the_same_answer(session, entry, size):
    crop = sample_crop("astronaut.jpg", size)
    bright, dim = emotions_of(session, entry, crop), emotions_of(session, entry, (crop // 2).astype(np.uint8))
    assert max(bright, key=bright.get) == max(dim, key=dim.get)
    assert bright["happy"] == pytest.approx(dim["happy"], abs=0.1)


@pytest.mark.parametrize(
    ("name", "emotion"),
    [
        ("astronaut.jpg", "happy"),
        ("portrait_smile.jpg", "happy"),
        ("angry.jpg", "angry"),
        ("sad.jpg", "sad"),
        ("surprised.jpg", "surprised"),
    ],
)
def test_a_clear_face_is_read_as_people_read_it(session, entry, size, name, emotion):
    said = emotions_of(session, entry, sample_crop(name, size))
    assert max(said, key=said.get) == emotion


@pytest.mark.parametrize("name", ["portrait_stern.jpg", "neutral_glasses.jpg", "selfie_neutral.jpg"])
def test_a_sober_face_is_not_read_as_happy(session, entry, size, name):
    said = emotions_of(session, entry, sample_crop(name, size))
    assert said["happy"] < 0.3


def test_the_scores_clear_the_floor_and_calibration_helps(entry):
    assert entry.scores["accuracy"] >= 0.83
    assert entry.scores["rows"] == 3153
    assert entry.scores["ece_after"] <= entry.scores["ece_before"]
