"""The models: what pipelines may ask of them, wherever they run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from service.domain.analysis import Transcript
from service.domain.sentiment import Prediction
from service.features.face import Detection
from service.features.text import Asked, Window

if TYPE_CHECKING:
    from service.runners.profile import Profile


class RunnerError(Exception):
    """The root of what a model can answer instead of a prediction."""


class Overloaded(RunnerError):
    """Too much waits for this model already; `retry_after` says how many seconds to wait."""

    def __init__(self, model: str, retry_after: float = 1.0) -> None:
        super().__init__(f"Too many requests wait for the {model} model; try again in {retry_after:.0f} s.")
        self.retry_after = retry_after


class ModelUnavailable(RunnerError):
    """The model cannot be reached, is not loaded, or took too long."""

    def __init__(self, model: str, detail: str, retry_after: float = 5.0) -> None:
        super().__init__(detail)
        self.model = model
        self.retry_after = retry_after


class TranscriptUnavailable(RunnerError):
    """No transcription weights are installed, or the setting turns them off."""


class ItemRefused(RunnerError):
    """The model could not take this item; the others of the batch are not touched by it."""


@dataclass(frozen=True)
class Failed:
    """What a model answers for one item that it could not take, beside the answers of the others."""

    detail: str


State = Literal["healthy", "unhealthy", "starting"]
"""What `Models.health` says of a model."""


@dataclass(frozen=True)
class ModelInfo:
    """What a pipeline knows of a model without loading it.

    `reliability` is the accuracy that fusion weighs the modality by; `languages` is empty where any will do.
    """

    identifier: str
    reliability: float = 1.0
    languages: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What the input must look like, from the registry: `max_tokens`, `window_seconds`, `hop_seconds`, `crop_size`."""


class Models(Protocol):
    """Every model as an awaitable, batched over all requests that wait. Raises `RunnerError`."""

    @property
    def info(self) -> dict[str, ModelInfo]:
        """By name: `text`, `speech`, `face`, `detector`, and `transcript` if there are weights for it."""
        ...

    @property
    def profile(self) -> Profile | None:
        """The recalibration that sentiments below have been through; None for the models as shipped."""
        ...

    def windows(self, text: str) -> list[Window]:
        """The pieces in which the text model reads a text of any length; none for one without a word."""
        ...

    async def text(self, texts: Sequence[str | Asked]) -> list[Prediction]:
        """One prediction a text; each text at most as long as the model's window.

        Of what is `Asked` the sentiment towards the term; only models with `aspects` in their settings take that.
        """
        ...

    async def speech(self, windows: Sequence[NDArray[np.float32]]) -> list[Prediction]:
        """One prediction a window of mono 16 kHz samples (n,) in [-1, 1]; n at most the model's window."""
        ...

    async def detect(self, pictures: Sequence[NDArray[np.uint8]]) -> list[tuple[Detection, ...]]:
        """The faces of each upright RGB picture (h, w, 3), in pixels of that picture."""
        ...

    async def face(self, crops: Sequence[NDArray[np.uint8]]) -> list[Prediction]:
        """One prediction an aligned RGB crop, as `features.face.align` makes them."""
        ...

    async def transcribe(self, samples: NDArray[np.float32], language: str) -> Transcript:
        """The words of mono 16 kHz samples (n,). Raises `TranscriptUnavailable` where no weights are installed."""
        ...

    @property
    def problems(self) -> dict[str, str]:
        """What `health` found to be wrong, in one sentence a model."""
        ...

    async def health(self, timeout_seconds: float = 1.0) -> dict[str, State]:
        """How each model of `info` does, really asked, within the time given."""
        ...
