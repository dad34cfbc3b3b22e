"""How right, and how honest, a classifier's probabilities are; numpy alone."""

from __future__ import annotations

import numpy as np

Array = np.ndarray
SEARCH_WIDTH = 1e-7


def softmax(logits: Array, temperature: float = 1.0) -> Array:
    """Probabilities (n, k) from logits (n, k) divided by `temperature` > 0."""
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    exponentials = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def fit_temperature(logits: Array, labels: Array, bounds: tuple[float, float] = (0.05, 20.0)) -> float:
    """The temperature in `bounds` with the smallest cross-entropy (Guo et al. 2017), for validation data.

    logits (n, k); labels (n,) of class numbers or (n, k) of distributions.
    The loss is convex in 1/T, so that a ternary search over it is exact to six digits.
    """
    logits = np.asarray(logits, dtype=np.float64)
    targets = _distributions(labels, logits.shape[1])
    low, high = 1 / bounds[1], 1 / bounds[0]
    while high - low > SEARCH_WIDTH:
        left, right = low + (high - low) / 3, high - (high - low) / 3
        if _cross_entropy(logits * left, targets) < _cross_entropy(logits * right, targets):
            high = right
        else:
            low = left
    return float(2 / (low + high))


def ece(probabilities: Array, labels: Array, bins: int = 15) -> float:
    """Expected calibration error in [0, 1]: |accuracy - confidence| over equal-width bins of the top probability.

    probabilities (n, k); labels (n,) of class numbers.
    """
    probabilities, labels = np.asarray(probabilities, dtype=np.float64), np.asarray(labels)
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    # Bins are half-open on the left, (0, 1/15], as in Guo et al.: a confidence of exactly 1 falls in the last.
    bin_of = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.bincount(bin_of, weights=right - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(labels))


def brier(probabilities: Array, labels: Array) -> float:
    """The mean squared distance in [0, 2] of probabilities (n, k) from labels, (n,) or (n, k)."""
    probabilities = np.asarray(probabilities, dtype=np.float64)
    return float(((probabilities - _distributions(labels, probabilities.shape[1])) ** 2).sum(axis=1).mean())


def macro_recall(predicted: Array, labels: Array, classes: int) -> float:
    """The mean in [0, 1] of the classes' recalls (unweighted average recall); classes without a label are left out.

    predicted and labels: (n,) of class numbers below `classes`.
    """
    predicted, labels = np.asarray(predicted), np.asarray(labels)
    support = np.bincount(labels, minlength=classes)
    hits = np.bincount(labels[predicted == labels], minlength=classes)
    present = support > 0
    return float((hits[present] / support[present]).mean())


def _distributions(labels: Array, classes: int) -> Array:
    labels = np.asarray(labels)
    return np.eye(classes)[labels] if labels.ndim == 1 else labels.astype(np.float64)


def _cross_entropy(logits: Array, targets: Array) -> float:
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_normaliser = np.log(np.exp(shifted).sum(axis=1))
    return float((log_normaliser * targets.sum(axis=1) - (targets * shifted).sum(axis=1)).mean())
