"""The service's application as a function of AWS Lambda, for texts and pictures.

It is the same application as everywhere, without BentoML around it: each instance of a function is one process that
answers one request at a time, so all models are in it, and there is nothing to supervise. What outlives a request
(jobs, streams) and what does not fit into an event (recordings) belongs to a container elsewhere.
"""

from __future__ import annotations

import asyncio

from mangum import Mangum
from starlette.types import Receive, Scope, Send

from service.access.configured import build_door
from service.api import application
from service.api.edge import Edge
from service.api.problems import ProblemError
from service.media.decoder import Decoder
from service.media.limits import Limits
from service.observability import logs, metrics
from service.pipelines.analyze import Tools
from service.runners.connect import connect
from service.settings import Settings, load_settings

TEXTS = ["text/", "application/json", "application/problem+json"]
"""Answers that an event carries as they are; all else is base64."""


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    raise ProblemError("not_found", "Nothing is here; /docs.json lists what is.")


async def _tools(settings: Settings) -> Tools:
    """Every model and the decoder, ready. Raises what loading raises: then Lambda starts another instance."""
    limits = Limits(
        max_pixels=settings.max_pixels,
        decoders=settings.decoders,
        memory_bytes=settings.decode_memory_bytes,
        cpu_seconds=settings.decode_cpu_seconds,
        stall_seconds=settings.decode_stall_seconds,
    )
    models, decoder = connect(settings, observer=metrics.ModelMetrics()), Decoder(limits)
    await asyncio.gather(models.start(), decoder.start())
    return Tools(models, decoder, settings)


def _started() -> Mangum:
    """The application, on an event loop that goes on from one request to the next."""
    settings = load_settings()
    logs.configure(settings.log_level)
    asyncio.set_event_loop(asyncio.new_event_loop())
    api = application.build(settings)
    backend = api.state.backend
    backend.folder.open()
    backend.tools = asyncio.get_event_loop().run_until_complete(_tools(settings))
    edge = Edge(application.routes(api), _nothing, settings, backend.lifecycle, build_door(settings))
    return Mangum(edge, lifespan="off", text_mime_types=TEXTS)


handler = _started()
