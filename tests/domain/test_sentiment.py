"""Distributions and the verdicts drawn from them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.labels import EMOTION_SENTIMENT, EMOTIONS, SENTIMENTS
from service.domain.sentiment import NO_EVIDENCE, UNIFORM, abstain, from_emotions, normalised, softmax, verdict

logits = st.lists(st.floats(-50, 50), min_size=2, max_size=9)


@given(logits, st.floats(0.1, 10))
def test_softmax_gives_a_distribution_in_the_order_of_the_logits(values: list[float], temperature: float) -> None:
    probabilities = softmax(values, temperature)
    assert math.isclose(sum(probabilities), 1.0)
    assert max(probabilities) == probabilities[values.index(max(values))]


def test_a_higher_temperature_makes_the_answer_less_sure() -> None:
    assert max(softmax([0.0, 1.0, 3.0], 2.0)) < max(softmax([0.0, 1.0, 3.0], 1.0))


def test_the_verdict_is_the_most_probable_label_and_valence_its_expectation() -> None:
    sentiment = verdict((0.1, 0.2, 0.7))
    assert sentiment.label == "positive"
    assert sentiment.confidence == 0.7
    assert sentiment.valence == pytest.approx(0.6)
    assert sentiment.distribution == (0.1, 0.2, 0.7)


def test_a_verdict_below_the_least_confidence_is_withheld_with_its_numbers() -> None:
    sentiment = verdict((0.3, 0.3, 0.4), min_confidence=0.5)
    assert (sentiment.label, sentiment.abstained, sentiment.reason) == (None, True, "low_confidence")
    assert sentiment.confidence == 0.4


def test_a_verdict_that_hardly_leads_is_withheld() -> None:
    assert verdict((0.48, 0.02, 0.5), min_margin=0.1).reason == "low_confidence"
    assert verdict((0.3, 0.2, 0.5), min_margin=0.1).label == "positive"


def test_no_evidence_says_nothing() -> None:
    assert NO_EVIDENCE.label is None
    assert NO_EVIDENCE.confidence == 0.0
    assert NO_EVIDENCE.valence == 0.0
    assert NO_EVIDENCE.reason == "no_evidence"


def test_every_emotion_speaks_for_some_sentiment() -> None:
    assert set(EMOTION_SENTIMENT) == set(EMOTIONS)
    for shares in EMOTION_SENTIMENT.values():
        assert math.isclose(sum(shares), 1.0)


@given(st.dictionaries(st.sampled_from(EMOTIONS), st.floats(0.01, 1), min_size=1))
def test_emotions_become_a_distribution_over_sentiments(emotions: dict[str, float]) -> None:
    assert math.isclose(sum(from_emotions(emotions)), 1.0)


def test_joy_is_positive_and_anger_negative() -> None:
    assert verdict(from_emotions({"happy": 0.8, "neutral": 0.2})).label == "positive"
    assert verdict(from_emotions({"angry": 0.8, "surprised": 0.2})).label == "negative"


def test_nothing_normalises_to_uniform() -> None:
    assert normalised([0.0, 0.0, 0.0]) == UNIFORM


def test_an_abstention_keeps_the_distribution() -> None:
    assert abstain((0.5, 0.0, 0.5), "conflict").distribution == (0.5, 0.0, 0.5)
    assert len(abstain(UNIFORM, "conflict").probabilities) == len(SENTIMENTS)
