"""Emotions of a text, from a second output of the graph; the graph here is made up, a session of fixed answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from models.registry import default_model
from service.domain.labels import EMOTIONS, SENTIMENTS
from service.domain.sentiment import Prediction
from service.features.text import load_tokenizer
from service.runners import Failed
from service.runners.text import EmotionHead, TextModel

HEAD = EmotionHead("emotion", ("neutral", "happy", "sad"), temperature=2.0)
SENTIMENT_LOGITS = [0.0, 1.0, 3.0]


class FixedSession:
    """Gives each text the same sentiment, and the same logits of emotions."""

    def __init__(self, *emotion: float) -> None:
        self._rows = {"logits": SENTIMENT_LOGITS, "emotion": list(emotion)}
        self.asked: list[Sequence[str]] = []

    def run(self, names: Sequence[str], feed: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        self.asked.append(names)
        count = len(feed["input_ids"])
        return [np.array([self._rows[name]] * count, np.float32) for name in names]


def model(session: Any, head: EmotionHead | None) -> TextModel:
    entry = default_model("text-sentiment")
    tokenizer = load_tokenizer(entry.path(next(iter(entry.files))))
    return TextModel(session, tokenizer, SENTIMENTS, 1.0, emotions=head)


def test_emotions_come_calibrated_beside_the_sentiment() -> None:
    session = FixedSession(0.0, 2.0, -2.0)
    answers = model(session, HEAD).predict(["I passed the exam", "so did she, and all of the others"])
    expected = np.exp([0.0, 1.0, -1.0]) / np.exp([0.0, 1.0, -1.0]).sum()
    for answer in answers:
        assert isinstance(answer, Prediction)
        assert dict(answer.emotions) == pytest.approx(dict(zip(HEAD.labels, expected, strict=True)))
        assert answer.probabilities == pytest.approx(np.exp(SENTIMENT_LOGITS) / np.exp(SENTIMENT_LOGITS).sum())


def test_a_model_without_the_head_is_asked_for_nothing_else_and_has_no_emotions() -> None:
    session = FixedSession()
    (answer,) = model(session, None).predict(["I passed the exam"])
    assert isinstance(answer, Prediction)
    assert not answer.emotions
    assert session.asked == [["logits"]]


def test_emotions_that_are_not_finite_are_no_answer() -> None:
    (answer,) = model(FixedSession(0.0, np.nan, 0.0), HEAD).predict(["I passed the exam"])
    assert isinstance(answer, Failed)


def test_a_registry_entry_says_which_output_speaks_of_emotions() -> None:
    told = {"max_tokens": 128, "emotions": {"output": "emotion", "labels": ["happy", "sad"], "temperature": 1.5}}
    assert EmotionHead.of(told) == EmotionHead("emotion", ("happy", "sad"), 1.5)
    assert EmotionHead.of({"max_tokens": 128, "emotions": {}}) is None
    assert EmotionHead.of({}) is None


def test_the_shipped_model_speaks_of_the_emotions_that_its_entry_names(text_model: TextModel) -> None:
    head = EmotionHead.of(default_model("text-sentiment").settings)
    (answer,) = text_model.predict(["I love it"])
    assert isinstance(answer, Prediction)
    assert set(answer.emotions) == (set(head.labels) if head else set())
    assert set(answer.emotions) <= set(EMOTIONS)
