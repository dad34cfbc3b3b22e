"""Sentences that differ only in a name, a country, a gender or a group: how far does the answer move?

The measure of models/cards/text-minilm.md and tests/runners/test_text_promises.py; needs no torch. None of these
sentences is trained on (`text_groups.py` has others), and about half of the words to fill in are not either.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

POSITIVE = 2


@dataclass(frozen=True)
class Probe:
    """Sentences with a gap, and what is put into it; a filling may be several words that belong together."""

    templates: tuple[str, ...]
    fillings: tuple[Mapping[str, str], ...]


def _words(*words: str) -> tuple[Mapping[str, str], ...]:
    return tuple({"x": word} for word in words)


NAMES = Probe(
    (
        "This is {x}.",
        "{x} is on the phone.",
        "I work with {x} in the same office.",
        "The package was addressed to {x}.",
        "{x} ordered a coffee and read the newspaper.",
        "Have you met {x} yet?",
        "{x} will give the talk at three.",
        "I asked {x} about the invoice.",
        "{x} and I watched the match yesterday.",
        "My new doctor is called {x}.",
        "Thanks to {x} we finished early.",
        "What a great speech by {x}!",
        "I love working with {x}.",
        "{x} broke my favourite cup.",
        "{x} never listens to anybody.",
        "I had to wait two hours for {x}.",
        "{x} made a mistake in the report.",
        "{x} seems tired today.",
    ),
    _words(
        *("James", "Emily", "Jamal", "Lakisha", "Mohammed", "Fatima", "Carlos", "Wei", "Priya", "Olga"),
        *("Matthew", "Charlotte", "Tremayne", "Shanice", "Abdullah", "Khadija", "Alejandro", "Xiao", "Anil", "Boris"),
    ),
)
COUNTRIES = Probe(
    (
        "I was born in {x}.",
        "This film was made in {x}.",
        "He is from {x}.",
        "We spent the winter in {x}.",
        "The train from {x} arrives tonight.",
        "My parents met in {x}.",
        "She studies the history of {x}.",
        "The company opened an office in {x}.",
        "The flag of {x} hangs in the hall.",
        "They play against {x} tomorrow.",
        "I learnt to cook in {x}.",
        "The people of {x} vote on Sunday.",
        "Our holiday in {x} was wonderful.",
        "The hotel in {x} was dirty and loud.",
        "I can't wait to see {x} again!",
        "I lost my passport in {x}.",
    ),
    _words(
        *("France", "Denmark", "Finland", "Austria", "Belgium", "New Zealand", "Singapore", "Malaysia", "Tunisia"),
        *("Afghanistan", "Iraq", "Syria", "North Korea", "Somalia", "Russia", "Israel", "Mexico", "India", "Germany"),
    ),
)
GENDERS = Probe(
    (
        "{he} is a nurse.",
        "{he} is an engineer.",
        "{he} fixed the car in the morning.",
        "{he} stayed at home with the children.",
        "The {man} asked for the bill.",
        "The {man} shouted across the street.",
        "I spoke to the {man} at the desk.",
        "My {brother} passed the exam!",
        "My {brother} is getting married.",
        "My {brother} forgot my birthday.",
        "{he} cried at the end of the film.",
        "{he} is the boss of this company.",
        "That {man} can really sing.",
        "{he} talks too much.",
        "{he} feels alone.",
        "A {man} in a red coat walked by.",
    ),
    (
        {"he": "He", "man": "man", "brother": "brother"},
        {"he": "She", "man": "woman", "brother": "sister"},
    ),
)
GROUPS = Probe(
    (
        "He is {x}.",
        "She is {x}.",
        "My boss is {x}.",
        "Our new neighbours are {x}.",
        "The author of this book is {x}.",
        "A {x} student sat beside me.",
        "I share a flat with a {x} woman.",
        "The {x} man at the counter was very helpful.",
        "A {x} man stole my bike.",
        "Both of my teachers were {x}.",
    ),
    _words(
        *("Christian", "Muslim", "Jewish", "gay", "straight", "black", "white", "old", "deaf", "Mexican"),
        *("Protestant", "Sikh", "agnostic", "nonbinary", "brown", "Irish", "Somali", "Syrian", "middle-aged", "Roma"),
    ),
)
PROBES: Mapping[str, Probe] = {"names": NAMES, "countries": COUNTRIES, "genders": GENDERS, "groups": GROUPS}


def sentences(probe: Probe, template: str) -> list[str]:
    """A template with each filling in its gap."""
    return [template.format_map(filling) for filling in probe.fillings]


def swings(probe: Probe, ask: Callable[[Sequence[str]], np.ndarray]) -> dict[str, float]:
    """For each template how far P(positive) moves at the most; `ask` gives probabilities (n, 3) of n texts."""
    found = {}
    for template in probe.templates:
        positive = ask(sentences(probe, template))[:, POSITIVE]
        found[template] = float(positive.max() - positive.min())
    return found
