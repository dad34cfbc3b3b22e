"""The speech model: windows of a voice in, emotions and the sentiment that they imply out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from onnxruntime import InferenceSession

from models.registry import ModelEntry
from service.domain.sentiment import Prediction
from service.features.speech import SAMPLE_RATE
from service.runners import Failed, calibration
from service.runners.session import open_model

Samples = NDArray[np.float32]


class SpeechModel:
    """Samples to calibrated emotions."""

    def __init__(
        self, session: InferenceSession, labels: Sequence[str], window_samples: int, temperature: float = 1.0
    ) -> None:
        self._session = session
        self._labels = labels
        self._window_samples = window_samples
        self._temperature = temperature

    @classmethod
    def load(cls, entry: ModelEntry, threads: int = 1) -> SpeechModel:
        """The model of a registry entry. Raises `WeightsMismatch`."""
        window_samples = round(float(entry.settings["window_seconds"]) * SAMPLE_RATE)
        return cls(open_model(entry, threads), entry.labels, window_samples, entry.temperature)

    def predict(self, windows: Sequence[Samples]) -> list[Prediction | Failed]:
        """One answer a window of mono 16 kHz samples (n,), in order; one that is no such window fails alone."""
        return [self._refuse(window) or self._infer(window) for window in windows]

    def warm(self) -> None:
        """Infer once, so that the first caller does not wait for what is set up lazily."""
        self.predict([np.zeros(self._window_samples, np.float32)])

    def _refuse(self, window: Samples) -> Failed | None:
        if window.ndim != 1 or not 0 < len(window) <= self._window_samples:
            return Failed(f"A window holds 1 to {self._window_samples} mono samples.")
        if not np.isfinite(window).all():
            return Failed("The window holds samples that are not finite.")
        return None

    def _infer(self, window: Samples) -> Prediction | Failed:
        """One window by itself: together they cost as much each (10 ms for 4 s on one Zen 4 core) and more memory."""
        feed = {"waveform": window[None].astype(np.float32, copy=False), "lengths": np.array([len(window)], np.int64)}
        (logits,) = self._session.run(["logits"], feed)
        (row,) = calibration.rows(np.asarray(logits))
        return calibration.emotions(row, self._labels, self._temperature)
