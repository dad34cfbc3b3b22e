"""What is taken for what: counts of true and answered labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from service.domain.fusion import Opinion


@dataclass(frozen=True)
class Confusion:
    """`counts[i][j]` items of the true label `rows[i]` were answered with `columns[j]`; items without answer apart."""

    data: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    unanswered: int

    @property
    def accuracy(self) -> float:
        """The share of the answers that are right."""
        counts = np.array(self.counts)
        right = [counts[self.rows.index(label), self.columns.index(label)] for label in self.rows]
        return float(np.sum(right) / counts.sum())


def counted(data: str, true: Sequence[str], answered: Sequence[str | None], labels: Sequence[str]) -> Confusion:
    """The confusion of `labels`; rows are those that are true of some item."""
    rows, columns = tuple(label for label in labels if label in set(true)), tuple(labels)
    counts = np.zeros((len(rows), len(columns)), int)
    for label, answer in zip(true, answered, strict=True):
        if answer is not None:
            counts[rows.index(label), columns.index(answer)] += 1
    told = tuple(tuple(int(count) for count in row) for row in counts)
    return Confusion(data, rows, columns, told, sum(answer is None for answer in answered))


def emotion_of(opinion: Opinion | None) -> str | None:
    """The likeliest emotion; None without an opinion."""
    if opinion is None:
        return None
    emotions = opinion.prediction.emotions
    return max(emotions, key=lambda name: emotions[name])
