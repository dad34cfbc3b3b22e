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
    """Opinions of `rows` triplets, each sentiment a third of them, and their sentiments (rows,).

    An item that got no opinion is absent from its triplet.
    """
    random = np.random.default_rng(seed)
    labels = np.arange(rows) % len(SENTIMENTS)
    drawn = {name: _drawn(answers[name].labels, labels, random) for name in MODALITIES}
    said = [{name: answers[name].opinions[drawn[name][row]] for name in MODALITIES} for row in range(rows)]
    return [{name: one for name, one in triplet.items() if one is not None} for triplet in said], labels


def fused(opinions: list[dict[Modality, Opinion]], subset: tuple[Modality, ...]) -> NDArray[np.float64]:
    """The pooled probabilities (n, 3) over these modalities alone, as the service gives them; even without evidence."""
    rule = FusionRule()
    chosen = [{name: one[name] for name in subset if name in one} for one in opinions]
    return np.array([decide(one, rule).distribution for one in chosen])


def _drawn(have: NDArray[np.int64], want: NDArray[np.int64], random: np.random.Generator) -> NDArray[np.int64]:
    """For each wanted label a row that has it, each row as rarely as possible."""
    chosen = np.empty(len(want), np.int64)
    for label in range(len(SENTIMENTS)):
        places, rows = np.flatnonzero(want == label), np.flatnonzero(have == label)
        rounds = -(-len(places) // len(rows))
        chosen[places] = np.concatenate([random.permutation(rows) for _ in range(rounds)])[: len(places)]
    return chosen


def robustness(test: Mapping[Modality, Answers], spoilt: Mapping[Modality, Answers]) -> dict[str, dict[str, float]]:
    """Accuracy of all three with one of them spoilt or missing, beside the best single one and the best two left."""
    found = {}
    for name in MODALITIES:
        clean, labels = matched(test)
        dirty, _ = matched({**test, name: spoilt[name]})
        rest: tuple[Modality, ...] = tuple(other for other in MODALITIES if other != name)
        found[name] = {
            "spoilt_alone": _accuracy(dirty, (name,), labels),
            "all_with_it_spoilt": _accuracy(dirty, MODALITIES, labels),
            "without_it": _accuracy(clean, rest, labels),
            "best_single_of_the_rest": max(_accuracy(clean, (other,), labels) for other in rest),
            "all_clean": _accuracy(clean, MODALITIES, labels),
        }
    return found


def _accuracy(
    opinions: list[dict[Modality, Opinion]], subset: tuple[Modality, ...], labels: NDArray[np.int64]
) -> float:
    """Where there is no evidence, no answer is right."""
    told = np.array([any(name in one for name in subset) for one in opinions])
    right = told & (fused(opinions, subset).argmax(axis=1) == labels)
    return round(float(right.mean()), 4)
