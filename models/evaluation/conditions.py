"""Asks the shipped models for what the cards draw: what is taken for what, damage, groups; then draws and writes it.

python -m models.evaluation.conditions              everything: some five minutes on two cores
python -m models.evaluation.conditions --only text  the model of one modality, when it alone is new
python -m models.evaluation.conditions --rows 60    a slice of each set, printed and not written
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from models.evaluation import examined, illustrations, sections
from models.evaluation.answers import (
    UNTOLD,
    Answers,
    faces,
    heard,
    labelled,
    of_texts,
    seen,
    sentiment_of,
    some,
    voices,
)
from models.evaluation.confusion import Confusion, counted, emotion_of
from models.evaluation.examined import Examined
from models.evaluation.groups import GroupScore, by_group, face_traits, speaker_traits, speakers, voice_traits
from models.evaluation.heads import DATA, TABLES, entry, weights
from models.evaluation.record import about
from models.evaluation.robustness import curves, least_quality, likeliest
from service.domain.fusion import Opinion
from service.domain.labels import MODALITIES, SENTIMENTS, Modality
from service.runners import Models
from service.runners.connect import connect
from service.settings import load_settings

Rows = Sequence[dict[str, Any]]
Judged = tuple[tuple[Confusion, ...], tuple[GroupScore, ...]]
"""What is taken for what, the sentiments first, and scores by group."""

CORPORA = {"ravdess": "RAVDESS, English", "nemo": "nEMO, Polish"}


async def examine(name: Modality, models: Models, most: int | None = None) -> Examined:
    """The model of one modality; at most `most` rows of each set."""
    confusions, scores = await JUDGED[name](models, most)
    return Examined(
        about={"model": entry(name).identifier, **about(DATA[name], TABLES[name], weights(name))},
        confusions=confusions,
        curves=tuple(await curves(name, models, most)),
        groups=scores,
    )


async def of_tweets(models: Models, most: int | None) -> Judged:
    """The text model on test tweets."""
    return (of_sentiments("TweetEval", await of_texts(models, "test", most=most)),), ()


async def of_speakers(models: Models, most: int | None) -> Judged:
    """The voice model on the test speakers: emotions apart by corpus, groups without surprise.

    Test speakers are few, so gender and single speakers are scored on the validation speakers too.
    """
    rows, others = some(voices("test"), most), some(voices("val"), most)
    said, said_by_others = await heard(models, rows, what="test"), await heard(models, others, what="val")
    clear, answers = _clear(rows, said)
    all_clear, all_answers = _clear([*rows, *others], [*said, *said_by_others])
    emotions = [
        of_emotions(name, "speech", *_where(rows, said, lambda row, corpus=corpus: row["corpus"] == corpus))
        for corpus, name in CORPORA.items()
    ]
    confusions = (of_sentiments("RAVDESS and nEMO", answers), *emotions)
    scores = by_group(answers, voice_traits(clear), speakers(clear))
    return confusions, (*scores, *by_group(all_answers, speaker_traits(all_clear), speakers(all_clear)))


async def of_portraits(models: Models, most: int | None) -> Judged:
    """The face model on test faces with a strict majority."""
    rows = some(faces("test"), most)
    said = await seen(models, rows, what="test")
    clear, answers = _clear(rows, said)
    confusions = (of_sentiments("FER+", answers), of_emotions("FER+", "face", rows, said))
    return confusions, tuple(by_group(answers, face_traits(clear), least_quality=least_quality("face")))


JUDGED = {"text": of_tweets, "speech": of_speakers, "face": of_portraits}


def of_sentiments(data: str, answers: Answers) -> Confusion:
    """Negative, neutral and positive."""
    chosen = [None if one is None else SENTIMENTS[likeliest(one)] for one in answers.opinions]
    return counted(data, [SENTIMENTS[label] for label in answers.labels], chosen, SENTIMENTS)


def of_emotions(data: str, name: Modality, rows: Rows, said: Sequence[Opinion | None]) -> Confusion:
    """The emotions that the model of this modality knows."""
    return counted(data, [row["emotion"] for row in rows], [emotion_of(one) for one in said], entry(name).labels)


def _clear(rows: Rows, said: Sequence[Opinion | None]) -> tuple[Rows, Answers]:
    """Without surprise, which tells no sentiment."""
    kept, answers = _where(rows, said, lambda row: row["emotion"] != UNTOLD)
    return kept, labelled(answers, [sentiment_of(row["emotion"]) for row in kept])


def _where(
    rows: Rows, said: Sequence[Opinion | None], holds: Callable[[dict[str, Any]], bool]
) -> tuple[Rows, Sequence[Opinion | None]]:
    """The rows for which something holds, and what was said of them."""
    pairs = [(row, one) for row, one in zip(rows, said, strict=True) if holds(row)]
    return [row for row, _ in pairs], [one for _, one in pairs]


def name_of(name: Modality) -> str:
    """The name of the model of a modality."""
    return entry(name).name


async def run(names: Sequence[Modality], most: int | None) -> dict[str, Examined]:
    """Start the models, examine those of these modalities, stop them; by the models' names."""
    models = connect(load_settings())
    await models.start()
    try:
        return {name_of(name): await examine(name, models, most) for name in names}
    finally:
        await models.close()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m models.evaluation.conditions", description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, help="at most so many rows of each set; nothing is written then")
    parser.add_argument("--only", choices=MODALITIES, help="the model of this modality; others keep what is stored")
    asked = parser.parse_args()
    found = asyncio.run(run((asked.only,) if asked.only else MODALITIES, asked.rows))
    print(sections.of_scores(found))
    if asked.rows is None:
        known = {**examined.read(), **found} if asked.only else found
        stored = {name: known[name] for name in map(name_of, MODALITIES) if name in known}
        examined.write(stored)
        illustrations.write(stored)


if __name__ == "__main__":
    main()
