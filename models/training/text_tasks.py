"""What the text model is asked: its heads, and the labelled texts that each of them learns from."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from tokenizers import Tokenizer

from models.training.data import read_table
from models.training.text_data import (
    SST_SENTIMENT,
    TWEET_EMOTION_SENTIMENT,
    clean,
    comment_sentiment,
    has_symbols,
    tweets,
)
from service.domain.labels import SENTIMENTS
from service.features.text import MAX_TOKENS

EKMAN = ("neutral", "happy", "sad", "angry", "fearful", "disgust", "surprised")
"""Ekman's six and neutral, as GoEmotions and MELD have them."""

MOODS = ("angry", "happy", "optimistic", "sad")
"""The classes of TweetEval's emotion task, which has no neutral: for comparison with published scores."""

CLASSES: Mapping[str, tuple[str, ...]] = {
    "sentiment": SENTIMENTS,
    "emotion": EKMAN,
    "mood": MOODS,
    "irony": ("non_irony", "irony"),
    "aspect": SENTIMENTS,
}
OUTPUTS: Mapping[str, int] = {name: len(classes) for name, classes in CLASSES.items()} | {"valence": 1}
"""The heads, and how many numbers each gives; `valence` is one number in [-1, 1]."""

VALENCE_SPREAD = 0.17
"""The standard deviation of EmoBank's valence once 1..5 is laid on [-1, 1]: the unit of its loss."""


@dataclass(frozen=True)
class Labelled:
    """A text (and the term that is asked about), and what is known of it: a distribution, or a number, a head."""

    text: str
    known: Mapping[str, tuple[float, ...]]
    term: str | None = None
    domain: str = ""


@dataclass(frozen=True)
class Target:
    """What a head should say: a distribution over its classes, or a number.

    `prior` holds the class frequencies of the set that the text comes from; empty for a number.
    """

    values: tuple[float, ...]
    prior: tuple[float, ...]
    weight: float = 1.0


@dataclass(frozen=True)
class Example:
    """One tokenised text and its targets by head."""

    ids: tuple[int, ...]
    targets: Mapping[str, Target]


@dataclass(frozen=True)
class Share:
    """How often a set is drawn in an epoch, and what each of its heads counts in the loss."""

    times: float
    weights: Mapping[str, float]


SHARES: Mapping[str, Share] = {
    "tweets": Share(1, {"sentiment": 1.0}),
    "sst": Share(1, {"sentiment": 0.6}),
    "phrases": Share(0.15, {"sentiment": 0.4}),
    "meld": Share(1, {"sentiment": 0.5, "emotion": 0.5}),
    "goemotions": Share(1, {"sentiment": 0.3, "emotion": 0.7}),
    "tweet_emotion": Share(2, {"sentiment": 0.3, "emotion": 0.3, "mood": 0.7}),
    "tweet_irony": Share(2, {"irony": 0.7}),
    "emobank": Share(1, {"valence": 0.3}),
    "semeval14": Share(1, {"aspect": 0.8}),
    "mams": Share(1, {"aspect": 0.8}),
}


def one_hot(label: str, classes: Sequence[str]) -> tuple[float, ...]:
    """The distribution that is sure of one class."""
    return tuple(float(label == name) for name in classes)


def evenly(labels: Sequence[str], classes: Sequence[str]) -> tuple[float, ...]:
    """The distribution that is shared by several labels."""
    return tuple((name in labels) / len(labels) for name in classes)


def labelled_sets(split: str) -> dict[str, list[Labelled]]:
    """All texts of a split, by set; a set without rows in the split is empty."""
    return {name: read(split) for name, read in READERS.items()}


def _tweets(split: str) -> list[Labelled]:
    return [Labelled(text, {"sentiment": one_hot(SENTIMENTS[label], SENTIMENTS)}) for text, label in tweets(split)]


def _film(split: str, *, whole: bool) -> list[Labelled]:
    rows = [row for row in read_table("text/sst", split) if row["whole"] is whole]
    return [
        Labelled(clean(row["text"]), {"sentiment": one_hot(SST_SENTIMENT[row["score"]], SENTIMENTS)})
        for row in rows
        if whole or len(row["text"].split()) > 2
    ]


def _talk(split: str) -> list[Labelled]:
    return [
        Labelled(
            clean(row["text"]),
            {"sentiment": one_hot(row["label"], SENTIMENTS), "emotion": one_hot(row["emotion"], EKMAN)},
        )
        for row in read_table("text/meld", split)
    ]


