"""The texts that the sentiment model learns from and is judged by."""

from __future__ import annotations

import html
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from tokenizers import Tokenizer

from models.training.data import read_table
from service.domain.labels import SENTIMENTS
from service.features.text import MAX_TOKENS, windows

GOEMOTIONS_SENTIMENT = {
    **dict.fromkeys(
        (
            *("admiration", "amusement", "approval", "caring", "desire", "excitement"),
            *("gratitude", "joy", "love", "optimism", "pride", "relief"),
        ),
        "positive",
    ),
    **dict.fromkeys(
        (
            *("anger", "annoyance", "disappointment", "disapproval", "disgust", "embarrassment"),
            *("fear", "grief", "nervousness", "remorse", "sadness"),
        ),
        "negative",
    ),
    "neutral": "neutral",
}
"""The grouping of Demszky et al. 2020; comments with ambiguous or mixed labels are left out."""

TWEET_EMOTION_SENTIMENT = {"angry": "negative", "sad": "negative", "happy": "positive", "optimistic": "positive"}
SST_SENTIMENT = ("negative", "negative", "neutral", "positive", "positive")
ARTEFACTS = {'""': '"', "\\n": "\n", "-LRB-": "(", "-RRB-": ")", "``": '"', "''": '"'}
EMOJI_OF_EMOTICON = {
    ":)": "🙂😊☺",
    ":-)": "🙂😊☺",
    ":D": "😄😃😁",
    ":-D": "😄😃😁",
    "xD": "😆😂",
    "XD": "😆😂",
    ";)": "😉",
    ";-)": "😉",
    ":P": "😛😜😋",
    ":p": "😛😜😋",
    "<3": "❤💕💙",
    ":(": "☹🙁😞",
    ":-(": "☹🙁😞",
    ":'(": "😢😭",
    ":/": "😕🫤",
    ":-/": "😕🫤",
    ":O": "😮😯",
}
EMOTICON = re.compile("|".join(rf"(?<![^\s.!?]){re.escape(face)}(?![^\s.!?])" for face in EMOJI_OF_EMOTICON))
SYMBOL = re.compile("[\u2600-\u27bf\U0001f300-\U0001faff]")


@dataclass(frozen=True)
class Example:
    """One training text; `prior` holds the class frequencies (3,) of the set that it comes from."""

    ids: tuple[int, ...]
    label: int
    weight: float
    prior: tuple[float, ...]


def clean(text: str) -> str:
    """Undo what the sets' own files did to the texts: literal `\\u2019`, HTML entities, doubled quotes, `-LRB-`."""
    text = re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), text)
    for written, meant in ARTEFACTS.items():
        text = text.replace(written, meant)
    return html.unescape(text)


def tweets(split: str) -> list[tuple[str, int]]:
    """The texts and class numbers of a split of `tweet_sentiment`; those of the test split as they are."""
    rows = read_table("text/tweet_sentiment", split)
    prepare = str if split == "test" else clean
    return [(prepare(row["text"]), SENTIMENTS.index(row["label"])) for row in rows]


def other_texts(split: str) -> dict[str, list[tuple[str, int]]]:
    """Whole sentences of films, lines of talk and comments, to see how the model does on what isn't a tweet."""
    film = [(row["text"], SST_SENTIMENT[row["score"]]) for row in read_table("text/sst", split) if row["whole"]]
    talk = [(row["text"], row["label"]) for row in read_table("text/meld", split)]
    return _numbered({"sst": film, "meld": talk, "goemotions": _comments(split)})


def _numbered(sets: dict[str, list[tuple[str, str]]]) -> dict[str, list[tuple[str, int]]]:
    return {name: [(clean(text), SENTIMENTS.index(label)) for text, label in pairs] for name, pairs in sets.items()}


def extra_texts(seed: int) -> dict[str, list[tuple[str, int]]]:
    """Training texts of other kinds, so that the model reads more than tweets: films, talk, comments, emoji."""
    choose = random.Random(seed)
    film = [(row["text"], SST_SENTIMENT[row["score"]], row["whole"]) for row in read_table("text/sst", "train")]
    phrases = [(text, name) for text, name, whole in film if not whole and len(text.split()) > 2]
    talk = [(row["text"], row["label"]) for row in read_table("text/meld", "train")]
    feelings = [
        (row["text"], TWEET_EMOTION_SENTIMENT[row["label"]]) for row in read_table("text/tweet_emotion", "train")
    ]
    comments = _comments("train")
    sets = {
        "sst": [(text, name) for text, name, whole in film if whole] + choose.sample(phrases, 6000),
        "meld": talk,
        "goemotions": choose.sample(comments, 9000) + _with_symbols(comments),
        "tweet_emotion": _with_symbols(feelings),
    }
    return _numbered(sets)


