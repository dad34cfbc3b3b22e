"""The text model as it is shipped."""

from __future__ import annotations

import numpy as np
import pytest

from service.domain.sentiment import Prediction
from service.runners import Failed
from service.runners.text import MAX_TOKENS_A_CALL, SPARE_TOKENS, TextModel, batches_by_length

TEXTS = [
    "I love it",
    "I hate it",
    "The meeting is at noon",
    "",
    "😍😍😍",
    "The food was great but the service was slow, and the waiter forgot our drinks twice before we left.",
    "ok",
    "Worst. Film. Ever.",
    "We walked to the station, bought two tickets, and waited for the train. " * 4,
]


def probabilities(answer: Prediction | Failed) -> tuple[float, ...]:
    assert isinstance(answer, Prediction)
    return answer.probabilities


@pytest.mark.parametrize(
    ("text", "label"), [("I love it", "positive"), ("I hate it", "negative"), ("The meeting is at noon", "neutral")]
)
def test_plain_sentences_are_read_right(text_model: TextModel, text: str, label: str) -> None:
    answer = probabilities(text_model.predict([text])[0])
    assert ("negative", "neutral", "positive")[int(np.argmax(answer))] == label


@pytest.mark.parametrize(
    ("text", "emotion"),
    [
        ("I love it", "happy"),
        ("My grandmother died last night.", "sad"),
        ("I am furious", "angry"),
        ("I am scared of the dark", "fearful"),
        ("That is disgusting", "disgust"),
        ("Wow, I did not expect that!", "surprised"),
        ("The meeting is at noon", "neutral"),
    ],
)
def test_plain_sentences_show_the_emotion_that_anyone_would_name(
    text_model: TextModel, text: str, emotion: str
) -> None:
    (answer,) = text_model.predict([text])
    assert isinstance(answer, Prediction)
    assert max(answer.emotions, key=answer.emotions.__getitem__) == emotion
    assert sum(answer.emotions.values()) == pytest.approx(1)


def test_a_batch_is_answered_as_each_text_alone(text_model: TextModel) -> None:
    together = [probabilities(answer) for answer in text_model.predict(TEXTS * 4)]
    alone = [probabilities(text_model.predict([text])[0]) for text in TEXTS] * 4
    assert np.abs(np.subtract(together, alone)).max() < 1e-4


def test_a_text_longer_than_the_window_fails_alone(text_model: TextModel) -> None:
    answers = text_model.predict(["I love it", "word " * 1000, "I hate it"])
    assert [isinstance(answer, Failed) for answer in answers] == [False, True, False]


def test_half_a_surrogate_pair_harms_nobody(text_model: TextModel) -> None:
    broken, whole = text_model.predict(["I love it \ud83d", "I love it"])
    assert isinstance(broken, Prediction)
    assert probabilities(whole) == pytest.approx(probabilities(text_model.predict(["I love it"])[0]), abs=1e-4)


def test_probabilities_add_up(text_model: TextModel) -> None:
    assert all(sum(probabilities(answer)) == pytest.approx(1) for answer in text_model.predict(TEXTS))
    assert text_model.predict([]) == []


def test_batches_hold_every_text_once_and_waste_little() -> None:
    lengths = np.random.default_rng(0).integers(2, 129, 300).tolist()
    groups = list(batches_by_length(lengths, 128))
    assert sorted(index for group in groups for index in group) == list(range(300))
    for group in groups:
        longest = max(lengths[index] for index in group)
        assert longest * len(group) - sum(lengths[index] for index in group) <= SPARE_TOKENS
        assert longest * len(group) <= MAX_TOKENS_A_CALL


def test_texts_that_are_too_long_are_in_no_batch() -> None:
    assert sorted(i for group in batches_by_length([5, 129, 128], 128) for i in group) == [0, 2]
