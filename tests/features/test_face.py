from __future__ import annotations

from dataclasses import astuple, replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.features.face import (
    CROP_SIZE,
    LOW_QUALITY,
    STRIDES,
    TEMPLATE,
    Detection,
    View,
    align,
    asymmetry,
    blockiness,
    box_iou,
    cells,
    decode,
    decode_yunet,
    letterbox,
    quality,
    quality_parts,
    similarity,
    suppress,
    views,
)


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def face(x: float, y: float, width: float, height: float, score: float = 0.9) -> Detection:
    """A frontal face that fills its box as the template fills a crop."""
    landmarks = (np.array([x, y]) + TEMPLATE * [width, height]).astype(np.float32)
    return Detection((x, y, width, height), landmarks, score)


def turned(points: np.ndarray, degrees: float, scale: float, shift: tuple[float, float]) -> np.ndarray:
    angle = np.radians(degrees)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return (points @ rotation.T * scale + shift).astype(np.float32)


def outputs_of(faces: list[Detection], view: View, stride: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What a perfect detector would answer, each face from the cell at its centre in the map of `stride`."""
    centres, strides = cells(*view.canvas.shape[:2])
    scores, boxes = np.zeros(len(centres), np.float32), np.zeros((len(centres), 4), np.float32)
    landmarks = np.zeros((len(centres), 10), np.float32)
    scale = np.array(view.scale)
    for each in faces:
        size = np.array(each.box[2:]) * scale
        middle = np.array(each.box[:2]) * scale + size / 2
        distance = np.abs(centres - middle).max(-1) + np.where(strides == stride, 0, 1e9)
        cell = int(distance.argmin())
        scores[cell] = each.score
        boxes[cell] = [*(middle - centres[cell]) / stride, *np.log(size / stride)]
        landmarks[cell] = ((each.landmarks * scale - centres[cell]) / stride).ravel()
    return scores, boxes, landmarks


@pytest.mark.parametrize("shape", [(480, 640), (1080, 1920), (300, 100), (17, 900), (40, 40), (1, 1)])
@pytest.mark.parametrize("side", [320, 640])
def test_a_canvas_is_whole_cells_and_the_picture_keeps_its_shape(shape, side):
    view = letterbox(noise(*shape), side)
    assert all(length % STRIDES[-1] == 0 and 0 < length <= side for length in view.canvas.shape[:2])
    width, height = shape[1] * view.scale[0], shape[0] * view.scale[1]
    assert max(width, height) <= side
    assert view.scale[0] == pytest.approx(view.scale[1], abs=1 / min(shape))
    assert not view.canvas[round(height) :].any() and not view.canvas[:, round(width) :].any()


def test_a_square_canvas_holds_any_shape_so_that_a_batch_can_mix_them():
    shapes = [(480, 640), (640, 480), (100, 300)]
    canvases = [letterbox(noise(*shape), 320, square=True).canvas for shape in shapes]
    assert np.stack(canvases).shape == (3, 320, 320, 3)


def test_a_still_picture_is_seen_twice_but_a_tiny_one_once():
    assert [max(view.canvas.shape) for view in views(noise(720, 1280))] == [320, 640]
    assert len(views(noise(60, 80))) == 1


@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("shape", [(480, 640), (900, 500)])
def test_a_face_comes_back_from_the_canvas_where_it_was_in_the_picture(shape, stride):
    faces = [face(50, 60, 80, 100, 0.9), face(300, 200, 120, 150, 0.7)]
    view = letterbox(noise(*shape), 320)
    found = sorted(decode(*outputs_of(faces, view, stride), view, 0.5), key=lambda each: -each.score)
    assert len(found) == 2
    for expected, got in zip(faces, found, strict=True):
        assert got.box == pytest.approx(expected.box, abs=0.01)
        np.testing.assert_allclose(got.landmarks, expected.landmarks, atol=0.01)
        assert got.score == pytest.approx(expected.score)


def test_scores_below_the_threshold_are_no_faces():
    view = letterbox(noise(320, 320), 320)
    outputs = outputs_of([face(10, 10, 60, 60, 0.49)], view, 16)
    assert decode(*outputs, view, 0.5) == []
    assert len(decode(*outputs, view, 0.48)) == 1


def test_cells_count_every_map_once_and_row_by_row():
    centres, strides = cells(64, 96)
    assert len(centres) == 8 * 12 + 4 * 6 + 2 * 3
    np.testing.assert_array_equal(centres[:2], [[4, 4], [12, 4]])
    np.testing.assert_array_equal(centres[8 * 12], [8, 8])
    assert strides[0] == 8 and strides[-1] == 32


def test_of_overlapping_boxes_the_best_stays_and_neighbours_are_left_alone():
    best, copy, neighbour = face(10, 10, 50, 50, 0.9), face(14, 12, 50, 50, 0.8), face(70, 10, 50, 50, 0.6)
    assert suppress([copy, neighbour, best]) == [best, neighbour]
    assert suppress([]) == []


def test_iou_is_one_for_the_same_box_and_zero_for_strangers():
    boxes = np.array([[0, 0, 10, 10], [0, 5, 10, 10], [50, 50, 5, 5]], np.float32)
    np.testing.assert_allclose(box_iou(boxes[:1], boxes), [[1, 1 / 3, 0]], atol=1e-6)


def test_yunets_rows_become_detections():
    row = np.array([[1, 2, 30, 40, *range(10), 0.8]], np.float32)
    (found,) = decode_yunet(row)
    assert found.box == (1, 2, 30, 40) and found.score == pytest.approx(0.8)
    np.testing.assert_array_equal(found.landmarks, np.arange(10).reshape(5, 2))
    assert decode_yunet(None) == []


@settings(deadline=None)
@given(
    degrees=st.floats(-180, 180),
    scale=st.floats(0.1, 20),
    shift=st.tuples(st.floats(-500, 500), st.floats(-500, 500)),
)
def test_a_similarity_undoes_any_turn_scale_and_shift(degrees, scale, shift):
    target = TEMPLATE * 64
    moved = turned(target, degrees, scale, shift)
    matrix = similarity(moved, target)
    np.testing.assert_allclose(moved @ matrix[:, :2].T + matrix[:, 2], target, atol=0.02)


def test_a_similarity_fits_points_that_no_similarity_reaches_better_than_its_neighbours():
    rng = np.random.default_rng(3)
    source, target = rng.normal(size=(2, 5, 2)).astype(np.float32)
    matrix = similarity(source, target)

    def error(candidate: np.ndarray) -> float:
        return float(((source @ candidate[:, :2].T + candidate[:, 2] - target) ** 2).sum())

    for step in (0.01, -0.01):
        for change in ([[step, 0, 0], [0, step, 0]], [[0, -step, 0], [step, 0, 0]], [[0, 0, step], [0, 0, 0]]):
            assert error(matrix) < error(matrix + np.array(change))


@pytest.mark.parametrize("degrees", [0, 30, -75, 180])
@pytest.mark.parametrize("scale", [0.4, 1.0, 3.0])
@pytest.mark.parametrize("margin", [0.0, 0.2])
def test_alignment_brings_landmarks_onto_the_template(degrees, scale, margin):
    landmarks = turned(TEMPLATE * 100 - 50, degrees, scale, (300, 300))
    picture = np.zeros((600, 600, 3), np.uint8)
    for index, point in enumerate(landmarks):
        cv2.circle(
            picture, tuple(round(float(v)) for v in point), max(1, round(4 * scale)), (50 * (index + 1), 0, 0), -1
        )
    size = 100
    crop = align(picture, landmarks, size, margin)
    assert crop.shape == (size, size, 3) and crop.dtype == np.uint8
    for index, spot in enumerate((TEMPLATE + margin) / (1 + 2 * margin) * size):
        column, row = spot.round().astype(int)
        assert int(crop[row, column, 0]) == pytest.approx(50 * (index + 1), abs=30)


def test_a_large_face_is_averaged_down_and_not_picked_out_of():
    stripes = np.zeros((1200, 1200, 3), np.uint8)
    stripes[:, ::2] = 255
    crop = align(stripes, (TEMPLATE * 1000 + 100).astype(np.float32), 50)
    assert crop.astype(float).std() < 20


def test_the_default_crop_is_as_the_emotion_model_reads_it():
    assert align(noise(200, 200), face(20, 20, 150, 150).landmarks).shape == (CROP_SIZE, CROP_SIZE, 3)


GOOD = face(100, 100, 120, 120)


def test_a_large_sharp_frontal_well_lit_face_has_the_quality_of_its_score():
    assert quality(noise(320, 320), GOOD) == pytest.approx(0.9)


def test_quality_falls_with_blur():
    sharp = cv2.GaussianBlur(noise(320, 320), (0, 0), 3)
    softer = [cv2.GaussianBlur(sharp, (0, 0), sigma) for sigma in (2, 5, 12)]
    values = [quality_parts(picture, GOOD).sharpness for picture in (noise(320, 320), sharp, *softer)]
    assert values == sorted(values, reverse=True) and values[0] == 1 and values[-1] < 0.2


def test_quality_falls_with_size():
    values = [quality_parts(noise(320, 320), face(100, 100, size, size)).size for size in (100, 48, 30, 15, 8, 4)]
    assert values == sorted(values, reverse=True) and values[0] == values[1] == 1 and values[-1] == 0


def test_quality_falls_as_the_face_turns_away():
    values = []
    for offset in (0, 5, 15, 25, 40):
        landmarks = GOOD.landmarks.copy()
        landmarks[2, 0] += offset
        values.append(quality_parts(noise(320, 320), replace(GOOD, landmarks=landmarks)).pose)
    assert values == sorted(values, reverse=True) and values[0] == 1 and values[-1] == 0


def test_quality_falls_towards_black_and_towards_white():
    picture = cv2.resize(noise(16, 16), (320, 320))
    darker = [quality_parts((picture * factor).astype(np.uint8), GOOD).light for factor in (1.0, 0.3, 0.1, 0.02)]
    brighter = [
        quality_parts((255 - (255 - picture.astype(float)) * factor).astype(np.uint8), GOOD).light
        for factor in (1.0, 0.3, 0.1, 0.02)
    ]
    for values in (darker, brighter):
        assert values == sorted(values, reverse=True) and values[0] == 1 and values[-1] < 0.1


def test_quality_falls_with_the_detectors_score():
    values = [quality(noise(320, 320), replace(GOOD, score=score)) for score in (1.0, 0.8, 0.5, 0.0)]
    assert values == sorted(values, reverse=True) and values[-1] == 0


def test_quality_falls_with_heavy_compression_and_less_so_for_a_large_face():
    picture = cv2.resize(noise(24, 24), (320, 320), interpolation=cv2.INTER_CUBIC)
    coded = [
        cv2.imdecode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)
        for quality in (90, 40, 10, 3)
    ]
    values = [blockiness(cv2.cvtColor(each, cv2.COLOR_BGR2GRAY)) for each in coded]
    assert values == sorted(values) and values[0] < 1.3 and values[-1] > 4
    small, large = face(101, 103, 50, 50), face(20, 20, 250, 250)
    assert quality_parts(coded[0], small).compression == 1
    assert quality_parts(coded[-1], small).compression == 0
    assert quality_parts(coded[-1], large).compression == 1


def test_quality_falls_with_what_hides_a_face_and_only_from_where_it_tells():
    values = [quality(noise(320, 320), GOOD, clarity) for clarity in (1.0, 0.85, 0.6, 0.4, 0.1, 0.0)]
    assert values == sorted(values, reverse=True)
    assert values[0] == values[1] == quality(noise(320, 320), GOOD)
    assert values[3] < LOW_QUALITY and values[4] == values[5] == 0


@settings(deadline=None)
@given(degrees=st.floats(-180, 180), scale=st.floats(0.2, 10))
def test_asymmetry_knows_only_the_turn_of_the_head(degrees, scale):
    half_profile = TEMPLATE.copy()
    half_profile[2, 0] += 0.08
    assert asymmetry(turned(half_profile, degrees, scale, (5, 9))) == pytest.approx(asymmetry(half_profile), abs=1e-3)


@settings(deadline=None)
@given(
    box=st.tuples(*[st.floats(-300, 300)] * 2, *[st.floats(0.1, 900)] * 2),
    score=st.floats(0, 1),
)
def test_quality_stays_between_nothing_and_one_wherever_a_box_lies(box, score):
    parts = quality_parts(noise(64, 64), face(*box, score))
    assert all(0 <= part <= 1 for part in astuple(parts)) and 0 <= parts.product <= 1
