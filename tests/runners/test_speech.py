"""The speech model as it is shipped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.registry import default_model
from service.domain.sentiment import Prediction
from service.features.speech import SAMPLE_RATE
from service.runners import Failed
from service.runners.speech import SpeechModel
from tests.runners.conftest import listen

WINDOW = round(default_model("speech-emotion").settings["window_seconds"] * SAMPLE_RATE)


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, samples).astype(np.float32)


def emotions(answer: Prediction | Failed) -> dict[str, float]:
    assert isinstance(answer, Prediction)
    return dict(answer.emotions)


def test_a_batch_is_answered_as_each_window_alone(speech_model: SpeechModel) -> None:
    windows = [noise(WINDOW - 1000 * n, n) for n in range(5)]
    for together, window in zip(speech_model.predict(windows), windows, strict=True):
        assert emotions(together) == pytest.approx(emotions(speech_model.predict([window])[0]), abs=1e-4)


def test_zeros_behind_the_window_change_nothing(speech_model: SpeechModel) -> None:
    short = noise(WINDOW // 2)
    (answer,) = speech_model.predict([short])
    assert emotions(answer) == pytest.approx(emotions(speech_model.predict([short.copy()])[0]), abs=1e-6)


@pytest.mark.parametrize(
    "bad", [np.zeros(0), np.zeros((2, 8000)), np.zeros(WINDOW + 1), np.full(8000, np.nan)], ids=str
)
def test_what_is_no_window_fails_alone(speech_model: SpeechModel, bad: np.ndarray) -> None:
    answers = speech_model.predict([noise(8000), bad.astype(np.float32), noise(9000)])
    assert [isinstance(answer, Failed) for answer in answers] == [False, True, False]


def test_one_sample_is_answered(speech_model: SpeechModel) -> None:
    assert sum(emotions(speech_model.predict([noise(1)])[0]).values()) == pytest.approx(1)


@pytest.mark.parametrize("emotion", ["angry", "happy", "sad", "neutral"])
def test_acted_emotions_are_heard(speech_model: SpeechModel, samples: Path, emotion: str) -> None:
    recording = listen(next((samples / "audio").glob(f"ravdess_{emotion}_*")))
    middle = max(0, (len(recording) - WINDOW) // 2)
    found = emotions(speech_model.predict([recording[middle : middle + WINDOW]])[0])
    assert found[emotion] == sorted(found.values())[-1] or found[emotion] > 0.25
