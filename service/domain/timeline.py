"""What was said, heard and seen, laid on one clock."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from service.domain.fusion import FusionRule, Opinion, decide
from service.domain.labels import MODALITIES, Modality
from service.domain.sentiment import NO_EVIDENCE, Prediction, Sentiment, normalised, verdict

LONGEST = 600
"""At most this many points; the step grows for longer media."""


@dataclass(frozen=True)
class Moment:
    """A prediction that holds from `start` to `end` (seconds), and the quality in [0, 1] of what it was made from."""

    start: float
    end: float
    prediction: Prediction
    quality: float = 1.0


@dataclass(frozen=True)
class TimelinePoint:
    """The fused verdict over one stretch of time (seconds), and what each modality said there; null where silent."""

    start: float
    end: float
    sentiment: Sentiment
    text: Sentiment | None = None
    speech: Sentiment | None = None
    face: Sentiment | None = None


def timeline(
    moments: Mapping[Modality, Sequence[Moment]],
    reliability: Mapping[Modality, float],
    seconds: float,
    rule: FusionRule,
    step_seconds: float = 1.0,
) -> tuple[TimelinePoint, ...]:
    """Fuse the moments in steps of `step_seconds` (doubled until there are at most `LONGEST`) over `seconds`."""
    while seconds / step_seconds > LONGEST:
        step_seconds *= 2
    edges = [i * step_seconds for i in range(math.ceil(seconds / step_seconds - 1e-9))] + [seconds]
    steps = len(edges) - 1
    near: dict[Modality, list[list[Moment]]] = {
        name: _near(said, step_seconds, steps) for name, said in moments.items()
    }
    points = []
    for place, (start, end) in enumerate(itertools.pairwise(edges)):
        here: dict[Modality, Sequence[Moment]] = {name: said[place] for name, said in near.items()}
        points.append(_point(start, end, here, reliability, rule))
    return tuple(points)


def _near(moments: Sequence[Moment], step_seconds: float, steps: int) -> list[list[Moment]]:
    """For each step the moments that may overlap it, in their order: hours have tens of thousands of them."""
    near: list[list[Moment]] = [[] for _ in range(steps)]
    for moment in moments:
        first, last = int(moment.start / step_seconds) - 1, int(moment.end / step_seconds) + 1
        for place in range(max(first, 0), min(last + 1, steps)):
            near[place].append(moment)
    return near


def average(moments: Iterable[Moment], start: float = -math.inf, end: float = math.inf) -> Opinion | None:
    """The mean of the moments that overlap [start, end), weighed by overlap times quality; None if there is none.

    Its quality is the mean quality, weighed by overlap.
    """
    weighed = [(moment, overlap) for moment in moments if (overlap := overlap_seconds(moment, start, end)) > 0]
    if not weighed:
        return None
    seconds = sum(overlap for _, overlap in weighed)
    shares = [(moment.prediction, overlap * max(moment.quality, 1e-3)) for moment, overlap in weighed]
    return Opinion(mean(shares), quality=sum(m.quality * overlap for m, overlap in weighed) / seconds)


def mean(weighed: Sequence[tuple[Prediction, float]]) -> Prediction:
    """The mean of predictions with these positive weights."""
    total = sum(weight for _, weight in weighed)
    sums = [sum(p.probabilities[i] * weight for p, weight in weighed) for i in range(3)]
    emotions: dict[str, float] = {}
    for prediction, weight in weighed:
        for name, probability in prediction.emotions.items():
            emotions[name] = emotions.get(name, 0.0) + probability * weight / total
    return Prediction(normalised(sums), emotions)


def _point(
    start: float,
    end: float,
    moments: Mapping[Modality, Sequence[Moment]],
    reliability: Mapping[Modality, float],
    rule: FusionRule,
) -> TimelinePoint:
    opinions: dict[Modality, Opinion] = {}
    for name in MODALITIES:
        opinion = average(moments.get(name, ()), start, end)
        if opinion is not None:
            opinions[name] = Opinion(opinion.prediction, opinion.quality, reliability.get(name, 1.0))
    said = {name: verdict(opinion.prediction.probabilities) for name, opinion in opinions.items()}
    return TimelinePoint(
        start=start,
        end=end,
        sentiment=decide(opinions, rule) if opinions else NO_EVIDENCE,
        text=said.get("text"),
        speech=said.get("speech"),
        face=said.get("face"),
    )


def overlap_seconds(moment: Moment, start: float = -math.inf, end: float = math.inf) -> float:
    """Seconds shared with [start, end); an instant (start == end) inside counts as a millisecond."""
    if moment.start == moment.end:
        return 1e-3 if start <= moment.start < end else 0.0
    return min(moment.end, end) - max(moment.start, start)
