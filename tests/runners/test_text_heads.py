"""Emotions of a text, and the sentiment towards a term, from further outputs of the graph.

The graph here is made up, a session of fixed answers; what is shipped is asked at the end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer

from models.registry import default_model
from service.domain.labels import EMOTIONS, SENTIMENTS
from service.domain.sentiment import Prediction
from service.features.text import Asked, load_tokenizer
from service.runners import Failed
from service.runners.text import Head, TextModel

SENTIMENT = Head("logits", SENTIMENTS, temperature=1.0)
HEAD = Head("emotion", ("neutral", "happy", "sad"), temperature=2.0)
ASPECT = Head("aspect", SENTIMENTS, temperature=1.0)
SENTIMENT_LOGITS, ASPECT_LOGITS = [0.0, 1.0, 3.0], [4.0, 0.0, 0.0]


class FixedSession:
    """Gives each text the same sentiment, and the same logits of emotions."""

    def __init__(self, *emotion: float) -> None:
        self._rows = {"logits": SENTIMENT_LOGITS, "emotion": list(emotion), "aspect": ASPECT_LOGITS}
        self.asked: list[Sequence[str]] = []
        self.read: list[list[int]] = []

    def run(self, names: Sequence[str], feed: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        self.asked.append(names)
        self.read += [row[row > 0].tolist() for row in feed["input_ids"]]
        count = len(feed["input_ids"])
        return [np.array([self._rows[name]] * count, np.float32) for name in names]


def model(session: Any, emotions: Head | None = None, aspects: Head | None = None) -> TextModel:
    return TextModel(session, tokenizer(), SENTIMENT, emotions=emotions, aspects=aspects)


def tokenizer() -> Tokenizer:
    entry = default_model("text-sentiment")
    return load_tokenizer(entry.path(next(iter(entry.files))))


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
    (answer,) = model(session).predict(["I passed the exam"])
    assert isinstance(answer, Prediction)
    assert not answer.emotions
    assert session.asked == [["logits"]]


def test_emotions_that_are_not_finite_are_no_answer() -> None:
    (answer,) = model(FixedSession(0.0, np.nan, 0.0), HEAD).predict(["I passed the exam"])
    assert isinstance(answer, Failed)


def test_a_term_is_read_behind_the_text_and_answered_by_its_own_head() -> None:
    session = FixedSession(0.0, 2.0, -2.0)
    texts: list[str | Asked] = ["The soup was cold", Asked("The soup was cold", "soup")]
    whole, towards = model(session, HEAD, ASPECT).predict(texts)
    assert isinstance(whole, Prediction)
    assert isinstance(towards, Prediction)
    assert np.argmax(whole.probabilities) == SENTIMENTS.index("positive")
    assert np.argmax(towards.probabilities) == SENTIMENTS.index("negative")
    assert whole.emotions
    assert not towards.emotions
    assert tokenizer().encode("The soup was cold", "soup").ids in session.read


def test_a_model_without_the_head_is_never_asked_about_a_term() -> None:
    with pytest.raises(ValueError, match="no head"):
        model(FixedSession(), HEAD).predict([Asked("The soup was cold", "soup")])


def test_a_registry_entry_says_which_output_speaks_of_emotions() -> None:
    told = {"max_tokens": 128, "emotions": {"output": "emotion", "labels": ["happy", "sad"], "temperature": 1.5}}
    assert Head.of(told, "emotions") == Head("emotion", ("happy", "sad"), 1.5)
    assert Head.of({"max_tokens": 128, "emotions": {}}, "emotions") is None
    assert Head.of({}, "aspects") is None


def test_the_shipped_model_speaks_of_the_emotions_that_its_entry_names(text_model: TextModel) -> None:
    head = Head.of(default_model("text-sentiment").settings, "emotions")
    (answer,) = text_model.predict(["I love it"])
    assert isinstance(answer, Prediction)
    assert set(answer.emotions) == (set(head.labels) if head else set())
    assert set(answer.emotions) <= set(EMOTIONS)
