"""How well a face network reads: accuracy and macro-F1, calibration, the sentiment derived, and the time it takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from models.training.calibration import ece, softmax
from models.training.face_data import EMOTIONS
from service.domain.labels import EMOTION_SENTIMENT

SENTIMENT_OF = np.array([EMOTION_SENTIMENT[emotion] for emotion in EMOTIONS])
WITHOUT_SENTIMENT = EMOTIONS.index("surprised")
"""A surprised face tells next to nothing about the sentiment, so that those rows can't be right or wrong about it."""


def served_logits(path: Path) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """A function from crops (n, s, s, 3) to logits (n, 8) by the exported file, on one thread."""
    session = _session(path)

    def logits_of(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.concatenate([session.run(["logits"], {"faces": part})[0] for part in parts_of(crops, 64)])

    return logits_of


def served_clarity(path: Path) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """A function from grey crops (n, s, s) to the probability of a face and its clarity, (n, 2), by the same file."""
    session = _session(path)

    def clarity_of(grey: NDArray[np.uint8]) -> NDArray[np.float32]:
        crops = np.repeat(grey[..., None], 3, axis=-1)
        return np.concatenate([session.run(["clarity"], {"faces": part})[0] for part in parts_of(crops, 64)])

    return clarity_of


def _session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def parts_of(crops: NDArray[np.uint8], most: int) -> Iterator[NDArray[np.uint8]]:
    """The crops in batches of at most `most`."""
    return (crops[start : start + most] for start in range(0, len(crops), most))


def milliseconds_a_face(logits_of: Callable[[NDArray[np.uint8]], NDArray[np.float32]], size: int) -> float:
    """The median time of one face alone on one core."""
    face = np.full((1, size, size, 3), 128, np.uint8)
    times = []
    for _ in range(50):
        begun = time.perf_counter()
        logits_of(face)
        times.append(time.perf_counter() - begun)
    return 1e3 * float(np.median(times))


def all_scores(logits: NDArray[np.float32], labels: NDArray[np.int64], temperature: float) -> dict[str, Any]:
    """Accuracy, calibration before and after the temperature, the derived sentiment, and recall with rows a class."""
    before, after = softmax(logits), softmax(logits, temperature)
    sure = labels != WITHOUT_SENTIMENT
    sentiment, sentiment_labels = after[sure] @ SENTIMENT_OF, SENTIMENT_OF[labels[sure]].argmax(axis=1)
    return {
        **accuracy_scores(logits, labels),
        "rows": len(labels),
        "ece_before": ece(before, labels),
        "ece_after": ece(after, labels),
        "sentiment_accuracy": float((sentiment.argmax(axis=1) == sentiment_labels).mean()),
        "sentiment_ece_before": ece(before[sure] @ SENTIMENT_OF, sentiment_labels),
        "sentiment_ece_after": ece(sentiment, sentiment_labels),
        "sentiment_rows": int(sure.sum()),
        "recall": {name: float((logits[labels == i].argmax(axis=1) == i).mean()) for i, name in enumerate(EMOTIONS)},
        "rows_of": {name: int((labels == i).sum()) for i, name in enumerate(EMOTIONS)},
    }


def accuracy_scores(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> dict[str, float]:
    """Accuracy, and the mean of the classes' F1."""
    said = logits.argmax(axis=1)
    return {"accuracy": float((said == labels).mean()), "macro_f1": macro_f1(said, labels)}


def mistakes(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> dict[str, str]:
    """For each class, what most of its rows that are taken for another are taken for, and how many of how many."""
    said, told = logits.argmax(axis=1), {}
    for meant, name in enumerate(EMOTIONS):
        counts = np.bincount(said[(labels == meant) & (said != meant)], minlength=len(EMOTIONS))
        told[name] = f"{EMOTIONS[counts.argmax()]}, {counts.max()} of {(labels == meant).sum()}"
    return told


def macro_f1(said: NDArray[np.int64], labels: NDArray[np.int64]) -> float:
    """The mean F1 over all eight classes; a class neither said nor meant counts 0."""
    hits, answers, meant = (
        np.bincount(each, minlength=len(EMOTIONS)) for each in (labels[said == labels], said, labels)
    )
    return float((2 * hits / np.maximum(answers + meant, 1)).mean())


def rounded(scores: dict[str, Any]) -> dict[str, Any]:
    """Scores with four digits, dictionaries inside as well."""
    return {
        key: rounded(value) if isinstance(value, dict) else round(value, 4) if isinstance(value, float) else value
        for key, value in scores.items()
    }
