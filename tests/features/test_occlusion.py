"""Covered faces and the map that is drawn from what they tell."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from service.domain.sentiment import UNIFORM, Prediction
from service.features.face import TEMPLATE, align, placement
from service.features.occlusion import (
    AGAINST,
    COLUMNS,
    FOR,
    GRID,
    MAP_SIDE,
    PATCHES,
    ROWS,
    FaceView,
    box_of,
    cell_weights,
    covered,
    draw,
    placed,
    read_crop,
    write_crop,
)

SIZE = 48
RNG = np.random.default_rng(5)


def view(angle: float = 0.0, side: float = 96.0, at: tuple[float, float] = (40.0, 30.0)) -> FaceView:
    """A face whose crop is a square of a picture, turned about its middle."""
    turn = cv2.getRotationMatrix2D((side / 2, side / 2), angle, 1.0)
    points = (TEMPLATE * side) @ turn[:, :2].T + turn[:, 2] + at
    matrix = placement(points.astype(np.float32), SIZE)
    return FaceView(np.zeros((SIZE, SIZE, 3), np.uint8), placed(matrix, 1.0), Prediction(UNIFORM))


def decoded(png: bytes) -> np.ndarray:
    """RGBA."""
    found = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    assert found is not None
    return cv2.cvtColor(found, cv2.COLOR_BGRA2RGBA)


@pytest.mark.parametrize("size", [48, 64, 100, 224])
def test_every_pixel_is_covered_by_some_patch_and_each_patch_leaves_the_rest(size: int) -> None:
    crop = RNG.integers(0, 256, (size, size, 3), np.uint8)
    before = crop.copy()
    touched = np.zeros((size, size), int)
    for patched in covered(crop):
        changed = (patched != crop).any(axis=-1)
        assert 0 < changed.mean() < 0.26
        touched += changed
    assert (touched > 0).mean() > 0.99  # a pixel may have the mean colour by itself
    assert np.array_equal(crop, before)


def test_there_is_a_patch_for_every_place() -> None:
    assert len(list(covered(np.zeros((SIZE, SIZE, 3), np.uint8)))) == PATCHES


def test_a_cell_weighs_what_the_patches_over_it_changed_on_average() -> None:
    changes = np.zeros((ROWS, COLUMNS))
    changes[0, 0], changes[3, 2] = 0.8, -0.4
    weights = cell_weights(changes.ravel())
    assert weights.shape == (GRID, GRID)
    assert weights[0, 0] == pytest.approx(0.8)  # the corner is under one patch alone
    assert weights[4, 4] == pytest.approx(-0.4 / 12)  # the middle is under 3 rows and 4 columns of them
    assert np.all(cell_weights(np.full(PATCHES, 0.3)) == pytest.approx(0.3))


def test_the_map_lies_where_the_crop_was() -> None:
    assert box_of(view()) == pytest.approx((40, 30, 96, 96), abs=1e-3)
    x, y, width, height = box_of(view(angle=45.0))
    assert (x + width / 2, y + height / 2) == pytest.approx((88, 78), abs=1e-3)
    assert (width, height) == pytest.approx((96 * 2**0.5, 96 * 2**0.5), abs=1e-3)


def test_pixels_of_a_picture_that_was_scaled_down_are_those_of_the_picture_as_sent() -> None:
    matrix = placement((TEMPLATE * 24 + 10).astype(np.float32), SIZE)
    shrunk = FaceView(np.zeros((SIZE, SIZE, 3), np.uint8), placed(matrix, 0.25), Prediction(UNIFORM))
    assert box_of(shrunk) == pytest.approx((40, 40, 96, 96), abs=1e-3)


@pytest.mark.parametrize("angle", [0.0, 30.0, -80.0])
def test_what_the_map_marks_is_what_the_crop_shows_there(angle: float) -> None:
    seen = view(angle)
    weights = np.zeros((GRID, GRID))
    weights[2, 6] = 0.5
    x, y, width, height = box_of(seen)
    image = decoded(draw(weights, seen))
    down, across = np.unravel_index(image[..., 3].argmax(), image.shape[:2])
    marked = (x + (across + 0.5) / image.shape[1] * width, y + (down + 0.5) / image.shape[0] * height)
    picture = np.zeros((220, 220, 3), np.uint8)
    cv2.circle(picture, (round(marked[0]), round(marked[1])), 3, (255, 255, 255), -1)
    matrix = np.asarray(seen.placement)
    crop = cv2.warpAffine(picture, matrix, (SIZE, SIZE))
    row, column = np.unravel_index(crop[..., 0].argmax(), (SIZE, SIZE))
    assert (row / SIZE * GRID, column / SIZE * GRID) == pytest.approx((2.5, 6.5), abs=0.6)


def test_the_map_is_small_and_shows_colours_alone() -> None:
    weights = RNG.normal(0, 0.3, (GRID, GRID))
    png = draw(weights, view(20.0))
    image = decoded(png)
    assert max(image.shape[:2]) == MAP_SIDE
    assert len(png) < 8_000
    colours = {tuple(pixel) for pixel in image[image[..., 3] > 0][:, :3].tolist()}
    assert colours == {FOR, AGAINST}


def test_a_face_in_which_nothing_matters_stays_pale() -> None:
    faint = decoded(draw(np.full((GRID, GRID), 0.001), view()))
    assert faint[..., 3].max() < 10


def test_a_crop_that_is_written_down_is_read_again_to_the_bit() -> None:
    crop = align(RNG.integers(0, 256, (120, 120, 3), np.uint8), (TEMPLATE * 90 + 15).astype(np.float32), SIZE)
    assert np.array_equal(read_crop(write_crop(crop)), crop)
    assert read_crop(crop) is crop
