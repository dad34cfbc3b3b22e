"""The speech model as it is shipped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.registry import default_model
from service.domain.sentiment import Prediction
from service.features.speech import SAMPLE_RATE, speech_segments, windows
from service.runners import Failed
from service.runners.speech import SpeechModel
from tests.runners.conftest import listen

SETTINGS = default_model("speech-emotion").settings
WINDOW = round(SETTINGS["window_seconds"] * SAMPLE_RATE)


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, samples).astype(np.float32)


def emotions(answer: Prediction | Failed) -> dict[str, float]:
    assert isinstance(answer, Prediction)
    return dict(answer.emotions)


def test_a_batch_is_answered_as_each_window_alone(speech_model: SpeechModel) -> None:
    windows = [noise(WINDOW - 1000 * n, n) for n in range(5)]
    for together, window in zip(speech_model.predict(windows), windows, strict=True):
        assert emotions(together) == pytest.approx(emotions(speech_model.predict([window])[0]), abs=1e-4)


def test_a_window_that_is_a_view_into_a_recording_is_heard_as_its_copy(speech_model: SpeechModel) -> None:
    view = noise(4 * WINDOW)[WINDOW // 2 : WINDOW]
    assert speech_model.predict([view]) == speech_model.predict([view.copy()])


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
    cut = windows(recording, speech_segments(recording), SETTINGS["window_seconds"], SETTINGS["hop_seconds"])
    answers = speech_model.predict([window.samples[: window.valid_samples] for window in cut])
    means = {name: np.mean([emotions(answer)[name] for answer in answers]) for name in emotions(answers[0])}
    assert max(means, key=lambda name: means[name]) == emotion
