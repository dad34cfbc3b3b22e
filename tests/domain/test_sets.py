"""Sets of labels instead of one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.evaluation.measures import SET_COVERAGES, conformal_scores, set_coverage
from service.domain.labels import SENTIMENTS
from service.domain.sentiment import normalised
from service.domain.sets import least_probability, prediction_set

probability = st.floats(0.001, 1)
distributions = st.tuples(probability, probability, probability).map(normalised)


@given(distributions, st.floats(0, 1))
def test_the_likeliest_label_is_always_in_the_set_and_stands_first(distribution, least):
    found = prediction_set(distribution, 0.9, least)
    assert found.labels[0] == SENTIMENTS[max(range(3), key=lambda i: (distribution[i], SENTIMENTS[i]))]
    assert len(set(found.labels)) == len(found.labels)


@given(distributions, st.floats(0, 1), st.floats(0, 1))
def test_a_lower_bound_never_takes_a_label_away(distribution, one, other):
    wide, narrow = (set(prediction_set(distribution, 0.9, least).labels) for least in sorted((one, other)))
    assert narrow <= wide


def test_a_coverage_between_two_that_were_measured_takes_the_next():
    table = {f"{coverage:.2f}": coverage for coverage in SET_COVERAGES}
    assert least_probability(table, 0.9) == 0.9
    assert least_probability(table, 0.901) == 0.91
    assert least_probability(table, 0.99) == 0.99


@pytest.mark.parametrize("coverage", [0.8, 0.9, 0.95])
def test_sets_hold_the_true_label_as_often_as_was_asked_even_of_a_bad_model(coverage):
    """Labels are drawn from other probabilities than the model says; 20,000 rows are enough for 1.5 points."""
    random = np.random.default_rng(3)
    said = random.dirichlet((0.6, 0.8, 1.0), 40_000)
    true = said**0.5 / (said**0.5).sum(axis=1, keepdims=True)
    labels = (true.cumsum(axis=1) > random.random((len(said), 1))).argmax(axis=1)
    least = conformal_scores(said[:20_000], labels[:20_000])[f"{coverage:.2f}"]
    held, size = set_coverage(said[20_000:], labels[20_000:], least)
    assert held == pytest.approx(coverage, abs=0.015)
    assert 1 <= size <= 3
