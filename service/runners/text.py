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
from service.features.text import MAX_TOKENS, load_tokenizer, pad
from service.runners import Failed, calibration
from service.runners.session import open_model

SPARE_TOKENS = 16
"""How much padding costs less than another call of the session: a call 0.6 ms, a token 0.05 ms, on one Zen 4 core."""

MAX_TOKENS_A_CALL = 1024
"""Past this a token gets no cheaper (4 texts of 16 tokens are as good as 64), but the memory arena keeps growing."""


@dataclass(frozen=True)
class EmotionHead:
    """The output of a graph that speaks of emotions beside the sentiment."""

    output: str
    labels: tuple[str, ...]
    temperature: float

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> EmotionHead | None:
        """What a registry entry says of it; None for a model that has none."""
        told = settings.get("emotions")
        return cls(told["output"], tuple(told["labels"]), float(told["temperature"])) if told else None


class TextModel:
    """Tokens to calibrated sentiment, and to emotions where the model has a head for them."""

    def __init__(
        self,
        session: InferenceSession,
        tokenizer: Tokenizer,
        labels: Sequence[str],
        temperature: float = 1.0,
        *,
        max_tokens: int = MAX_TOKENS,
        emotions: EmotionHead | None = None,
    ) -> None:
        self._session = session
        self._tokenizer = tokenizer
        self._labels = labels
        self._temperature = temperature
        self._max_tokens = max_tokens
        self._emotions = emotions
        self._outputs = ["logits"] if emotions is None else ["logits", emotions.output]

    @classmethod
    def load(cls, entry: ModelEntry, threads: int = 1) -> TextModel:
        """The model of a registry entry. Raises `WeightsMismatch`."""
        tokenizer = next(entry.path(file) for file in entry.files if file.endswith("tokenizer.json"))
        return cls(
            open_model(entry, threads),
            load_tokenizer(tokenizer),
            entry.labels,
            entry.temperature,
            max_tokens=int(entry.settings.get("max_tokens", MAX_TOKENS)),
            emotions=EmotionHead.of(entry.settings),
        )

    def predict(self, texts: Sequence[str]) -> list[Prediction | Failed]:
        """One answer a text, in order; a text longer than the model's window fails alone."""
        results: list[Prediction | Failed] = [Failed("The text is longer than the model's window.")] * len(texts)
        token_ids = [encoding.ids for encoding in self._tokenizer.encode_batch_fast([_whole(text) for text in texts])]
        lengths = [len(ids) for ids in token_ids]
        for group in batches_by_length(lengths, self._max_tokens):
            for index, prediction in zip(group, self._infer([token_ids[index] for index in group]), strict=True):
                results[index] = prediction
        return results

    def warm(self) -> None:
        """Infer once, so that the first caller does not wait for what is set up lazily."""
        self.predict(["Good morning.", "It rains, and I forgot my umbrella at home once more."])

    def _infer(self, token_ids: Sequence[Sequence[int]]) -> list[Prediction | Failed]:
        batch = pad(token_ids)
        feed = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
        outputs = [calibration.rows(np.asarray(output)) for output in self._session.run(self._outputs, feed)]
        said = [calibration.sentiments(row, self._labels, self._temperature) for row in outputs[0]]
        if self._emotions is None:
            return said
        head = self._emotions
        return [
            calibration.with_emotions(one, row, head.labels, head.temperature)
            for one, row in zip(said, outputs[1], strict=True)
        ]


def _whole(text: str) -> str:
    """The text with question marks for halves of surrogate pairs, which the tokenizer would refuse for all."""
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
