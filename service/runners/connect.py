"""All models behind one interface, each in this process or in one of its own."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from service.domain.analysis import Transcript
from service.domain.labels import Modality
from service.domain.sentiment import Prediction
from service.features.face import PICTURE_SIDES, Detection, Picture
from service.features.speech import SAMPLE_RATE
from service.features.text import Asked, Window
from service.runners import ModelInfo, State, TranscriptUnavailable
from service.runners.batching import Collector, Limits, Observer
from service.runners.catalogue import describe, loader, text_cutter
from service.runners.embedded import Embedded
from service.runners.face import scale_of, shrink, unscaled
from service.runners.profile import Profile, chosen_profile
from service.runners.remote import Remote
from service.runners.text_cache import TextCache
from service.runners.transcript import find_weights
from service.settings import Settings

METHODS: Mapping[str, str] = {
    "text": "predict",
    "speech": "predict",
    "face": "predict",
    "detector": "detect",
    "transcript": "transcribe",
}
"""What each model is asked; a runner service has the same with `_parcel` behind it."""

SERVICES: Mapping[str, str] = {
    "text": "text",
    "speech": "speech",
    "face": "face",
    "detector": "face",
    "transcript": "transcript",
}
"""The runner that holds each model."""

BATCHES: Mapping[str, int] = {"text": 64, "speech": 16, "face": 64, "detector": 8, "transcript": 1}
"""Most items of a batch, so that none holds the others up for much longer than a second."""

ITEM_WEIGHTS: Mapping[str, int] = {"text": 1, "speech": 4, "face": 1, "detector": 8, "transcript": 16}
"""How much of `queue_limit` an item takes: pictures and recordings are memory while they wait."""


class Backend(Protocol):
    """Where a model runs."""

    @property
    def problem(self) -> str | None:
        """What was last known to be wrong, in one sentence."""
        ...

    async def start(self) -> None:
        """Make it ready."""

    async def call(self, method: str, items: list[Any]) -> Sequence[Any]:
        """One answer an item."""
        ...

    async def state(self, timeout_seconds: float) -> State:
        """How it does."""
        ...

    async def close(self) -> None:
        """Let go of it."""


class ConnectedModels:
    """`Models`, over one queue a model."""

    def __init__(
        self,
        info: dict[str, ModelInfo],
        backends: Mapping[str, Backend],
        collectors: Mapping[str, Collector[Any, Any]],
        transcript_setting: str,
        cut_text: Callable[[str], list[Window]],
        *,
        text_cache_entries: int = 0,
        profile: Profile | None = None,
    ) -> None:
        self.info = info
        self.profile = profile
        self._cut_text = cut_text
        self._backends = backends
        self._collectors = collectors
        self._transcript_setting = transcript_setting
        self._text_cache = TextCache(text_cache_entries)

    async def start(self) -> None:
        """Load what runs in this process; what cannot be loaded is among the `problems`, and tried again."""
        await asyncio.gather(*(backend.start() for backend in self._backends.values()))

    async def close(self) -> None:
        """Refuse what waits, and let the models go."""
        await asyncio.gather(*(collector.close() for collector in self._collectors.values()))
        await asyncio.gather(*(backend.close() for backend in self._backends.values()))

    async def health(self, timeout_seconds: float = 1.0) -> dict[str, State]:
        """How each model does: asked where it runs, and by whether its last batches came back."""
        states = await asyncio.gather(*(backend.state(timeout_seconds) for backend in self._backends.values()))
        return {
            model: state if self._collectors[model].healthy else "unhealthy"
            for model, state in zip(self._backends, states, strict=True)
        }

    @property
    def problems(self) -> dict[str, str]:
        """What is wrong with each model that is not well, as far as `health` found out; one sentence each."""
        found = {model: backend.problem for model, backend in self._backends.items()}
        rests = {
            model: f"The {model} model does not answer." for model, one in self._collectors.items() if not one.healthy
        }
        return {**rests, **{model: problem for model, problem in found.items() if problem}}

    def windows(self, text: str) -> list[Window]:
        """The pieces in which the text model reads a text of any length."""
        return self._cut_text(text)

    async def text(self, texts: Sequence[str | Asked]) -> list[Prediction]:
        """One prediction a text, or a text and a term."""
        said = await self._text_cache.through(texts, self._collectors["text"].submit)
        profile = self.profile
        if profile is None:
            return said
        # The sentiment towards a term is another head's, of which the profile knows nothing.
        return [
            one if isinstance(text, Asked) else profile.recalibrated("text", one)
            for text, one in zip(texts, said, strict=True)
        ]

    async def speech(self, windows: Sequence[NDArray[np.float32]]) -> list[Prediction]:
        """One prediction a window of mono 16 kHz samples."""
        return self._recalibrated("speech", await self._collectors["speech"].submit(windows))

    async def detect(self, pictures: Sequence[Picture]) -> list[tuple[Detection, ...]]:
        """The faces of each upright RGB picture (h, w, 3), in pixels of that picture."""
        small = [await asyncio.to_thread(shrink, picture) if _is_large(picture) else picture for picture in pictures]
        found = await self._collectors["detector"].submit(small)
        return [
            faces if seen is picture else tuple(unscaled(face, scale_of(seen, picture)) for face in faces)
            for picture, seen, faces in zip(pictures, small, found, strict=True)
        ]

    async def face(self, crops: Sequence[Picture]) -> list[Prediction]:
        """One prediction an aligned RGB crop."""
        return self._recalibrated("face", await self._collectors["face"].submit(crops))

    async def transcribe(self, samples: NDArray[np.float32], language: str) -> Transcript:
        """The words of mono 16 kHz samples (n,). Raises `TranscriptUnavailable` without weights for the language."""
        if "transcript" not in self._collectors:
            find_weights(self._transcript_setting)
            raise TranscriptUnavailable("Transcription weights appeared after the start; start the service again.")
        if language.split("-", maxsplit=1)[0].lower() not in self.info["transcript"].languages:
            raise TranscriptUnavailable(f"No installed weights transcribe {language!r}.")
        (words,) = await self._collectors["transcript"].submit([samples])
        return words

    def _recalibrated(self, name: Modality, said: list[Prediction]) -> list[Prediction]:
        profile = self.profile
        return said if profile is None else [profile.recalibrated(name, one) for one in said]


def connect(
    settings: Settings, proxies: Mapping[str, Any] | None = None, observer: Observer | None = None
) -> ConnectedModels:
    """The models that the settings name; call `start` before the first question and `close` after the last.

    `proxies` holds what `bentoml.depends` gave for `text`, `speech`, `face` and `transcript`; a model whose runner is
    not among them is loaded into this process. Raises `WrongProfile`.
    """
    info, proxies = describe(settings), proxies or {}
    profile = chosen_profile(settings.calibration_profile, info)
    backends = {model: _backend(model, settings, proxies) for model in info}
    collectors = {
        model: _collector(model, backend, settings, observer, _at_once(model, proxies, settings))
        for model, backend in backends.items()
    }
    return ConnectedModels(
        info,
        backends,
        collectors,
        settings.transcript_model,
        text_cutter(),
        text_cache_entries=settings.text_cache_entries,
        profile=profile,
    )


def _is_large(picture: Picture) -> bool:
    return picture.ndim == 3 and max(picture.shape[:2]) > max(PICTURE_SIDES)


def _backend(model: str, settings: Settings, proxies: Mapping[str, Any]) -> Backend:
    proxy = proxies.get(SERVICES[model])
    return (
        Embedded(model, loader(model, settings), _at_once(model, proxies, settings), settings.reload_seconds)
        if proxy is None
        else Remote(proxy, model)
    )


def _at_once(model: str, proxies: Mapping[str, Any], settings: Settings) -> int:
    """How many batches a model works on at the same time: texts in this process on every core, all else one by one."""
    embedded_text = model == "text" and SERVICES[model] not in proxies
    return settings.text_threads or cores() if embedded_text else 1


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _collector(
    model: str, backend: Backend, settings: Settings, observer: Observer | None, at_once: int
) -> Collector[Any, Any]:
    method = METHODS[model]
    limits = Limits(
        max_batch=min(settings.max_batch, BATCHES[model]),
        queue_limit=math.ceil(settings.queue_limit / ITEM_WEIGHTS[model]),
        timeout_seconds=settings.runner_timeout_seconds,
        in_flight=at_once,
    )
    return Collector(
        model,
        lambda items: backend.call(method, items),
        limits,
        observer,
        timeout_of=_reading_time(settings) if model == "transcript" else None,
    )


def _reading_time(settings: Settings) -> Any:
    """A recording may take as long as it lasts, and then as long as any batch."""
    return lambda recordings: settings.runner_timeout_seconds + sum(map(len, recordings)) / SAMPLE_RATE
