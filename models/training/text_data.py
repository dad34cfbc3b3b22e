"""The sentiment of texts: tweets, films, talk and comments, and what stands in them as emoji."""

from __future__ import annotations

import html
import random
import re
from collections.abc import Sequence

from models.training.data import read_table
from service.domain.labels import SENTIMENTS

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


def has_symbols(text: str) -> bool:
    """Whether there is an emoji in it."""
    return bool(SYMBOL.search(text))


def _with_symbols(pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    return [pair for pair in pairs if has_symbols(pair[0])]


def _symbols_of(text: str) -> str:
    return "".join(SYMBOL.findall(text))


def comment_sentiment(labels: Sequence[str]) -> str | None:
    """The sentiment that all emotions of a comment share; None if they are ambiguous or at odds."""
    found = {GOEMOTIONS_SENTIMENT.get(label) for label in labels}
    return found.pop() if len(found) == 1 else None


def _comments(split: str) -> list[tuple[str, str]]:
    rows = [(row["text"], comment_sentiment(row["labels"])) for row in read_table("text/goemotions", split)]
    return [(text, label) for text, label in rows if label]


def bucketed(lengths: Sequence[int], batch_size: int, seed: int) -> list[list[int]]:
    """Shuffled batches (of positions) of texts of about the same length (in tokens), so that little is padding."""
    shuffle = random.Random(seed)
    order = list(range(len(lengths)))
    shuffle.shuffle(order)
    pools = [order[start : start + 64 * batch_size] for start in range(0, len(order), 64 * batch_size)]
    for pool in pools:
        pool.sort(key=lambda position: lengths[position])
    batches = [pool[start : start + batch_size] for pool in pools for start in range(0, len(pool), batch_size)]
    shuffle.shuffle(batches)
    return batches
