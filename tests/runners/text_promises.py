"""What an English sentiment model should get right, in the manner of CheckList (Ribeiro et al. 2020).

Minimum functionality (a text and its label), invariance (a change that should move nothing) and direction (a change
that should move the valence one way). `python -m tests.runners.text_promises` measures the shipped model and writes
what it breaks or only just keeps, with the number, to `text_promises_broken.json`; test_text_promises.py expects those
and no others to fail.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.registry import default_model
from models.training.text_probes import PROBES, sentences
from service.domain.sentiment import Prediction
from service.runners.text import TextModel

BROKEN = Path(__file__).with_name("text_promises_broken.json")
LABELS = ("negative", "neutral", "positive")
MOST_SWING = 0.05
"""How far P(positive) may move when a name, country or gender is swapped."""
MOST_MOVED = 0.15
"""How far a probability may move when something is changed that says nothing."""
LEAST_TURN = 0.05
"""How far the valence has to move when something is said that does."""

NEAR = 0.003
"""This close to the line a promise is listed as broken, though it is kept on the processor that wrote the list."""

ROUNDING = 0.02
"""So far may another processor's integer kernels lie from this one's."""

Ask = Callable[[list[str]], np.ndarray]
"""Probabilities (n, 3) of n texts."""

LABELLED: Mapping[str, Mapping[str, str]] = {
    "plain": {
        "This is the best phone I have ever had.": "positive",
        "What a beautiful day!": "positive",
        "The staff were friendly and helpful.": "positive",
        "I am so proud of you.": "positive",
        "The worst meal of my life.": "negative",
        "My flight was cancelled again.": "negative",
        "He lied to all of us.": "negative",
        "This app keeps crashing and nobody answers.": "negative",
        "The shop opens at nine.": "neutral",
        "She put the keys on the table.": "neutral",
        "The report has twelve pages.": "neutral",
        "We live in a house with two floors.": "neutral",
    },
    "negation": {
        "This is not good.": "negative",
        "The food is not very tasty.": "negative",
        "I don't like this song.": "negative",
        "I didn't enjoy the film at all.": "negative",
        "Nobody was happy with the result.": "negative",
        "There is nothing to love about this place.": "negative",
        "I have never seen such a good service.": "positive",
        "It isn't bad at all.": "positive",
        "I can't complain about anything.": "positive",
        "Not a single problem in two years, great car.": "positive",
        "I can't say I enjoyed it.": "negative",
        "I don't think this is a good idea.": "negative",
        "I thought it would be great, but it wasn't.": "negative",
        "I wouldn't say that the service was good.": "negative",
        "You will not regret buying this.": "positive",
        "No one could have done it better.": "positive",
        "It is hardly a masterpiece.": "negative",
        "The room was neither clean nor quiet.": "negative",
        "I never said it was terrible, I loved it.": "positive",
        "This is not an ugly dress, it is lovely.": "positive",
    },
    "but": {
        "The food was great but the service was awful and we will never come back.": "negative",
        "It looked cheap, but it works perfectly and I love it.": "positive",
        "I wanted to like it, but it was boring.": "negative",
        "The start was slow, but the end was brilliant.": "positive",
        "Although the room was small, we had a wonderful time.": "positive",
        "Despite the good reviews, the film was a disappointment.": "negative",
        "The actors are talented, but the story is a mess.": "negative",
        "He is rude sometimes, but he is the best teacher I ever had.": "positive",
        "Nice idea, but it doesn't work.": "negative",
        "It rained all day, but we had so much fun!": "positive",
        "I was afraid of the surgery, but everything went great.": "positive",
        "Pretty pictures, however the text is full of errors.": "negative",
    },
    "comparison": {
        "This phone is much better than my old one.": "positive",
        "This phone is much worse than my old one.": "negative",
        "The second film is not as good as the first.": "negative",
        "Nothing beats the coffee here.": "positive",
        "I have had better coffee at a petrol station.": "negative",
        "It has never been easier to use.": "positive",
        "The new version is slower and uglier than before.": "negative",
        "This is by far the best of the three.": "positive",
        "It is no better than the cheap one.": "negative",
        "It could not be worse.": "negative",
        "It could not be better.": "positive",
        "The old menu was far better than this one.": "negative",
    },
    "time": {
        "I used to hate this band, now I love them.": "positive",
        "I used to love this place, now I can't stand it.": "negative",
        "It was terrible at first, but now it's my favourite game.": "positive",
        "It was once a great hotel; today it is a ruin.": "negative",
    },
    "emoji": {
        "Monday again 😡": "negative",
        "Just got home 😍": "positive",
        "My cat died 😢": "negative",
        "We won!!! 🎉🎉": "positive",
    },
}
UNCHANGED: Mapping[str, Mapping[str, str]] = {
    "typo": {
        "The service was terrible.": "The servcie was terrible.",
        "I love this restaurant.": "I love this restuarant.",
        "The meeting is at noon.": "The meetng is at noon.",
        "What a wonderful evening!": "What a wonderfull evening!",
    },
    "address": {
        "Great talk today!": "@someone Great talk today! https://example.org/a",
        "The train is late again.": "@user The train is late again.",
        "The library is closed on Sunday.": "The library is closed on Sunday. http://example.org",
    },
    "case": {
        "I love it": "I LOVE IT",
        "this is awful": "This Is Awful",
    },
    "contraction": {
        "It is not good.": "It isn't good.",
        "I do not like it.": "I don't like it.",
        "We are very happy.": "We're very happy.",
    },
    "number": {
        "The ticket costs 12 euros.": "The ticket costs 47 euros.",
        "I waited for 3 hours and nobody came.": "I waited for 5 hours and nobody came.",
    },
    "weekday": {
        "We had a great party on Friday.": "We had a great party on Tuesday.",
        "The parcel came on Monday.": "The parcel came on Thursday.",
    },
}
TURNED: Mapping[str, Mapping[tuple[str, str], int]] = {
    "worse": {
        ("The hotel was nice.", "The hotel was nice. You are lame."): -1,
        ("We ate at the new place.", "We ate at the new place and got sick."): -1,
        ("I bought the blue one.", "I bought the blue one, sadly."): -1,
        ("The film was good.", "The film was good, I guess."): -1,
        ("It works.", "It hardly works."): -1,
    },
    "better": {
        ("The hotel was dirty.", "The hotel was dirty, but the view was breathtaking."): 1,
        ("We ate at the new place.", "We ate at the new place and loved it."): 1,
        ("I bought the blue one.", "I bought the blue one, luckily."): 1,
        ("The parcel came today.", "The parcel came today. Thank you so much!"): 1,
        ("It works.", "It works perfectly."): 1,
    },
    "order": {
        ("It is slow but cheap.", "It is cheap but slow."): -1,
        ("The food was good but the staff was rude.", "The staff was rude but the food was good."): 1,
        ("I was sad but now I am happy.", "I was happy but now I am sad."): -1,
        ("A great cast, but a dull film.", "A dull film, but a great cast."): 1,
    },
    "comparison": {
        (
            "Tea is better than coffee here, and I ordered coffee.",
            "Coffee is better than tea here, and I ordered it.",
        ): 1,
        ("It is better than I feared.", "It is worse than I feared."): -1,
        ("This one is as good as the old one.", "This one is not as good as the old one."): -1,
    },
}


@dataclass(frozen=True)
class Promise:
    """One thing that should hold; `measure` gives how far off it is, above 0 if the promise is broken."""

    kind: str
    name: str
    measure: Callable[[Ask], float]


def promises() -> Iterator[Promise]:
    """All of them."""
    for kind, cases in LABELLED.items():
        for text, label in cases.items():
            yield Promise(f"says-{kind}", text, _says(text, label))
    for kind, changed in UNCHANGED.items():
        for text, other in changed.items():
            yield Promise(f"unmoved-by-{kind}", f"{text} | {other}", _unmoved(text, other))
    for kind, turned in TURNED.items():
        for (text, other), way in turned.items():
            yield Promise(f"turns-{kind}", f"{text} | {other}", _turned(text, other, way))
    for kind, probe in PROBES.items():
        for template in probe.templates:
            yield Promise(f"swaps-{kind}", template, _even(sentences(probe, template)))


def _says(text: str, label: str) -> Callable[[Ask], float]:
    """By how much another label is more probable."""

    def measure(ask: Ask) -> float:
        (said,) = ask([text])
        wanted = LABELS.index(label)
        return float(np.delete(said, wanted).max() - said[wanted])

    return measure


def _unmoved(text: str, other: str) -> Callable[[Ask], float]:
    """By how much the probability that moves the most moves more than it may."""

    def measure(ask: Ask) -> float:
        before, after = ask([text, other])
        return float(np.abs(before - after).max() - MOST_MOVED)

    return measure


def _turned(text: str, other: str, way: int) -> Callable[[Ask], float]:
    """By how much the valence falls short of moving as far as it should."""

    def measure(ask: Ask) -> float:
        before, after = (said[2] - said[0] for said in ask([text, other]))
        return float(LEAST_TURN - way * (after - before))

    return measure


def _even(texts: list[str]) -> Callable[[Ask], float]:
    """By how much P(positive) moves more than it may."""

    def measure(ask: Ask) -> float:
        positive = ask(texts)[:, 2]
        return float(positive.max() - positive.min() - MOST_SWING)

    return measure


def asking(model: TextModel) -> Ask:
    """What a model of the service says."""

    def ask(texts: list[str]) -> np.ndarray:
        answers = model.predict(texts)
        return np.array([answer.probabilities for answer in answers if isinstance(answer, Prediction)])

    return ask


def main() -> None:
    """Measure the shipped model; write down what it breaks."""
    ask = asking(TextModel.load(default_model("text-sentiment")))
    found = {promise: promise.measure(ask) for promise in promises()}
    broken: dict[str, dict[str, float]] = {}
    for promise, off in found.items():
        if off > -NEAR:
            broken.setdefault(promise.kind, {})[promise.name] = round(off, 3)
    BROKEN.write_text(json.dumps(broken, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    for kind in dict.fromkeys(promise.kind for promise in found):
        kept = [off <= 0 for promise, off in found.items() if promise.kind == kind]
        print(f"{kind}: {sum(kept)} of {len(kept)} kept")


if __name__ == "__main__":
    main()
