"""Means of many predictions with one group of them left out at a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from service.domain.fusion import Opinion
from service.domain.sentiment import Distribution, Prediction, normalised
from service.domain.timeline import Moment, overlap_seconds

Sums = tuple[float, float, float, float, float, float]
"""Weighed probabilities, their weight, weighed quality, its weight."""

NOTHING: Sums = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Vote:
    """What one view or stretch says; it counts in the mean by `weight`, in the mean quality by `share`."""

    probabilities: Distribution
    weight: float
    quality: float
    share: float = 1.0

    @classmethod
    def of(cls, moment: Moment) -> Vote:
        """A moment as `timeline.average` weighs it."""
        seconds = overlap_seconds(moment)
        return cls(moment.prediction.probabilities, seconds * max(moment.quality, 1e-3), moment.quality, seconds)


def without_each(groups: Sequence[Iterable[Vote]], reliability: float) -> list[Opinion | None]:
    """For each group the opinion of all others together, without emotions; None where there are no others.

    Sums from both ends meet at the group, so that n groups take n steps and nothing is subtracted.
    """
    sums = [_sum(group) for group in groups]
    before = list(accumulate(sums, _add, initial=NOTHING))
    after = list(accumulate(reversed(sums), _add, initial=NOTHING))[::-1]
    return [_opinion(_add(before[i], after[i + 1]), reliability) for i in range(len(sums))]


def _sum(votes: Iterable[Vote]) -> Sums:
    total = NOTHING
    for vote in votes:
        negative, neutral, positive = (p * vote.weight for p in vote.probabilities)
        total = _add(total, (negative, neutral, positive, vote.weight, vote.quality * vote.share, vote.share))
    return total


def _add(one: Sums, other: Sums) -> Sums:
    return tuple(a + b for a, b in zip(one, other, strict=True))  # type: ignore[return-value]


def _opinion(sums: Sums, reliability: float) -> Opinion | None:
    *probabilities, weight, quality, share = sums
    return Opinion(Prediction(normalised(probabilities)), quality / share, reliability) if weight > 0 else None
