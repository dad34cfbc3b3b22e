from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import onnxruntime
import pytest

from models.registry import FOLDER, default_model, sha256
from models.training.calibration import softmax
from service.domain.labels import EMOTION_SENTIMENT
from service.features.speech import SAMPLE_RATE, Samples, Window, speech_segments, windows

ENTRY = default_model("speech-emotion")
ROUNDING = 1e-3
"""Logits: sums of the same numbers in another order."""

INT8_STEPS = 0.2
"""Logits: another gain rounds samples otherwise, which tips some activations over to the next step of int8."""


class Shipped:
    """The file that the registry names, through ONNX Runtime alone."""

    def __init__(self) -> None:
        self.session = onnxruntime.InferenceSession(ENTRY.path(), providers=["CPUExecutionProvider"])

    def logits(self, waveform: np.ndarray, lengths: list[int]) -> np.ndarray:
        """(n, samples), (n,) -> (n, 8)."""
        feed = {"waveform": waveform.astype(np.float32), "lengths": np.array(lengths, np.int64)}
        return self.session.run(["logits"], feed)[0]

    def probabilities(self, cut: list[Window]) -> np.ndarray:
        """(8,): windows averaged, calibrated."""
        logits = np.concatenate([self.logits(w.samples[None, : w.valid_samples], [w.valid_samples]) for w in cut])
        return np.average(softmax(logits, ENTRY.temperature), axis=0, weights=[w.valid_samples for w in cut])


def sound(path: Path) -> Samples:
    """A file as mono samples at 16 kHz."""
    with av.open(str(path)) as container:
        resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)
        frames = [part for frame in container.decode(audio=0) for part in resampler.resample(frame)]
        frames += resampler.resample(None)
    return np.concatenate([frame.to_ndarray()[0] for frame in frames])


def cut(path: Path) -> list[Window]:
    samples = sound(path)
    return windows(samples, speech_segments(samples), ENTRY.settings["window_seconds"], ENTRY.settings["hop_seconds"])


@pytest.fixture(scope="module")
def shipped() -> Shipped:
    return Shipped()


@pytest.fixture(scope="module")
def voices(samples: Path) -> list[Window]:
    """Windows of different lengths, from several voices."""
    return [window for path in sorted((samples / "audio").glob("*_*male.ogg")) for window in cut(path)]


def test_the_registry_names_the_file_that_is_there() -> None:
    assert sha256(FOLDER / ENTRY.file) == ENTRY.sha256
    assert (ENTRY.modality, ENTRY.languages) == ("speech", ("en", "pl"))


def test_every_label_has_a_sentiment() -> None:
    assert len(ENTRY.labels) == 8
    assert set(ENTRY.labels) <= set(EMOTION_SENTIMENT)


def test_the_shipped_file_is_small_and_reaches_the_floor() -> None:
    assert (FOLDER / ENTRY.file).stat().st_size < 10_500_000
    assert ENTRY.scores["ravdess_test"]["uar"] >= 0.70


def test_calibration_is_reported_before_and_after() -> None:
    for split in ("ravdess_val", "ravdess_test", "nemo_val", "nemo_test"):
        scores = ENTRY.scores[split]
        assert all(0.0 <= scores[name] <= 1.0 for name in ("ece", "ece_before_temperature", "sentiment_ece"))


def test_non_commercial_data_is_named_in_the_licence() -> None:
    assert not ENTRY.commercial_use
    assert "CC BY-NC-SA 4.0" in ENTRY.licence


@pytest.mark.parametrize(
    ("name", "emotion"),
    [
        ("ravdess_angry_strong_male.ogg", "angry"),
        ("ravdess_happy_strong_female.ogg", "happy"),
        ("ravdess_sad_strong_female.ogg", "sad"),
        ("ravdess_neutral_male.ogg", "neutral"),
    ],
)
def test_an_acted_emotion_is_heard(shipped: Shipped, samples: Path, name: str, emotion: str) -> None:
    probabilities = shipped.probabilities(cut(samples / "audio" / name))
    assert ENTRY.labels[int(probabilities.argmax())] == emotion


def test_a_batch_answers_as_its_clips_do_alone(shipped: Shipped, voices: list[Window]) -> None:
    together = shipped.logits(np.array([w.samples for w in voices]), [w.valid_samples for w in voices])
    alone = np.concatenate([shipped.logits(w.samples[None], [w.valid_samples]) for w in voices])
    assert np.abs(together - alone).max() < ROUNDING
    assert np.array_equal(together.argmax(axis=1), alone.argmax(axis=1))


def test_padding_does_not_change_the_answer(shipped: Shipped, voices: list[Window]) -> None:
    for window in voices:
        bare = shipped.logits(window.samples[None, : window.valid_samples], [window.valid_samples])
        padded = shipped.logits(window.samples[None], [window.valid_samples])
        assert padded == pytest.approx(bare, abs=ROUNDING)


def test_what_lies_after_the_length_is_not_heard(shipped: Shipped, voices: list[Window]) -> None:
    window = min(voices, key=lambda voice: voice.valid_samples)
    clean = shipped.logits(window.samples[None], [window.valid_samples])
    dirty = window.samples.copy()
    dirty[window.valid_samples :] = np.random.default_rng(0).uniform(-1, 1, len(dirty) - window.valid_samples)
    assert np.array_equal(shipped.logits(dirty[None], [window.valid_samples]), clean)


def test_the_gain_of_a_microphone_does_not_change_the_answer(shipped: Shipped, voices: list[Window]) -> None:
    for window in voices:
        heard = [shipped.logits(window.samples[None] * gain, [window.valid_samples]) for gain in (0.1, 1.0, 3.0)]
        assert np.ptp(heard, axis=0).max() < INT8_STEPS


@pytest.mark.parametrize("length", [1, 159, 160, 321, 63_999, 64_000])
def test_any_length_up_to_the_window_gets_finite_logits(shipped: Shipped, length: int) -> None:
    noise = np.random.default_rng(length).normal(0, 0.05, (1, length))
    assert np.isfinite(shipped.logits(noise, [length])).all()


def test_silence_gets_finite_logits(shipped: Shipped) -> None:
    assert np.isfinite(shipped.logits(np.zeros((2, 64_000)), [64_000, 8_000])).all()
