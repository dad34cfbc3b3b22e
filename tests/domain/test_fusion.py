"""Several opinions become one."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.fusion import (
    FusionRule,
    NoEvidence,
    Opinion,
    conflict,
    contributions,
    decide,
    effective_voices,
    fuse,
    log_linear_pool,
    pool_emotions,
    pool_weights,
    voter_weight,
)
from service.domain.labels import MODALITIES, Modality
from service.domain.sentiment import Prediction, normalised

probability = st.floats(0.001, 1)
predictions = st.tuples(probability, probability, probability).map(lambda values: Prediction(normalised(values)))
opinion = st.builds(Opinion, predictions, quality=st.floats(0.01, 1), reliability=st.floats(0.4, 0.95))
opinions = st.dictionaries(st.sampled_from(MODALITIES), opinion, min_size=1)

GLAD = Opinion(Prediction((0.05, 0.15, 0.8), {"happy": 0.9, "neutral": 0.1}), reliability=0.8)
SAD = Opinion(Prediction((0.8, 0.15, 0.05), {"sad": 1.0}), reliability=0.8)
RULE = FusionRule()


@given(opinions)
def test_the_pool_is_a_distribution_between_its_opinions(said: dict[Modality, Opinion]) -> None:
    pooled = log_linear_pool(said, pool_weights(said))
    assert math.isclose(sum(pooled), 1.0)


@given(opinions)
def test_weights_contributions_and_conflict_stay_in_their_ranges(said: dict[Modality, Opinion]) -> None:
    weights = pool_weights(said)
    assert math.isclose(sum(weights.values()), 1.0)
    assert math.isclose(sum(contributions(said, weights).values()), 1.0)
    assert 0.0 <= conflict(said, weights) <= 1.0


@given(opinion)
def test_a_single_opinion_is_left_as_it_is(alone: Opinion) -> None:
    fused = fuse({"text": alone}, RULE)
    assert fused.sentiment.distribution == pytest.approx(alone.prediction.probabilities, abs=1e-6)
    assert fused.fusion.without == {}
    assert fused.fusion.conflict == 0.0


@given(opinion)
def test_two_who_agree_are_as_sure_as_independent_witnesses(said: Opinion) -> None:
    clear = Opinion(said.prediction, 1.0, said.reliability)
    pooled = fuse({"text": clear, "face": clear}, RULE).sentiment.distribution
    assert pooled == pytest.approx(normalised([p**2 for p in said.prediction.probabilities]), abs=1e-6)


@given(opinion)
def test_a_voice_of_poor_quality_hardly_makes_the_other_surer(said: Opinion) -> None:
    hardly = Opinion(said.prediction, quality=1e-4, reliability=said.reliability)
    clearly = Opinion(said.prediction, quality=1.0, reliability=said.reliability)
    pooled = fuse({"text": clearly, "face": hardly}, RULE).sentiment.distribution
    assert pooled == pytest.approx(said.prediction.probabilities, abs=0.002)


@given(opinion)
def test_agreement_of_poor_input_hardly_makes_anybody_surer(said: Opinion) -> None:
    poor = Opinion(said.prediction, quality=0.01, reliability=said.reliability)
    pooled = fuse({"text": poor, "speech": poor, "face": poor}, RULE).sentiment.distribution
    assert max(pooled) == pytest.approx(max(said.prediction.probabilities), abs=0.01)


@given(opinions)
def test_the_effective_number_of_voices_lies_between_one_and_their_number(said: dict[Modality, Opinion]) -> None:
    assert 1 - 1e-9 <= effective_voices(pool_weights(said)) <= len(said) + 1e-9


def test_a_voice_of_no_evidence_changes_nothing_but_how_sure_the_other_is() -> None:
    unsure = Opinion(Prediction((1 / 3, 1 / 3, 1 / 3)), reliability=0.8)
    assert decide({"text": GLAD, "face": unsure}, RULE).label == "positive"


def test_better_input_weighs_more() -> None:
    blurred = Opinion(SAD.prediction, quality=0.1, reliability=0.8)
    assert decide({"text": GLAD, "face": blurred}, RULE).label == "positive"
    assert decide({"text": Opinion(GLAD.prediction, 0.1, 0.8), "face": SAD}, RULE).label == "negative"


def test_a_more_reliable_model_weighs_more_and_chance_weighs_nothing() -> None:
    assert voter_weight(0.9) > voter_weight(0.7) > voter_weight(1 / 3) > 0
    assert voter_weight(1 / 3) == pytest.approx(0, abs=1e-5)


def test_opposite_opinions_conflict_and_are_withheld_when_the_rule_says_so() -> None:
    said: dict[Modality, Opinion] = {"text": GLAD, "face": SAD}
    assert conflict(said, pool_weights(said)) > 0.4
    assert decide(said, FusionRule(max_conflict=0.4)).reason == "conflict"
    assert decide({"text": GLAD, "face": GLAD}, FusionRule(max_conflict=0.4)).label == "positive"


def test_the_verdict_without_each_modality_is_the_verdict_of_the_rest() -> None:
    without = fuse({"text": GLAD, "face": SAD}, RULE).fusion.without
    assert without["text"].label == "negative"
    assert without["face"].label == "positive"


def test_nothing_to_pool_is_an_abstention_and_pooling_it_an_error() -> None:
    assert fuse({}, RULE).sentiment.reason == "no_evidence"
    with pytest.raises(NoEvidence):
        pool_weights({})


def test_emotions_are_pooled_over_those_who_speak_of_them() -> None:
    pooled = pool_emotions(
        {"text": {}, "speech": {"calm": 1.0}, "face": {"happy": 1.0}}, {"text": 0.5, "speech": 0.3, "face": 0.2}
    )
    assert pooled == pytest.approx({"calm": 0.6, "happy": 0.4})
    assert list(pooled) == ["calm", "happy"]


def test_a_certain_zero_does_not_break_the_pool() -> None:
    sure = Opinion(Prediction((0.0, 0.0, 1.0)), reliability=0.8)
    assert math.isclose(sum(decide({"text": sure, "face": SAD}, RULE).distribution), 1.0)


def test_a_threshold_of_some_modalities_holds_for_verdicts_over_just_these() -> None:
    sure = decide({"text": GLAD, "face": GLAD}, FusionRule()).confidence
    for least, label in ((sure - 0.01, "positive"), (sure + 0.01, None)):
        own = FusionRule(min_margin=1.0, min_confidence_of={frozenset(("text", "face")): least})
        assert decide({"text": GLAD, "face": GLAD}, own).label == label
        assert decide({"text": GLAD, "face": GLAD, "speech": GLAD}, own).label is None