def _comments(split: str) -> list[Labelled]:
    found = []
    for row in read_table("text/goemotions", split):
        known = {"emotion": evenly(row["ekman"], EKMAN)}
        if sentiment := comment_sentiment(row["labels"]):
            known["sentiment"] = one_hot(sentiment, SENTIMENTS)
        found.append(Labelled(clean(row["text"]), known))
    return found


def _feelings(split: str) -> list[Labelled]:
    found = []
    for row in read_table("text/tweet_emotion", split):
        label, text = row["label"], clean(row["text"])
        known = {"mood": one_hot(label, MOODS)}
        if label in EKMAN:
            known["emotion"] = one_hot(label, EKMAN)
        if has_symbols(text):
            known["sentiment"] = one_hot(TWEET_EMOTION_SENTIMENT[label], SENTIMENTS)
        found.append(Labelled(text, known))
    return found


def _irony(split: str) -> list[Labelled]:
    rows = read_table("text/tweet_irony", split)
    return [Labelled(clean(row["text"]), {"irony": one_hot(row["label"], CLASSES["irony"])}) for row in rows]


def _valence(split: str) -> list[Labelled]:
    rows = read_table("text/emobank", split)
    return [Labelled(row["text"], {"valence": ((row["valence"] - 3) / 2,)}) for row in rows]


def _terms(table: str) -> Callable[[str], list[Labelled]]:
    def read(split: str) -> list[Labelled]:
        return [
            Labelled(row["text"], {"aspect": one_hot(row["label"], SENTIMENTS)}, row["aspect"], row.get("domain", ""))
            for row in read_table(f"text/{table}", split)
        ]

    return read


READERS: Mapping[str, Callable[[str], list[Labelled]]] = {
    "tweets": _tweets,
    "sst": lambda split: _film(split, whole=True),
    "phrases": lambda split: _film(split, whole=False),
    "meld": _talk,
    "goemotions": _comments,
    "tweet_emotion": _feelings,
    "tweet_irony": _irony,
    "emobank": _valence,
    "semeval14": _terms("absa_semeval14"),
    "mams": _terms("absa_mams"),
}


def token_ids(rows: Sequence[Labelled], tokenizer: Tokenizer) -> list[list[int]]:
    """The tokens of texts; of a text with a term `[CLS] text [SEP] term [SEP]`."""
    pairs = [row.text if row.term is None else (row.text, row.term) for row in rows]
    return [encoding.ids for encoding in tokenizer.encode_batch_fast(pairs)]


def examples_of(
    rows: Sequence[Labelled], tokenizer: Tokenizer, weights: Mapping[str, float] | None = None
) -> Iterator[Example]:
    """The texts of one set that fit a window; heads that `weights` does not name are left out."""
    priors = {name: prior(rows, name) for name in OUTPUTS}
    for row, ids in zip(rows, token_ids(rows, tokenizer), strict=True):
        if len(ids) > MAX_TOKENS:
            continue
        heads = [name for name in row.known if weights is None or name in weights]
        targets = {
            name: Target(row.known[name], priors[name], 1.0 if weights is None else weights[name]) for name in heads
        }
        yield Example(tuple(ids), targets)


def prior(rows: Sequence[Labelled], head: str) -> tuple[float, ...]:
    """Class frequencies in a set, one text added to each class; empty for a head that gives a number."""
    if head not in CLASSES:
        return ()
    counts = np.ones(OUTPUTS[head])
    for row in rows:
        if head in row.known:
            counts += row.known[head]
    return tuple(float(share) for share in counts / counts.sum())


def training_sets(tokenizer: Tokenizer) -> dict[str, list[Example]]:
    """All training texts, tokenised, with the weights of `SHARES`."""
    rows = labelled_sets("train")
    return {name: list(examples_of(rows[name], tokenizer, share.weights)) for name, share in SHARES.items()}


def drawn(sets: Mapping[str, Sequence[Example]], seed: int) -> list[Example]:
    """The texts of one epoch: each set as often as `SHARES` says, a part of it by chance."""
    choose = random.Random(seed)
    epoch: list[Example] = []
    for name, examples in sets.items():
        times = SHARES[name].times
        epoch += list(examples) * int(times)
        epoch += choose.sample(list(examples), round(len(examples) * (times - int(times))))
    return epoch
