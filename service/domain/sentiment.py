"""Probability distributions over the three sentiments, and the verdict that is drawn from one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from service.domain.labels import EMOTION_SENTIMENT, SENTIMENTS, Label, Reason

Distribution = tuple[float, float, float]
"""Probabilities over `SENTIMENTS` that add up to 1."""

UNIFORM: Distribution = (1 / 3, 1 / 3, 1 / 3)

LEAST = 1e-9
"""No probability is tempered from below this: 0 would stay 0 at any temperature."""


@dataclass(frozen=True)
class Prediction:
    """What one model says of one input: calibrated probabilities of sentiments and, where known, of emotions."""

    probabilities: Distribution
    emotions: Mapping[str, float] = field(default_factory=dict)
    presence: float = 1.0
    """The probability that the input is what the model judges, a face for one of faces; 1 where it can't tell."""
    clarity: float = 1.0
    """How much of what it judges the input shows, in [0, 1]; 1 where the model can't tell."""


@dataclass(frozen=True)
class Sentiment:
    """A verdict, or an abstention."""

    label: Label | None
    """The most probable sentiment; null when the service abstains."""
    valence: float
    """P(positive) - P(negative), in [-1, 1]."""
    confidence: float
    """The calibrated probability of the label (when abstaining, of the label that was withheld); 0 without evidence."""
    probabilities: Mapping[str, float]
    """Calibrated probabilities of negative, neutral and positive; they add up to 1."""
    abstained: bool = False
    reason: Reason | None = None
    """Why the service abstained."""

    @property
    def distribution(self) -> Distribution:
        """The probabilities in the order of `SENTIMENTS`."""
        negative, neutral, positive = (self.probabilities[label] for label in SENTIMENTS)
        return negative, neutral, positive


def softmax(logits: Sequence[float], temperature: float = 1.0) -> tuple[float, ...]:
    """Probabilities of logits divided by a temperature (Guo et al. 2017, On Calibration of Modern Neural Networks)."""
    highest = max(logits)
    powers = [math.exp((logit - highest) / temperature) for logit in logits]
    total = sum(powers)
    return tuple(power / total for power in powers)


def tempered(distribution: Distribution, temperature: float) -> Distribution:
    """Probabilities as a temperature on top of their own would have made them: what it divides are their logarithms."""
    logits = [math.log(max(probability, LEAST)) for probability in distribution]
    return normalised(softmax(logits, temperature))


def from_emotions(emotions: Mapping[str, float]) -> Distribution:
    """The sentiment that a distribution over emotions implies, by P(sentiment | emotion)."""
    sums = [0.0, 0.0, 0.0]
    for emotion, probability in emotions.items():
        for index, share in enumerate(EMOTION_SENTIMENT[emotion]):
            sums[index] += share * probability
    return normalised(sums)


def normalised(values: Sequence[float]) -> Distribution:
    """Three non-negative values, scaled to add up to 1; uniform if all are 0."""
    total = sum(values)
    if total <= 0:
        return UNIFORM
    negative, neutral, positive = (value / total for value in values)
    return negative, neutral, positive


def verdict(distribution: Distribution, min_confidence: float = 0.0, min_margin: float = 0.0) -> Sentiment:
    """The most probable label, or an abstention: its probability is too low, or the next label's too close to it."""
    _, second, confidence = sorted(distribution)
    if confidence < min_confidence or confidence - second < min_margin:
        return abstain(distribution, "low_confidence")
    return Sentiment(
        label=SENTIMENTS[distribution.index(confidence)],
        valence=distribution[2] - distribution[0],
        confidence=confidence,
        probabilities=dict(zip(SENTIMENTS, distribution, strict=True)),
    )


def abstain(distribution: Distribution, reason: Reason) -> Sentiment:
    """The same numbers without a label, and why."""
    return Sentiment(
        label=None,
        valence=distribution[2] - distribution[0],
        confidence=max(distribution),
        probabilities=dict(zip(SENTIMENTS, distribution, strict=True)),
        abstained=True,
        reason=reason,
    )


NO_EVIDENCE = Sentiment(
    label=None,
    valence=0.0,
    confidence=0.0,
    probabilities=dict(zip(SENTIMENTS, UNIFORM, strict=True)),
    abstained=True,
    reason="no_evidence",
)
"""What is answered when there is nothing to go on."""
