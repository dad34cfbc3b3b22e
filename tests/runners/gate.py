"""A small gateway over the real runner services, for the tests of the way there and back."""

from __future__ import annotations

from typing import Any

import bentoml
import numpy as np
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from service.runners import RunnerError
from service.runners.connect import ConnectedModels, connect
from service.runners.services import FaceRunner, SpeechRunner, TextRunner, TranscriptRunner
from service.settings import load_settings

RUNNERS = ("text", "speech", "face", "transcript")


def inputs(crop_size: int) -> dict[str, Any]:
    """The same arrays of unequal sizes in every process."""
    rng = np.random.default_rng(7)
    return {
        "speech": [rng.normal(0, 0.1, n).astype(np.float32) for n in (8000, 16_000, 9001)],
        "detect": [rng.integers(0, 255, shape, np.uint8) for shape in ((360, 640, 3), (64, 48, 3), (900, 1600, 3))],
        "face": [rng.integers(0, 255, (crop_size, crop_size, 3), np.uint8) for _ in range(3)],
    }


async def answers(models: ConnectedModels) -> dict[str, Any]:
    """What the models say of `inputs`, as JSON holds it."""
    given = inputs(models.info["face"].settings.get("crop_size", 64))
    heard = await models.speech(given["speech"])
    found = await models.detect(given["detect"])
    seen = await models.face(given["face"])
    return {
        "speech": [[list(one.probabilities), dict(one.emotions)] for one in heard],
        "detect": [[[list(face.box), face.score, face.landmarks.tolist()] for face in faces] for faces in found],
        "face": [[list(one.probabilities), dict(one.emotions)] for one in seen],
    }


async def _text(request: Request) -> JSONResponse:
    """Through the collector."""
    try:
        (prediction,) = await app.state.models.text([request.query_params["q"]])
    except RunnerError as error:
        return JSONResponse({"error": str(error)}, status_code=503)
    return JSONResponse(list(prediction.probabilities))


async def _single(request: Request) -> JSONResponse:
    """Past the collector: a call of the runner's own batchable method for each request."""
    (answer,) = await app.state.gate.text.to_async.predict([request.query_params["q"]])
    return JSONResponse(answer["probabilities"])


async def _answers(_: Request) -> JSONResponse:
    return JSONResponse(await answers(app.state.models))


async def _transcript(_: Request) -> JSONResponse:
    written = await app.state.models.transcribe(np.zeros(16_000, np.float32), "en")
    return JSONResponse({"language": written.language, "segments": len(written.segments)})


async def _health(_: Request) -> JSONResponse:
    return JSONResponse(await app.state.models.health())


app = Starlette(
    routes=[
        Route("/text", _text),
        Route("/single", _single),
        Route("/answers", _answers),
        Route("/transcript", _transcript),
        Route("/health", _health),
    ]
)


@bentoml.service(name="gate", metrics={"enabled": False}, logging={"access": {"enabled": False}})
@bentoml.asgi_app(app, path="/")
class Gate:
    """Depends on every runner."""

    text = bentoml.depends(TextRunner)
    speech = bentoml.depends(SpeechRunner)
    face = bentoml.depends(FaceRunner)
    transcript = bentoml.depends(TranscriptRunner)

    @bentoml.on_startup
    async def start(self) -> None:
        """Connect to the runners."""
        app.state.gate = self
        app.state.models = connect(load_settings(), {name: getattr(self, name) for name in RUNNERS})
        await app.state.models.start()
