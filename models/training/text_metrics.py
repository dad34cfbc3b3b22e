"""What the heads of the text model are judged by, each by the measure that its data set is published with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from models.training.calibration import macro_recall, softmax
from models.training.text_tasks import CLASSES, EKMAN, Labelled

Array = np.ndarray
Outputs = Mapping[str, Array]
"""What each head said of some texts: (n, its outputs)."""

NEGATIVE, NEUTRAL, POSITIVE = range(3)


def f1_scores(predicted: Array, true: Array) -> Array:
    """F1 of each class (k,) from yes and no, both (n, k); 0 where there is nothing to find and nothing found."""
    hits = (predicted & true).sum(axis=0)
    return 2 * hits / np.maximum(predicted.sum(axis=0) + true.sum(axis=0), 1)


def best_thresholds(probabilities: Array, true: Array) -> Array:
    """For each class (k,) the probability from 0.05 to 0.9 above which calling it has the highest F1."""
    steps = np.arange(0.05, 0.91, 0.025)
    scores = np.array([f1_scores(probabilities >= step, true) for step in steps])
    return steps[scores.argmax(axis=0)]


def pearson(left: Array, right: Array) -> float:
    """Pearson's correlation of two series."""
    return float(np.corrcoef(left, right)[0, 1])


def known(rows: Sequence[Labelled], head: str) -> tuple[Array, Array]:
    """Which rows (m,) a head has labels of, and those labels (m, classes)."""
    chosen = [number for number, row in enumerate(rows) if head in row.known]
    return np.array(chosen, dtype=int), np.array([rows[number].known[head] for number in chosen])


def picked(outputs: Outputs, rows: Sequence[Labelled], head: str) -> tuple[Array, Array]:
    """Logits (m, classes) and class numbers (m,) of the rows that a head has labels of."""
    chosen, labels = known(rows, head)
    return outputs[head][chosen], labels.argmax(axis=1)


def of_classes(outputs: Outputs, rows: Sequence[Labelled], head: str) -> dict[str, float]:
    """Accuracy, macro-recall, macro-F1 and the F1 weighted by class frequency, each text with one class."""
    logits, labels = picked(outputs, rows, head)
    classes = len(CLASSES[head])
    every = np.eye(classes, dtype=bool)
    predicted = logits.argmax(axis=1)
    f1, support = f1_scores(every[predicted], every[labels]), np.bincount(labels, minlength=classes)
    return {
        "accuracy": float((predicted == labels).mean()),
        "macro_recall": macro_recall(predicted, labels, classes),
        "macro_f1": float(f1.mean()),
        "weighted_f1": float((f1 * support).sum() / support.sum()),
    }


def of_two_sides(outputs: Outputs, rows: Sequence[Labelled]) -> float:
    """Accuracy of negative against positive where neutral is left out, as SST-2 is scored."""
    logits, labels = picked(outputs, rows, "sentiment")
    sided = labels != NEUTRAL
    positive = logits[sided, POSITIVE] > logits[sided, NEGATIVE]
    return float((positive == (labels[sided] == POSITIVE)).mean())


def of_emotions(outputs: Outputs, rows: Sequence[Labelled], thresholds: Array) -> dict[str, float]:
    """F1 of each emotion and their mean, where a text may have several: those above their threshold."""
    chosen, labels = known(rows, "emotion")
    f1 = f1_scores(softmax(outputs["emotion"][chosen]) >= thresholds, labels > 0)
    return {"macro_f1": float(f1.mean())} | {f"f1_{name}": float(one) for name, one in zip(EKMAN, f1, strict=True)}


def thresholds_of(outputs: Outputs, rows: Sequence[Labelled]) -> Array:
    """The thresholds of the emotions that are best on these rows; for validation data."""
    chosen, labels = known(rows, "emotion")
    return best_thresholds(softmax(outputs["emotion"][chosen]), labels > 0)


def of_irony(outputs: Outputs, rows: Sequence[Labelled]) -> float:
    """F1 of the ironic class."""
    logits, labels = picked(outputs, rows, "irony")
    return float(f1_scores(logits.argmax(axis=1)[:, None] == 1, labels[:, None] == 1)[0])


def of_valence(outputs: Outputs, rows: Sequence[Labelled]) -> float:
    """Pearson's correlation with the valence that people gave."""
    chosen, values = known(rows, "valence")
    return pearson(outputs["valence"][chosen, 0], values[:, 0])


MEASURES: Mapping[str, tuple[str, str, Callable[[Outputs, Sequence[Labelled]], float]]] = {
    "tweets": ("tweets", "sentiment", lambda said, rows: of_classes(said, rows, "sentiment")["macro_recall"]),
    "sst2": ("sst", "sentiment", of_two_sides),
    "meld": ("meld", "sentiment", lambda said, rows: of_classes(said, rows, "sentiment")["weighted_f1"]),
    "goemotions": (
        "goemotions",
        "emotion",
        lambda said, rows: of_emotions(said, rows, thresholds_of(said, rows))["macro_f1"],
    ),
    "mood": ("tweet_emotion", "mood", lambda said, rows: of_classes(said, rows, "mood")["macro_f1"]),
    "irony": ("tweet_irony", "irony", of_irony),
    "valence": ("emobank", "valence", of_valence),
    "mams": ("mams", "aspect", lambda said, rows: of_classes(said, rows, "aspect")["accuracy"]),
}
"""For each task its set, its head, and the measure on validation texts."""


def validation_scores(outputs: Mapping[str, Outputs], rows: Mapping[str, Sequence[Labelled]]) -> dict[str, float]:
    """The score on validation texts of each task that there are outputs for; by them a checkpoint is chosen."""
    return {
        task: measure(outputs[name], rows[name])
        for task, (name, head, measure) in MEASURES.items()
        if head in outputs.get(name, {})
    }


def overall(scores: Mapping[str, float]) -> float:
    """One number to choose a checkpoint by: half the tweets' sentiment, half the mean of all other tasks."""
    others = [score for name, score in scores.items() if name != "tweets"]
    return 0.5 * scores["tweets"] + 0.5 * sum(others) / len(others)
