"""The heads that are measured: which model, on which tables, and how it is asked."""

from __future__ import annotations

from collections.abc import Mapping

from models.evaluation.answers import of_faces, of_texts, of_voices
from models.registry import ModelEntry, default_model
from service.domain.labels import Modality

TASKS: Mapping[Modality, str] = {"text": "text-sentiment", "speech": "speech-emotion", "face": "face-emotion"}
TABLES: Mapping[Modality, tuple[str, ...]] = {
    "text": ("text/tweet_sentiment",),
    "speech": ("speech/ravdess", "speech/nemo"),
    "face": ("face/ferplus",),
}
DATA: Mapping[Modality, str] = {
    "text": "TweetEval sentiment, test split",
    "speech": "RAVDESS and nEMO, test speakers, surprise left out",
    "face": "FER+, test rows with a strict majority, surprise left out",
}
ASKING = {"text": of_texts, "speech": of_voices, "face": of_faces}


def entry(name: Modality) -> ModelEntry:
    """The model that serves a modality by default."""
    return default_model(TASKS[name])


def weights(name: Modality) -> dict[str, str]:
    """The digest of its weights, by their file."""
    return {entry(name).file: entry(name).sha256}
