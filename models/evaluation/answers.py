"""What the service's own pipelines say of labelled data, one modality at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from models.training.data import decode, read_table
from models.training.face_data import COLUMNS, EMOTIONS, enlarged, strict_majority
from service.domain.fusion import Opinion
from service.domain.labels import EMOTION_SENTIMENT, SENTIMENTS
from service.media.decoder import Picture
from service.media.sniff import Format
from service.media.stream import Samples
from service.pipelines import text
from service.pipelines.face import read_picture
from service.pipelines.found import Found
from service.pipelines.speech import Listener
from service.runners import Models

UNTOLD = "surprised"
"""An emotion that tells next to nothing about the sentiment: its rows can't be right or wrong about it."""

TEXTS_AT_ONCE = 512
AT_ONCE = 8

Row = TypeVar("Row")
Spoil = Callable[[Any], Any]
"""What is done to a text, to samples or to pixels before they are given to the pipeline."""


def untouched(given: Any) -> Any:
    """As it is."""
    return given


def some(rows: Sequence[Row], most: int | None) -> Sequence[Row]:
    """At most so many rows, from all over."""
    if most is None or len(rows) <= most:
        return rows
    return [rows[number] for number in np.linspace(0, len(rows) - 1, most).astype(int)]


@dataclass(frozen=True, eq=False)
class Answers:
    """Opinions, None where there was no evidence, with the true sentiments (n,) as numbers in `SENTIMENTS`."""

    opinions: tuple[Opinion | None, ...]
    labels: NDArray[np.int64]

    @property
    def silent(self) -> int:
        """How many rows got no opinion."""
        return sum(opinion is None for opinion in self.opinions)

    def told(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Calibrated probabilities (m, 3) and labels (m,) of the rows that got an opinion."""
        here = np.array([opinion is not None for opinion in self.opinions])
        said = [opinion.prediction.probabilities for opinion in self.opinions if opinion is not None]
        return np.array(said), self.labels[here]


async def of_texts(models: Models, split: str, spoil: Spoil = untouched, most: int | None = None) -> Answers:
    """TweetEval's tweets, as texts."""
    rows = some(read_table("text/tweet_sentiment", split), most)
    said: list[Opinion | None] = []
    for start in tqdm(range(0, len(rows), TEXTS_AT_ONCE), f"texts, {split}"):
        part = await text.predict([spoil(row["text"]) for row in rows[start : start + TEXTS_AT_ONCE]], models)
        reliability = models.info["text"].reliability
        said += [None if one is None else Opinion(one, reliability=reliability) for one in part]
    return labelled(said, [row["label"] for row in rows])


async def of_voices(models: Models, split: str, spoil: Spoil = untouched, most: int | None = None) -> Answers:
    """RAVDESS and nEMO, as recordings whose words nobody writes down."""
    told = some([row for row in voices(split) if row["emotion"] != UNTOLD], most)
    said = await heard(models, told, spoil, split)
    return labelled(said, [sentiment_of(row["emotion"]) for row in told])


async def of_faces(models: Models, split: str, spoil: Spoil = untouched, most: int | None = None) -> Answers:
    """FER+ pictures with a strict majority of votes, as pictures."""
    told = some([row for row in faces(split) if row["emotion"] != UNTOLD], most)
    said = await seen(models, told, spoil, split)
    return labelled(said, [sentiment_of(row["emotion"]) for row in told])


def voices(split: str) -> list[dict[str, Any]]:
    """The recordings of a split, those of surprise too."""
    return [row for corpus in ("ravdess", "nemo") for row in read_table(f"speech/{corpus}", split)]


def faces(split: str) -> list[dict[str, Any]]:
    """The pictures of a split with a strict majority of votes, which is their `emotion`; those of surprise too."""
    rows = [row for row in read_table("face/ferplus", split) if row["keep"] or split == "test"]
    winners = strict_majority(np.array([[row[column] for column in COLUMNS] for row in rows]))
    return [{**row, "emotion": EMOTIONS[one]} for row, one in zip(rows, winners, strict=True) if one >= 0]


async def heard(
    models: Models, rows: Sequence[dict[str, Any]], spoil: Spoil = untouched, what: str = ""
) -> list[Opinion | None]:
    """What the voices of these rows say."""
    said = await _all(rows, lambda row: hear(models, spoil(decode(row["audio"]))), f"voices, {what}")
    return [found.opinions.get("speech") for found in said]


async def seen(
    models: Models, rows: Sequence[dict[str, Any]], spoil: Spoil = untouched, what: str = ""
) -> list[Opinion | None]:
    """What the faces of these rows say."""
    said = await _all(rows, lambda row: look(models, spoil(picture(row["image"]))), f"faces, {what}")
    return [found.opinions.get("face") for found in said]


async def hear(models: Models, samples: NDArray[np.float32]) -> Found:
    """What a voice says without its words."""
    listener = Listener(models, "en", transcribe=False)
    await listener.feed(Samples(0.0, samples))
    return await listener.finish()


async def look(models: Models, pixels: NDArray[np.uint8]) -> Found:
    """What a picture says, however badly its face is seen."""
    height, width = pixels.shape[:2]
    whole = Picture(pixels, width, height, scale=1.0, frames=1, truncated=False, format=Format("image", "webp"))
    return await read_picture(whole, 0.0, models)


def picture(encoded: bytes) -> NDArray[np.uint8]:
    """A FER+ picture as RGB, enlarged and framed."""
    grey = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_GRAYSCALE)
    return np.repeat(enlarged(grey)[..., None], 3, axis=-1)


def sentiment_of(emotion: str) -> str:
    """The sentiment that an emotion mostly speaks for."""
    shares = EMOTION_SENTIMENT[emotion]
    return SENTIMENTS[shares.index(max(shares))]


async def _all(rows: Sequence[Row], ask: Callable[[Row], Awaitable[Found]], what: str) -> list[Found]:
    """One answer a row, a few at the same time."""
    said: list[Found] = []
    for start in tqdm(range(0, len(rows), AT_ONCE), what):
        said += await asyncio.gather(*(ask(row) for row in rows[start : start + AT_ONCE]))
    return said


def labelled(said: Sequence[Opinion | None], labels: Sequence[str]) -> Answers:
    """Opinions with their true sentiments, by name."""
    numbers = {str(label): number for number, label in enumerate(SENTIMENTS)}
    return Answers(tuple(said), np.array([numbers[label] for label in labels]))
