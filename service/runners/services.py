"""The runners as BentoML services: one process each, the model loaded after the fork.

Each has two ways in. `predict` and its like are batchable: BentoML gathers single calls of whoever depends on the
service. `predict_parcel` and its like take what the gateway has gathered already (`batching.py`): half the cost a call.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import bentoml
import numpy as np
from _bentoml_sdk import Service

from service import server
from service.lifecycle import Lifecycle
from service.runners import Failed, ModelUnavailable, TranscriptUnavailable, catalogue
from service.runners.connect import BATCHES
from service.runners.loading import Loading
from service.runners.middlewares import Counted, Traced, drop_middlewares
from service.runners.remote import Parcel
from service.settings import load_settings

SETTINGS = load_settings()

_FOR_EVER: Any = {"max_requests": 10**12, "max_age": 1e12}
"""BentoML closes the shared connection after 100 requests or 300 s, under whatever is in flight (its PR 5522)."""


class RunnerService(Service):
    """A BentoML service without the middlewares that trace and time each call."""

    def to_asgi(self, is_main: bool = True) -> Any:
        """What the server of the runner runs. Raises `UnexpectedBentoML`."""
        app: Any = super().to_asgi(is_main)
        drop_middlewares(app)
        lifecycle = Lifecycle()
        server.install(lifecycle, SETTINGS, server.stop_runner)
        return Counted(Traced(app) if SETTINGS.traces_url else app, lifecycle)


def _runner(name: str, timeout_seconds: float) -> Any:
    """A BentoML service of one process and one thread: what is inside has threads of its own."""
    return bentoml.service(
        name=name,
        service_class=RunnerService,
        workers=1,
        threads=1,
        traffic={"timeout": timeout_seconds},
        runner_connection=_FOR_EVER,
        metrics={"enabled": False},
        logging={"access": {"enabled": False}},
    )


def _batchable(model: str) -> Any:
    return bentoml.api(
        batchable=True,
        max_batch_size=max(2, min(SETTINGS.max_batch, BATCHES[model])),
        max_latency_ms=round(SETTINGS.runner_timeout_seconds * 1000),
    )


def _load(model: str) -> Loading:
    """The model, or the wait for it. Raises `ModelUnavailable` in a successor: then the one before it stays."""
    loading = Loading(model, catalogue.loader(model, SETTINGS), SETTINGS.reload_seconds)
    loading.begin()
    if server.is_successor():
        loading.require()
    return loading


def _parcel(loading: Loading, method: str, parcel: Any) -> Parcel:
    """The model's answers to a gateway's items, or why there are none."""
    try:
        return Parcel(getattr(loading.require(), method)(parcel.items))
    except ModelUnavailable as error:
        return Parcel([], str(error))


def _problems(parcel: Any, *models: Loading) -> Parcel:
    """Of each model that is asked for by name, what is wrong with it; None where nothing is."""
    found = {model.name: model.problem for model in models}
    return Parcel([found[name] for name in parcel.items])


def _plain(answers: list[Any]) -> list[Any]:
    """Answers for callers that do not know our classes; what failed has `detail` alone."""
    return [asdict(answer) for answer in answers]


@_runner("text_runner", SETTINGS.runner_timeout_seconds)
class TextRunner:
    """The text model."""

    def __init__(self) -> None:
        self._model = _load("text")

    @bentoml.api
    async def problems_parcel(self, parcel: Any, /) -> Any:
        """What is wrong with the model."""
        return _problems(parcel, self._model)

    @_batchable("text")
    def predict(self, texts: list[str]) -> list[Any]:
        """Probabilities a text."""
        return _plain(self._model.require().predict(texts))

    @bentoml.api
    def predict_parcel(self, parcel: Any, /) -> Any:
        """One answer a text."""
        return _parcel(self._model, "predict", parcel)


@_runner("speech_runner", SETTINGS.runner_timeout_seconds)
class SpeechRunner:
    """The speech model."""

    def __init__(self) -> None:
        self._model = _load("speech")

    @bentoml.api
    async def problems_parcel(self, parcel: Any, /) -> Any:
        """What is wrong with the model."""
        return _problems(parcel, self._model)

    @_batchable("speech")
    def predict(self, windows: list[list[float]]) -> list[Any]:
        """Probabilities a window of mono 16 kHz samples."""
        return _plain(self._model.require().predict([np.asarray(window, np.float32) for window in windows]))

    @bentoml.api
    def predict_parcel(self, parcel: Any, /) -> Any:
        """One answer a window."""
        return _parcel(self._model, "predict", parcel)


@_runner("face_runner", SETTINGS.runner_timeout_seconds)
class FaceRunner:
    """The face detector, and the model of what a face expresses."""

    def __init__(self) -> None:
        self._detector = _load("detector")
        self._model = _load("face")

    @bentoml.api
    async def problems_parcel(self, parcel: Any, /) -> Any:
        """What is wrong with the models."""
        return _problems(parcel, self._detector, self._model)

    @_batchable("detector")
    def detect(self, pictures: list[list[list[list[int]]]]) -> list[Any]:
        """Faces a picture (h, w, 3)."""
        found = self._detector.require().detect([np.asarray(picture, np.uint8) for picture in pictures])
        return [asdict(faces) if isinstance(faces, Failed) else [_face(face) for face in faces] for faces in found]

    @bentoml.api
    def detect_parcel(self, parcel: Any, /) -> Any:
        """One answer a picture."""
        return _parcel(self._detector, "detect", parcel)

    @_batchable("face")
    def predict(self, crops: list[list[list[list[int]]]]) -> list[Any]:
        """Probabilities an aligned crop (h, w, 3)."""
        return _plain(self._model.require().predict([np.asarray(crop, np.uint8) for crop in crops]))

    @bentoml.api
    def predict_parcel(self, parcel: Any, /) -> Any:
        """One answer a crop."""
        return _parcel(self._model, "predict", parcel)


@_runner("transcript_runner", SETTINGS.runner_timeout_seconds + SETTINGS.max_audio_seconds)
class TranscriptRunner:
    """The transcription model; without weights the service runs, and says so when it is asked."""

    def __init__(self) -> None:
        try:
            self._model = _load("transcript")
        except TranscriptUnavailable as error:
            self._model, self._absent = None, Failed(str(error))

    @bentoml.api
    async def problems_parcel(self, parcel: Any, /) -> Any:
        """What is wrong with the model."""
        return Parcel([self._absent.detail]) if self._model is None else _problems(parcel, self._model)

    @_batchable("transcript")
    def transcribe(self, recordings: list[list[float]]) -> list[Any]:
        """Words a recording of mono 16 kHz samples."""
        return _plain(self._words([np.asarray(samples, np.float32) for samples in recordings]))

    @bentoml.api
    def transcribe_parcel(self, parcel: Any, /) -> Any:
        """One answer a recording."""
        if self._model is None:
            return Parcel([self._absent] * len(parcel.items))
        return _parcel(self._model, "transcribe", parcel)

    def _words(self, recordings: list[Any]) -> list[Any]:
        return [self._absent] * len(recordings) if self._model is None else self._model.require().transcribe(recordings)


def _face(face: Any) -> dict[str, Any]:
    return {"box": face.box, "score": face.score, "landmarks": face.landmarks.tolist()}
