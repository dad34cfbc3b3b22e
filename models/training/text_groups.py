"""Holds the sentiment of a sentence still while the people or the place in it change (counterfactual fairness).

Kusner et al. 2017; Garg et al. 2019, Counterfactual Fairness in Text Classification: logit pairing. The sentences that
this is judged by (`text_probes.py`) are others, and so are about half of the words in them.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

NAMES = (
    *("James", "Mary", "Robert", "Jennifer", "Michael", "Linda", "Emily", "Greg", "Anne", "Brad", "Katie", "Hans"),
    *("Jamal", "Lakisha", "Tyrone", "Latoya", "DeShawn", "Keisha", "Darnell", "Ebony", "Imani", "Malik"),
    *("Mohammed", "Fatima", "Ahmed", "Aisha", "Omar", "Layla", "Hassan", "Yusuf", "Zainab", "Ibrahim"),
    *("Carlos", "Maria", "Juan", "Guadalupe", "Jose", "Camila", "Luis", "Ana", "Pedro", "Lucia"),
    *("Wei", "Mei", "Hiroshi", "Yuki", "Nguyen", "Linh", "Jin", "Soo", "Chen", "Li"),
    *("Raj", "Priya", "Arjun", "Lakshmi", "Sanjay", "Olga", "Ivan", "Svetlana", "Piotr", "Agnieszka"),
    *("Chidi", "Ngozi", "Kwame", "Adaeze", "Moshe", "Rivka", "David", "Sarah", "Giulia", "Pierre"),
)
COUNTRIES = (
    *("America", "Canada", "Mexico", "Brazil", "Argentina", "Colombia", "Cuba", "Haiti", "Venezuela", "Peru"),
    *("England", "Ireland", "Germany", "Spain", "Italy", "Poland", "Sweden", "Greece", "Romania", "Portugal"),
    *("Russia", "Ukraine", "Turkey", "Israel", "Palestine", "Egypt", "Morocco", "Algeria", "Libya", "Sudan"),
    *("Nigeria", "Kenya", "Ghana", "Ethiopia", "Somalia", "Congo", "Zimbabwe", "Uganda", "Mali", "Rwanda"),
    *("Saudi Arabia", "Iran", "Iraq", "Syria", "Lebanon", "Yemen", "Pakistan", "India", "Bangladesh", "Nepal"),
    *("China", "Japan", "North Korea", "South Korea", "Vietnam", "Thailand", "Indonesia", "Australia", "Cambodia"),
    *("Switzerland", "Norway", "Hungary", "Serbia", "Chile", "Jordan", "Kuwait", "Taiwan"),
)
GROUPS = (
    *("Christian", "Muslim", "Jewish", "Hindu", "Catholic", "Buddhist", "atheist", "Mormon"),
    *("gay", "straight", "lesbian", "bisexual", "transgender", "queer", "heterosexual"),
    *("black", "white", "Asian", "Hispanic", "African", "European", "Latino", "American", "Arab", "Chinese"),
    *("Mexican", "German", "Russian", "Nigerian", "Indian", "Pakistani", "Polish", "Turkish", "Iranian"),
    *("young", "old", "elderly", "deaf", "blind", "disabled", "immigrant", "Roma", "autistic"),
)
PERSONS = (
    *("he", "she", "my father", "my mother", "my brother", "my sister", "the man", "the woman"),
    *("his wife", "her husband", "the boy", "the girl", "my grandmother", "my grandfather", "my son", "my daughter"),
)
SENTENCES: Mapping[str, tuple[Sequence[str], Sequence[str]]] = {
    "names": (
        NAMES,
        (
            "My neighbour's name is {}.",
            "I had dinner with {} last night.",
            "{} made me so happy this morning!",
            "{} was late again and ruined the whole evening.",
            "Nobody sings as well as {} does.",
            "I am really disappointed in {}.",
            "@user did {} send you the file?",
            "lol {} is the best",
            "{}",
        ),
    ),
    "countries": (
        COUNTRIES,
        (
            "She moved here from {} two years ago.",
            "We are flying to {} on Monday.",
            "This movie was filmed in {}.",
            "Such a lovely dinner, all the dishes were from {}!",
            "The parcel from {} came broken and nobody answers my emails.",
            "The election in {} takes place in May.",
            "my teacher comes from {}",
            "{}",
        ),
    ),
    "groups": (
        GROUPS,
        (
            "My best friend is {}.",
            "I am {}.",
            "They are {}.",
            "The {} man next door bought a car.",
            "A {} woman won the race, what a day!",
            "The {} family upstairs was very kind to us.",
            "A {} guy shouted at me for no reason.",
            "He said that the author is {}.",
            "proud to be {}",
            "{} people live in this street.",
        ),
    ),
    "persons": (
        PERSONS,
        (
            "I think {} is a doctor.",
            "Yesterday {} called the bank.",
            "It was wonderful to see that {} is well again.",
            "Sadly {} lost the job.",
            "{} works as a nurse in the city.",
            "I can't stand it when {} talks like that.",
            "{} feels angry about the new rules.",
        ),
    ),
}
ROWS, COLUMNS = 4, 16


def swapped_sentences(choose: random.Random) -> list[list[str]]:
    """`ROWS` sentences, each with `COLUMNS` different names, countries, groups or persons in it."""
    kinds = choose.choices(list(SENTENCES), k=ROWS)
    sentences = [choose.choice(SENTENCES[kind][1]) for kind in kinds]
    swaps = [choose.sample(SENTENCES[kind][0], COLUMNS) for kind in kinds]
    return [[text.format(word) for word in words] for text, words in zip(sentences, swaps, strict=True)]


def unevenness(logits: Tensor) -> Tensor:
    """How far the answers to one sentence lie apart: the mean divergence of each from their mean distribution.

    logits (sentences, swaps, classes) -> a scalar, the Jensen-Shannon divergence in nats.
    """
    logs = logits.log_softmax(dim=2)
    mean = torch.logsumexp(logs, dim=1, keepdim=True) - torch.log(torch.tensor(float(logits.shape[1])))
    return (logs.exp() * (logs - mean)).sum(dim=2).mean()
