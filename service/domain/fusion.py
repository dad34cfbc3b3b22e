"""Late fusion: several calibrated opinions become one, with what each contributed and how far they disagree.

A weighted geometric mean alone is as sure as its average voice, however many agree: on label-matched triplets of
held-out texts, voices and faces its expected calibration error was 0.08 to 0.15 (`python -m models.evaluation`). Voices
that err independently are pooled by multiplying what they say (Bayes' rule with equal priors; a product of experts,
Hinton 2002). So the exponents add up not to 1 but to the effective number of voices, the perplexity of their weights
(Hill 1973): 1 for a single voice, which stays as it is, up to 3 for three of equal weight. A voice of poor quality
counts for little more than nobody, and where all are poor their agreement adds little: what goes beyond 1 is multiplied
by the mean quality. Where modalities err together, as a person's words and voice may, this is too sure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from service.domain.labels import MODALITIES, SENTIMENTS, Modality
from service.domain.sentiment import NO_EVIDENCE, Distribution, Prediction, Sentiment, abstain, normalised, verdict

FLOOR = 1e-6
"""No probability enters a logarithm below this."""


class NoEvidence(ValueError):
    """There is nothing to pool."""


@dataclass(frozen=True)
class Opinion:
    """One modality's say: its prediction, how good this input was, and how reliable its model is (both in [0, 1])."""

    prediction: Prediction
    quality: float = 1.0
    reliability: float = 1.0


@dataclass(frozen=True)
class FusionRule:
    """When the fused verdict is withheld; probabilities and a divergence, all in [0, 1]."""

    min_confidence: float = 0.0
    max_conflict: float = 1.0
    min_margin: float = 0.0
    min_confidence_of: Mapping[frozenset[Modality], float] = field(default_factory=dict)
    """For verdicts over just these modalities, in the place of confidence and margin."""

    def verdict(self, distribution: Distribution, present: Iterable[Modality]) -> Sentiment:
        """What a distribution over these modalities comes to, unless they contradict each other."""
        own = self.min_confidence_of.get(frozenset(present))
        if own is not None:
            return verdict(distribution, own)
        return verdict(distribution, self.min_confidence, self.min_margin)


@dataclass(frozen=True)
class Fusion:
    """How the modalities were combined."""

    method: str
    contributions: Mapping[Modality, float]
    """Each modality's share of the pooled evidence; they add up to 1."""
    weights: Mapping[Modality, float]
    """Each modality's share of the pool's exponents: its voter's weight times quality, over their sum."""
    quality: Mapping[Modality, float]
    """How good each modality's input was, in [0, 1]."""
    conflict: float
    """Jensen-Shannon divergence between the modalities, in [0, 1]: 0 agree, 1 exclude each other."""
    without: Mapping[Modality, Sentiment]
    """The verdict without each modality."""


@dataclass(frozen=True)
class Fused:
    """The verdict over all modalities, the pooled emotions, and how they came about."""

    sentiment: Sentiment
    emotions: Mapping[str, float]
    fusion: Fusion


def fuse(opinions: Mapping[Modality, Opinion], rule: FusionRule) -> Fused:
    """Pool what is present; abstain where the rule says so, or where nothing is present."""
    opinions = {name: opinions[name] for name in MODALITIES if name in opinions}
    if not opinions:
        return Fused(NO_EVIDENCE, {}, Fusion("log_linear_pool", {}, {}, {}, 0.0, {}))
    weights = pool_weights(opinions)
    return Fused(
        sentiment=decide(opinions, rule),
        emotions=pool_emotions({name: opinion.prediction.emotions for name, opinion in opinions.items()}, weights),
        fusion=Fusion(
            method="log_linear_pool",
            contributions=contributions(opinions, weights),
            weights=weights,
            quality={name: opinion.quality for name, opinion in opinions.items()},
            conflict=conflict(opinions, weights),
            without={name: decide(_omit(opinions, name), rule) for name in opinions} if len(opinions) > 1 else {},
        ),
    )


def decide(opinions: Mapping[Modality, Opinion], rule: FusionRule) -> Sentiment:
    """The pooled verdict; withheld for want of evidence, for conflict, or for low confidence, in this order."""
    if not opinions:
        return NO_EVIDENCE
    weights = pool_weights(opinions)
    pooled = log_linear_pool(opinions, weights)
    if conflict(opinions, weights) > rule.max_conflict:
        return abstain(pooled, "conflict")
    return rule.verdict(pooled, opinions)