def texts_with_symbols(split: str, seed: int) -> dict[str, list[tuple[str, int]]]:
    """Texts of a split with emoji in them, whole and the emoji alone.

    The tweets of `tweet_sentiment` have none, so that the emoticons in training tweets become emoji.
    Of other languages' tweets only the emoji are taken.
    """
    choose = random.Random(seed)
    feelings = [(row["text"], TWEET_EMOTION_SENTIMENT[row["label"]]) for row in read_table("text/tweet_emotion", split)]
    foreign = [(row["text"], row["label"]) for row in read_table("text/umsab", split)]
    found = {
        "goemotions": _with_symbols(_comments(split)),
        "tweet_emotion": _with_symbols(feelings),
        "umsab": [(_symbols_of(text), label) for text, label in _with_symbols(foreign)],
    }
    for name in ("goemotions", "tweet_emotion"):
        found[name] += [(_symbols_of(text), label) for text, label in found[name]]
    sets = _numbered(found)
    if split == "train":
        sets["tweets"] = [
            (emoji, label) for text, label in tweets("train") if (emoji := as_emoji(text, choose)) != text
        ]
    return sets


def as_emoji(text: str, choose: random.Random) -> str:
    """The text with every emoticon as one of the emoji that stand for it."""
    return EMOTICON.sub(lambda match: choose.choice(EMOJI_OF_EMOTICON[match.group()]), text)


def _with_symbols(pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    return [pair for pair in pairs if SYMBOL.search(pair[0])]


def _symbols_of(text: str) -> str:
    return "".join(SYMBOL.findall(text))


def _comments(split: str) -> list[tuple[str, str]]:
    rows = read_table("text/goemotions", split)
    grouped = [(row["text"], {GOEMOTIONS_SENTIMENT.get(label) for label in row["labels"]}) for row in rows]
    return [(text, found) for text, names in grouped if len(names) == 1 and (found := names.pop())]


def training_examples(tokenizer: Tokenizer, extra_weight: float, seed: int) -> list[Example]:
    """All training texts, tokenised; those of other kinds than tweets count `extra_weight` in the loss.

    A text longer than a window is left out.
    """
    sets = {"tweets": (tweets("train"), 1.0)}
    sets |= {name: (pairs, extra_weight) for name, pairs in extra_texts(seed).items()}
    return [example for pairs, weight in sets.values() for example in examples_of(pairs, tokenizer, weight)]


def examples_of(pairs: Sequence[tuple[str, int]], tokenizer: Tokenizer, weight: float = 1.0) -> Iterator[Example]:
    """The texts of one set that fit a window."""
    counts = np.bincount([label for _, label in pairs], minlength=len(SENTIMENTS)) + 1.0
    prior = tuple(float(share) for share in counts / counts.sum())
    encodings = tokenizer.encode_batch_fast([text for text, _ in pairs])
    for (_, label), encoding in zip(pairs, encodings, strict=True):
        if len(encoding.ids) <= MAX_TOKENS:
            yield Example(tuple(encoding.ids), label, weight, prior)


def bucketed(examples: Sequence[Example], batch_size: int, seed: int) -> list[list[int]]:
    """Shuffled batches (of positions) of texts of about the same length, so that little is padding."""
    shuffle = random.Random(seed)
    order = list(range(len(examples)))
    shuffle.shuffle(order)
    pools = [order[start : start + 64 * batch_size] for start in range(0, len(order), 64 * batch_size)]
    for pool in pools:
        pool.sort(key=lambda position: len(examples[position].ids))
    batches = [pool[start : start + batch_size] for pool in pools for start in range(0, len(pool), batch_size)]
    shuffle.shuffle(batches)
    return batches


def tokenised(pairs: Sequence[tuple[str, int]], tokenizer: Tokenizer) -> tuple[list[list[int]], np.ndarray]:
    """The token ids of texts, and their labels (n,); of a text longer than a window, its first window."""
    pieces = [text[: windows(text, tokenizer)[0].end] for text, _ in pairs]
    return [encoding.ids for encoding in tokenizer.encode_batch_fast(pieces)], np.array([label for _, label in pairs])
