from __future__ import annotations

import numpy as np
import pytest

from models.training.calibration import brier, ece, fit_temperature, macro_recall, softmax


def drawn(temperature: float, rows: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and labels drawn from their softmax at `temperature`."""
    random = np.random.default_rng(7)
    logits = random.normal(0, 3, (rows, 3))
    cumulated = softmax(logits, temperature).cumsum(axis=1)
    return logits, np.minimum((random.random((rows, 1)) > cumulated).sum(axis=1), 2)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_that_labels_were_drawn_with_is_found(temperature):
    logits, labels = drawn(temperature)
    assert fit_temperature(logits, labels) == pytest.approx(temperature, rel=0.05)


def test_soft_labels_give_the_temperature_exactly():
    logits, _ = drawn(1.0, rows=200)
    assert fit_temperature(logits, softmax(logits, 1.7)) == pytest.approx(1.7, rel=1e-3)


def test_hard_and_one_hot_labels_give_the_same_temperature():
    logits, labels = drawn(1.3, rows=500)
    assert fit_temperature(logits, labels) == pytest.approx(fit_temperature(logits, np.eye(3)[labels]))


def test_calibration_lowers_the_ece_of_an_overconfident_model():
    logits, labels = drawn(2.5)
    before = ece(softmax(logits), labels)
    after = ece(softmax(logits, fit_temperature(logits, labels)), labels)
    assert before > 0.1
    assert after < 0.02


def test_ece_of_a_sure_and_wrong_model_is_one_and_of_a_sure_and_right_one_zero():
    sure = np.eye(3)[[0, 1, 2]]
    assert ece(sure, np.array([0, 1, 2])) == 0.0
    assert ece(sure, np.array([1, 2, 0])) == 1.0


def test_ece_by_hand():
    probabilities = np.array([[0.8, 0.2], [0.8, 0.2], [0.4, 0.6], [0.4, 0.6]])
    # 0.8: half right, off by 0.3; 0.6: all right, off by 0.4; both bins hold half of the rows.
    assert ece(probabilities, np.array([0, 1, 1, 1])) == pytest.approx(0.35)


def test_brier_by_hand():
    assert brier(np.array([[1.0, 0.0], [0.5, 0.5]]), np.array([1, 0])) == pytest.approx((2 + 0.5) / 2)
    assert brier(np.array([[0.3, 0.7]]), np.array([[0.3, 0.7]])) == 0.0


def test_macro_recall_weighs_classes_equally_and_leaves_out_absent_ones():
    labels = np.array([0] * 9 + [1])
    assert macro_recall(np.zeros(10, dtype=int), labels, 2) == 0.5
    assert macro_recall(labels, labels, 5) == 1.0


def test_softmax_survives_huge_logits():
    assert softmax(np.array([[1e4, 0.0, -1e4]])).tolist() == [[1.0, 0.0, 0.0]]
