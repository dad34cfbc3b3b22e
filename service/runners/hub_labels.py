"""What the labels of other people's models mean in ours."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.domain.labels import SENTIMENTS
from service.domain.sentiment import Prediction, from_emotions, normalised

_SENTIMENT_WORDS: Mapping[str, str] = {
    **dict.fromkeys(("negative", "neg", "very negative", "extremely negative", "bearish", "bad"), "negative"),
    **dict.fromkeys(("neutral", "neu", "mixed"), "neutral"),
    **dict.fromkeys(("positive", "pos", "very positive", "extremely positive", "bullish", "good"), "positive"),
}

_STARS: Mapping[str, str] = {"1": "negative", "2": "negative", "3": "neutral", "4": "positive", "5": "positive"}

_BY_NUMBER: Mapping[int, Sequence[str]] = {2: ("negative", "positive"), 3: SENTIMENTS}
"""Labels that are bare numbers, as in `LABEL_2`: the order that nearly all models of two and of three classes have."""

_EMOTION_WORDS: Mapping[str, Sequence[str]] = {
    "neutral": ("neutral", "neu", "natural", "no emotion", "other", "others"),
    "calm": ("calm", "calmness", "relaxed"),
    "happy": (
        *("happy", "happiness", "hap", "joy", "joyful", "admiration", "amusement", "approval", "caring", "desire"),
        *("excitement", "excited", "gratitude", "love", "optimism", "pride", "relief"),
    ),
    "sad": ("sad", "sadness", "disappointment", "embarrassment", "grief", "remorse"),
    "angry": ("angry", "anger", "ang", "annoyance", "disapproval", "frustrated"),
    "fearful": ("fearful", "fear", "fea", "nervousness", "scared", "afraid"),
    "disgust": ("disgust", "disgusted", "dis"),
    "surprised": ("surprised", "surprise", "sur", "realization", "confusion", "curiosity"),
    "contempt": ("contempt",),
}
"""The finer ones go to Ekman's groups as GoEmotions sorts them (Demszky et al. 2020)."""

_EMOTION_OF: Mapping[str, str] = {word: emotion for emotion, words in _EMOTION_WORDS.items() for word in words}

_PREFIX = re.compile(r"^label[_ ]?\d+[\s:_-]+(?=\D)")
_NUMBER = re.compile(r"^(?:label[_ ]?)?(\d+)$")
_STAR = re.compile(r"^([1-5]) ?stars?$")


class UnknownLabels(ValueError):
    """A model's labels are neither sentiments nor emotions."""

    def __init__(self, labels: Sequence[str]) -> None:
        named = ", ".join(map(repr, labels))
        super().__init__(f"These labels can't be read as sentiments or as emotions: {named}. Choose another model.")


@dataclass(frozen=True)
class LabelMap:
    """What each output of a model stands for: sentiments, or emotions if `emotional`."""

    meanings: tuple[str, ...]
    emotional: bool

    def prediction(self, probabilities: Sequence[float]) -> Prediction:
        """Probabilities in the order of the outputs; outputs of the same meaning add up."""
        sums = dict.fromkeys(self.meanings, 0.0)
        for meaning, probability in zip(self.meanings, probabilities, strict=True):
            sums[meaning] += probability
        if self.emotional:
            return Prediction(from_emotions(sums), sums)
        return Prediction(normalised([sums.get(label, 0.0) for label in SENTIMENTS]))


def understand(labels: Sequence[str]) -> LabelMap:
    """The meaning of a model's labels, in the order of its outputs. Raises `UnknownLabels`."""
    words = [_PREFIX.sub("", label.strip().lower()).replace("_", " ").strip() for label in labels]
    sentiments = [_sentiment(word, len(words)) for word in words]
    if len(words) > 1 and None not in sentiments:
        return LabelMap(tuple(filter(None, sentiments)), emotional=False)
    emotions = [_EMOTION_OF.get(word) for word in words]
    if len(words) > 1 and None not in emotions:
        return LabelMap(tuple(filter(None, emotions)), emotional=True)
    raise UnknownLabels(labels)


def _sentiment(word: str, count: int) -> str | None:
    if star := _STAR.match(word):
        return _STARS[star[1]]
    if number := _NUMBER.match(word):
        order = _BY_NUMBER.get(count, ())
        return order[int(number[1])] if int(number[1]) < len(order) else None
    return _SENTIMENT_WORDS.get(word)
