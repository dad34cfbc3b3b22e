"""From a model's logits to a calibrated prediction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from service.domain.labels import SENTIMENTS
from service.domain.sentiment import Prediction, from_emotions, normalised, softmax
from service.runners import Failed


def sentiments(logits: Sequence[float], labels: Sequence[str], temperature: float) -> Prediction | Failed:
    """Logits over the three sentiments, in the order of `labels`."""
    by_label = dict(zip(labels, softmax(logits, temperature), strict=True))
    return checked(Prediction(normalised([by_label[label] for label in SENTIMENTS])))


def emotions(logits: Sequence[float], labels: Sequence[str], temperature: float) -> Prediction | Failed:
    """Logits over the emotions `labels`, and the sentiment that they imply."""
    by_label = dict(zip(labels, softmax(logits, temperature), strict=True))
    return checked(Prediction(from_emotions(by_label), by_label))


def rows(logits: NDArray[Any]) -> list[list[float]]:
    """Logits (n, labels) as Python's own numbers, which the domain reckons with."""
    return logits.astype(float).tolist()


def checked(prediction: Prediction) -> Prediction | Failed:
    """A model that overflows answers NaN: that is no opinion."""
    if all(0.0 <= probability <= 1.0 for probability in prediction.probabilities):
        return prediction
    return Failed("The model gave no finite answer.")
