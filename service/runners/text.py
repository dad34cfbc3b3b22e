"""The text model: windows of text in, sentiment out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnxruntime import InferenceSession
from tokenizers import Tokenizer

from models.registry import ModelEntry
from service.domain.sentiment import Prediction
from service.features.text import MAX_TOKENS, Asked, load_tokenizer, pad
from service.runners import Failed, calibration
from service.runners.session import open_model

SPARE_TOKENS = 16
"""How much padding costs less than another call of the session: a call 0.6 ms, a token 0.05 ms, on one Zen 4 core."""

MAX_TOKENS_A_CALL = 1024
"""Past this a token gets no cheaper (4 texts of 16 tokens are as good as 64), but the memory arena keeps growing."""


@dataclass(frozen=True)
class Head:
    """An output of the graph beside the sentiment: of emotions, or of the sentiment towards a term."""

    output: str
    labels: tuple[str, ...]
    temperature: float

    @classmethod
    def of(cls, settings: Mapping[str, Any], name: str) -> Head | None:
        """What a registry entry's settings say of a head; None for a model that has none."""
        told = settings.get(name)
        return cls(told["output"], tuple(told["labels"]), float(told["temperature"])) if told else None


class TextModel:
    """Tokens to calibrated sentiment, and to emotions where the model has a head for them."""

    def __init__(
        self,
        session: InferenceSession,
        tokenizer: Tokenizer,
        sentiments: Head,
        *,
        max_tokens: int = MAX_TOKENS,
        emotions: Head | None = None,
        aspects: Head | None = None,
    ) -> None:
        self._session = session
        self._tokenizer = tokenizer
        self._sentiments = sentiments
        self._emotions = emotions
        self._aspects = aspects
        self._max_tokens = max_tokens
        self._outputs = [head.output for head in (sentiments, emotions, aspects) if head is not None]

    @classmethod
    def load(cls, entry: ModelEntry, threads: int = 1) -> TextModel:
        """The model of a registry entry. Raises `WeightsMismatch`."""
        tokenizer = next(entry.path(file) for file in entry.files if file.endswith("tokenizer.json"))
        return cls(
            open_model(entry, threads),
            load_tokenizer(tokenizer),
            Head("logits", entry.labels, entry.temperature),
            max_tokens=int(entry.settings.get("max_tokens", MAX_TOKENS)),
            emotions=Head.of(entry.settings, "emotions"),
            aspects=Head.of(entry.settings, "aspects"),
        )

    def predict(self, texts: Sequence[str | Asked]) -> list[Prediction | Failed]:
        """One answer a text, in order; a text longer than the model's window fails alone.

        Of what is `Asked` the sentiment towards the term, without emotions. Raises `ValueError` without such a head.
        """
        results: list[Prediction | Failed] = [Failed("The text is longer than the model's window.")] * len(texts)
        token_ids = [encoding.ids for encoding in self._tokenizer.encode_batch_fast([_whole(text) for text in texts])]
        lengths = [len(ids) for ids in token_ids]
        for group in batches_by_length(lengths, self._max_tokens):
            said = self._infer([token_ids[index] for index in group])
            for row, index in enumerate(group):
                results[index] = self._towards(said, row) if isinstance(texts[index], Asked) else self._told(said, row)
        return results

    def warm(self) -> None:
        """Infer once, so that the first caller does not wait for what is set up lazily."""
        self.predict(["Good morning.", "It rains, and I forgot my umbrella at home once more."])

    def _infer(self, token_ids: Sequence[Sequence[int]]) -> dict[str, list[list[float]]]:
        """What each output says, a row a text."""
        batch = pad(token_ids)
        feed = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
        outputs = self._session.run(self._outputs, feed)
        return {name: calibration.rows(np.asarray(rows)) for name, rows in zip(self._outputs, outputs, strict=True)}

    def _told(self, said: Mapping[str, list[list[float]]], row: int) -> Prediction | Failed:
        head, emotions = self._sentiments, self._emotions
        told = calibration.sentiments(said[head.output][row], head.labels, head.temperature)
        if emotions is None:
            return told
        return calibration.with_emotions(told, said[emotions.output][row], emotions.labels, emotions.temperature)

    def _towards(self, said: Mapping[str, list[list[float]]], row: int) -> Prediction | Failed:
        head = self._aspects
        if head is None:
            raise ValueError("This model has no head for the sentiment towards a term.")
        return calibration.sentiments(said[head.output][row], head.labels, head.temperature)


def _whole(text: str | Asked) -> str | tuple[str, str]:
    """The text with question marks for halves of surrogate pairs, which the tokenizer would refuse for all."""
    if isinstance(text, Asked):
        return _mended(text.text), _mended(text.term)
    return _mended(text)


def _mended(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


def batches_by_length(lengths: Sequence[int], longest: int) -> Iterator[list[int]]:
    """Indices of texts of similar length: padded to its longest, a group wastes little and is not large.

    Texts of more than `longest` tokens are in no group.
    """
    order = sorted((index for index, length in enumerate(lengths) if length <= longest), key=lambda i: -lengths[i])
    group: list[int] = []
    waste = 0
    for index in order:
        longest = lengths[group[0]] if group else lengths[index]
        waste += longest - lengths[index]
        if waste > SPARE_TOKENS or longest * (len(group) + 1) > max(MAX_TOKENS_A_CALL, longest):
            yield group
            group, waste = [], 0
        group.append(index)
    if group:
        yield group
