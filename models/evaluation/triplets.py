"""The fused verdict, measured on label-matched triplets: a text, a voice and a face that mean the same sentiment.

No public set with all three came with a licence that allows to train or test here, so items of three test sets are put
together by their true sentiment. Given the sentiment they are independent, which parts of one person's video are not:
what is measured is the rule of fusion and its calibration under that assumption, and an upper bound of what it gains.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from models.evaluation.answers import Answers
from service.domain.fusion import FusionRule, Opinion, decide
from service.domain.labels import MODALITIES, SENTIMENTS, Modality

TRIPLETS = 6000
SEED = 7


def subsets() -> Iterator[tuple[Modality, ...]]:
    """Every choice of two or three modalities."""
    for size in (2, 3):
        yield from combinations(MODALITIES, size)


def name_of(subset: tuple[Modality, ...]) -> str:
    """`text+face`."""
    return "+".join(subset)


def matched(
    answers: Mapping[Modality, Answers], seed: int = SEED, rows: int = TRIPLETS
) -> tuple[list[dict[Modality, Opinion]], NDArray[np.int64]]:
    """Opinions of `rows` triplets, each sentiment a third of them, and their sentiments (rows,)."""
    random = np.random.default_rng(seed)
    labels = np.arange(rows) % len(SENTIMENTS)
    drawn = {name: _drawn(answers[name].labels, labels, random) for name in MODALITIES}
    opinions = [{name: answers[name].opinions[drawn[name][row]] for name in MODALITIES} for row in range(rows)]
    return opinions, labels


def fused(opinions: list[dict[Modality, Opinion]], subset: tuple[Modality, ...]) -> NDArray[np.float64]:
    """The pooled probabilities (n, 3) over these modalities alone, as the service gives them."""
    rule = FusionRule()
    return np.array([decide({name: one[name] for name in subset}, rule).distribution for one in opinions])


def _drawn(have: NDArray[np.int64], want: NDArray[np.int64], random: np.random.Generator) -> NDArray[np.int64]:
    """For each wanted label a row that has it, each row as rarely as possible."""
    chosen = np.empty(len(want), np.int64)
    for label in range(len(SENTIMENTS)):
        places, rows = np.flatnonzero(want == label), np.flatnonzero(have == label)
        rounds = -(-len(places) // len(rows))
        chosen[places] = np.concatenate([random.permutation(rows) for _ in range(rounds)])[: len(places)]
    return chosen
