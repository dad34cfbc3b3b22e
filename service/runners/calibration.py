"""From a model's logits to a calibrated prediction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from service.domain.labels import SENTIMENTS
from service.domain.sentiment import Prediction, from_emotions, normalised, softmax
from service.runners import Failed

NOT_FINITE = "The model gave no finite answer."


def sentiments(logits: Sequence[float], labels: Sequence[str], temperature: float) -> Prediction | Failed:
    """Logits over the three sentiments, in the order of `labels`."""
    by_label = dict(zip(labels, softmax(logits, temperature), strict=True))
    return checked(Prediction(normalised([by_label[label] for label in SENTIMENTS])))


def emotions(logits: Sequence[float], labels: Sequence[str], temperature: float) -> Prediction | Failed:
    """Logits over the emotions `labels`, and the sentiment that they imply."""
    by_label = dict(zip(labels, softmax(logits, temperature), strict=True))
    return checked(Prediction(from_emotions(by_label), by_label))


def with_emotions(
    prediction: Prediction | Failed, logits: Sequence[float], labels: Sequence[str], temperature: float
) -> Prediction | Failed:
    """A prediction of sentiment with what another head says of emotions; the sentiment stays as it is."""
    if isinstance(prediction, Failed):
        return prediction
    by_label = dict(zip(labels, softmax(logits, temperature), strict=True))
    if not all(0.0 <= probability <= 1.0 for probability in by_label.values()):
        return Failed(NOT_FINITE)
    return replace(prediction, emotions=by_label)


def rows(logits: NDArray[Any]) -> list[list[float]]:
    """Logits (n, labels) as Python's own numbers, which the domain reckons with."""
    return logits.astype(float).tolist()


def checked(prediction: Prediction) -> Prediction | Failed:
    """A model that overflows answers NaN: that is no opinion."""
    if all(0.0 <= probability <= 1.0 for probability in prediction.probabilities):
        return prediction
    return Failed(NOT_FINITE)
