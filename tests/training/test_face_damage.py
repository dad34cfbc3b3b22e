"""What the clarity of a face is learnt from: damage, and how much it leaves."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from models.training.face_cover import covered, cut_off, handed, masked, photographed_hand
from models.training.face_damage import damaged, hidden, importance, similarity, worn_out

SIZE = 48


@pytest.fixture
def crop() -> np.ndarray:
    """Something with edges and shades: a face is not needed."""
    noise = np.random.default_rng(7).integers(0, 256, (SIZE, SIZE), np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), None, 20, 230, cv2.NORM_MINMAX)


def rng(seed: int = 7) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_what_matters_of_a_face_adds_up_to_one_and_lies_around_the_mouth_and_the_eyes():
    weights = importance(SIZE)
    assert weights.sum() == pytest.approx(1, abs=1e-5)
    assert weights[37, 24] > 3 * weights[46, 2]
    assert weights[17, 14] > 3 * weights[2, 24]


def test_a_cover_changes_the_crop_where_it_lies_and_nowhere_else(crop):
    for seed in range(20):
        changed, cover = masked(crop, rng(seed))
        assert changed.shape == crop.shape and changed.dtype == np.uint8
        np.testing.assert_array_equal(changed[cover == 0], crop[cover == 0])
        assert cover.min() >= 0 and cover.max() <= 1


def test_a_hand_throws_a_shadow_and_changes_nothing_else_beside_it(crop):
    for seed in range(20):
        changed, cover = handed(crop, rng(seed))
        assert changed.shape == crop.shape and changed.dtype == np.uint8
        assert (changed[cover == 0] <= crop[cover == 0]).all()
        assert cover.min() >= 0 and cover.max() <= 1


def test_hands_lie_on_the_forehead_and_the_eyes_half_of_the_time_and_elsewhere_too(crop):
    rows = np.arange(SIZE)[:, None]
    covers = [handed(crop, rng(seed))[1] for seed in range(300)]
    shown = [cover for cover in covers if cover.sum() > 20]
    above = np.array([(cover * (rows < SIZE / 2)).sum() > cover.sum() / 2 for cover in shown])
    assert 0.2 < above.mean() < 0.7


def test_a_mask_hides_about_half_of_what_matters(crop):
    shares = [hidden(masked(crop, rng(seed))[1]) for seed in range(50)]
    assert 0.35 < np.mean(shares) < 0.7
    assert min(shares) > 0.2


def test_a_photographed_hand_takes_the_shade_of_the_face(crop):
    hand = np.dstack([np.full((60, 90), 240, np.uint8), np.full((60, 90), 255, np.uint8)])
    dark = (crop // 4).astype(np.uint8)
    changed, cover = photographed_hand(dark, hand, rng())
    assert cover.max() == 1
    assert changed[cover == 1].max() < 100


def test_a_face_at_the_edge_of_its_picture_goes_on_as_its_last_line(crop):
    changed, cover = cut_off(crop, rng())
    lines = [changed[cover[:, 0] == 1], changed[:, cover[0] == 1].T]
    longest = max(lines, key=lambda each: each.shape[0] * (each == each[:1]).all())
    assert (longest == longest[0]).all()


def test_the_same_picture_is_alike_under_another_light_and_unlike_when_blurred(crop):
    assert similarity(crop, crop) == pytest.approx(1)
    assert similarity(crop, (crop // 2 + 40).astype(np.uint8)) > 0.97
    blurred = [similarity(crop, cv2.GaussianBlur(crop, (0, 0), spread)) for spread in (0.5, 1.5, 3.0)]
    assert blurred == sorted(blurred, reverse=True)
    assert blurred[-1] < 0.6


def test_damage_leaves_some_share_of_a_face_and_always_the_same_by_its_seed(crop):
    pairs = [damaged(crop, rng(seed), crop[::-1]) for seed in range(200)]
    left = np.array([share for _, share in pairs])
    assert left.min() == 0 and left.max() == 1
    assert 0.2 < left.mean() < 0.8
    again, share = damaged(crop, rng(3), crop[::-1])
    np.testing.assert_array_equal(again, pairs[3][0])
    assert share == pairs[3][1]


def test_every_accident_and_every_cover_keeps_the_shape_of_the_crop(crop):
    for seed in range(100):
        assert worn_out(crop, rng(seed)).shape == crop.shape
        assert covered(crop, rng(seed), crop)[0].shape == crop.shape