def pool_weights(opinions: Mapping[Modality, Opinion]) -> dict[Modality, float]:
    """Shares of the pool's exponents, which add up to 1: log-odds of the model's accuracy, times this input's quality.

    The log-odds are the optimal weight of an independent voter (Nitzan & Paroush 1982), in the form for k classes
    of SAMME (Zhu et al. 2009): log(r / (1 - r)) + log(k - 1).
    """
    if not opinions:
        raise NoEvidence("There is nothing to pool.")
    raw: dict[Modality, float] = {
        name: voter_weight(opinion.reliability) * max(opinion.quality, FLOOR) for name, opinion in opinions.items()
    }
    total = sum(raw.values())
    return {name: weight / total for name, weight in raw.items()}


def voter_weight(reliability: float) -> float:
    """Log-odds over chance of a model that is right with probability `reliability`; never below `FLOOR`."""
    bounded = min(max(reliability, FLOOR), 0.999)
    return max(math.log(bounded / (1 - bounded)) + math.log(len(SENTIMENTS) - 1), FLOOR)


def log_linear_pool(opinions: Mapping[Modality, Opinion], weights: Mapping[Modality, float]) -> Distribution:
    """Product of powers, renormalised (Genest & Zidek 1986, Combining Probability Distributions).

    The exponents are the weights times the effective number of voices, as far as their quality carries it.
    """
    quality = sum(weights[name] * opinion.quality for name, opinion in opinions.items())
    voices = 1 + (effective_voices(weights) - 1) * quality
    logs = [
        voices
        * sum(
            weights[name] * math.log(max(opinion.prediction.probabilities[i], FLOOR))
            for name, opinion in opinions.items()
        )
        for i in range(len(SENTIMENTS))
    ]
    highest = max(logs)
    return normalised([math.exp(value - highest) for value in logs])


def effective_voices(weights: Mapping[Modality, float]) -> float:
    """How many voices of equal weight say as much: the perplexity of weights that add up to 1."""
    return 2 ** entropy(tuple(weights.values()))


def pool_emotions(
    emotions: Mapping[Modality, Mapping[str, float]], weights: Mapping[Modality, float]
) -> dict[str, float]:
    """Linear opinion pool (Stone 1961) over the modalities that speak of emotions.

    An emotion that a model does not know has probability 0 there.
    """
    speaking: dict[Modality, Mapping[str, float]] = {
        name: distribution for name, distribution in emotions.items() if distribution
    }
    total = sum(weights[name] for name in speaking)
    pooled: dict[str, float] = {}
    for name, distribution in speaking.items():
        for emotion, probability in distribution.items():
            pooled[emotion] = pooled.get(emotion, 0.0) + weights[name] / total * probability
    return dict(sorted(pooled.items(), key=lambda item: -item[1]))


def contributions(opinions: Mapping[Modality, Opinion], weights: Mapping[Modality, float]) -> dict[Modality, float]:
    """Share of each modality in the evidence: its weight times its information (divergence from uniform, in bits)."""
    evidence: dict[Modality, float] = {
        name: weights[name] * (math.log2(len(SENTIMENTS)) - entropy(opinion.prediction.probabilities))
        for name, opinion in opinions.items()
    }
    total = sum(evidence.values())
    return {name: value / total for name, value in evidence.items()} if total > FLOOR else dict(weights)


def conflict(opinions: Mapping[Modality, Opinion], weights: Mapping[Modality, float]) -> float:
    """Generalised Jensen-Shannon divergence (Lin 1991) over its maximum, the entropy of the weights."""
    if len(opinions) < 2:
        return 0.0
    mixture = [
        sum(weights[name] * opinion.prediction.probabilities[i] for name, opinion in opinions.items())
        for i in range(len(SENTIMENTS))
    ]
    within = sum(weights[name] * entropy(opinion.prediction.probabilities) for name, opinion in opinions.items())
    bound = entropy(tuple(weights.values()))
    return min(max((entropy(mixture) - within) / bound, 0.0), 1.0) if bound > FLOOR else 0.0


def entropy(probabilities: tuple[float, ...] | list[float]) -> float:
    """Shannon entropy in bits."""
    return -sum(p * math.log2(p) for p in probabilities if p > 0)


def _omit(opinions: Mapping[Modality, Opinion], name: Modality) -> dict[Modality, Opinion]:
    return {other: opinion for other, opinion in opinions.items() if other != name}
