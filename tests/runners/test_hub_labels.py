"""What labels of well-known models mean here."""

from __future__ import annotations

import pytest

from service.runners.hub_labels import UnknownLabels, understand

SENTIMENT_MODELS = {
    "distilbert-sst2": (["NEGATIVE", "POSITIVE"], ["negative", "positive"]),
    "cardiffnlp, latest": (["negative", "neutral", "positive"], ["negative", "neutral", "positive"]),
    "cardiffnlp, first": (["LABEL_0", "LABEL_1", "LABEL_2"], ["negative", "neutral", "positive"]),
    "numbered and named": (
        ["LABEL_0 negative", "LABEL_1: neutral", "LABEL_2-positive"],
        ["negative", "neutral", "positive"],
    ),
    "nlptown": (
        ["1 star", "2 stars", "3 stars", "4 stars", "5 stars"],
        ["negative", "negative", "neutral", "positive", "positive"],
    ),
    "bertweet": (["NEG", "NEU", "POS"], ["negative", "neutral", "positive"]),
    "finbert": (["positive", "negative", "neutral"], ["positive", "negative", "neutral"]),
    "five classes": (
        ["Very Negative", "Negative", "Neutral", "Positive", "Very_Positive"],
        ["negative", "negative", "neutral", "positive", "positive"],
    ),
    "binary without names": (["LABEL_0", "LABEL_1"], ["negative", "positive"]),
}

EMOTION_MODELS = {
    "superb": (["neu", "hap", "ang", "sad"], ["neutral", "happy", "angry", "sad"]),
    "j-hartmann": (
        ["anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise"],
        ["angry", "disgust", "fearful", "happy", "neutral", "sad", "surprised"],
    ),
    "emotion": (
        ["sadness", "joy", "love", "anger", "fear", "surprise"],
        ["sad", "happy", "happy", "angry", "fearful", "surprised"],
    ),
    "faces": (
        ["sad", "disgust", "angry", "neutral", "fear", "surprise", "happy"],
        ["sad", "disgust", "angry", "neutral", "fearful", "surprised", "happy"],
    ),
}


@pytest.mark.parametrize(("labels", "meanings"), SENTIMENT_MODELS.values(), ids=SENTIMENT_MODELS)
def test_sentiment_labels_are_understood(labels: list[str], meanings: list[str]) -> None:
    found = understand(labels)
    assert list(found.meanings) == meanings
    assert not found.emotional


@pytest.mark.parametrize(("labels", "meanings"), EMOTION_MODELS.values(), ids=EMOTION_MODELS)
def test_emotion_labels_are_understood(labels: list[str], meanings: list[str]) -> None:
    found = understand(labels)
    assert list(found.meanings) == meanings
    assert found.emotional


@pytest.mark.parametrize(
    "labels", [["sports", "politics"], ["positive", "spam"], ["LABEL_0", "LABEL_1", "LABEL_2", "LABEL_3"], ["score"]]
)
def test_what_cannot_be_understood_is_refused_by_name(labels: list[str]) -> None:
    with pytest.raises(UnknownLabels) as refusal:
        understand(labels)
    assert all(label in str(refusal.value) for label in labels)


def test_stars_add_up() -> None:
    stars = understand(["1 star", "2 stars", "3 stars", "4 stars", "5 stars"])
    assert stars.prediction([0.1, 0.2, 0.3, 0.15, 0.25]).probabilities == pytest.approx((0.3, 0.3, 0.4))


def test_a_model_of_two_classes_never_says_neutral() -> None:
    assert understand(["POSITIVE", "NEGATIVE"]).prediction([0.9, 0.1]).probabilities == pytest.approx((0.1, 0.0, 0.9))


def test_fine_emotions_add_up_and_imply_a_sentiment() -> None:
    prediction = understand(["sadness", "joy", "love", "anger"]).prediction([0.1, 0.3, 0.4, 0.2])
    assert prediction.emotions == pytest.approx({"sad": 0.1, "happy": 0.7, "angry": 0.2})
    assert prediction.probabilities == pytest.approx((0.3, 0.0, 0.7))
