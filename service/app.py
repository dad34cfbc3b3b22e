"""The BentoML service: a gateway over the runners. `bentoml serve service.app:Gateway` starts them all."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
from typing import TYPE_CHECKING, Any

import bentoml
from _bentoml_sdk import Service

from service import server
from service.access.configured import build_door, warn_if_open
from service.api import application
from service.api.edge import Edge
from service.api.turned_away import answer_to
from service.clock import WallClock
from service.history.retention import Retention
from service.media.decoder import Decoder
from service.media.limits import Limits
from service.observability import logs, metrics
from service.pipelines.media import Tools
from service.runners.connect import connect
from service.runners.middlewares import drop_middlewares
from service.runners.services import FaceRunner, SpeechRunner, TextRunner, TranscriptRunner
from service.settings import Settings, load_settings

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.types import ASGIApp

GC_THRESHOLD = 50_000
"""New objects between collections. On a busy machine a text request without its model took 0.31 and 0.45 ms on average
with this and what is alive at start frozen, 0.40 and 0.65 ms with Python's own 700."""

log = logging.getLogger("service.app")

settings = load_settings()
api = application.build(settings)
door = build_door(settings)
if settings.limits_url is not None:
    api.state.backend.checks["Redis of rate limits"] = door.check_rates
# uvicorn would believe whatever this machine's own processes forward; SENTIMENT_TRUSTED_PROXIES decides instead.
os.environ["FORWARDED_ALLOW_IPS"] = ""


class GatewayService(Service):
    """A BentoML service whose application is our edge, with BentoML's own routes behind it."""

    def to_asgi(self, is_main: bool = True) -> ASGIApp:
        """What the server runs. Raises `UnexpectedBentoML`."""
        app: Starlette = super().to_asgi(is_main)  # type: ignore[assignment]
        drop_middlewares(app)
        lifecycle = api.state.backend.lifecycle
        server.install(lifecycle, settings, server.stop_gateway, answer_to)
        return Edge(application.routes(api), app, settings, lifecycle, door)


@bentoml.service(
    name="multimodal_sentiment",
    service_class=GatewayService,
    workers=settings.workers,
    http={"host": settings.host, "port": settings.port},  # pyright: ignore[reportArgumentType]  # a name will do
    traffic={"timeout": settings.request_timeout_seconds},
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
)
@bentoml.asgi_app(api, path="/")
class Gateway:
    """Takes requests, decodes their media, asks the runners, and fuses what they say."""

    if settings.media_runners == "process":
        speech = bentoml.depends(SpeechRunner)
        face = bentoml.depends(FaceRunner)
        transcript = bentoml.depends(TranscriptRunner)
    if settings.text_runner == "process":
        text = bentoml.depends(TextRunner)

    @bentoml.on_startup
    async def start(self) -> None:
        """Begin to load; until it is done, /readyz says so and requests get `not_ready`."""
        server.say_present()
        logs.configure(settings.log_level)
        warn_if_open(settings)
        metrics.build_info()
        api.state.backend.folder.open()
        self._starting = asyncio.create_task(self._start_tools())
        retention = Retention(
            api.state.backend.history, settings.history_days, settings.audit_days, WallClock.of(settings)
        )
        self._sweeping = asyncio.create_task(retention.run())
        await server.replacement(self._starting)

    @bentoml.on_shutdown
    async def stop(self) -> None:
        """Let go of models, decoders and files."""
        self._starting.cancel()
        self._sweeping.cancel()
        backend = api.state.backend
        tools, backend.tools = backend.tools, None
        if tools is not None:
            await tools.models.close()
            await tools.decoder.close()
        await backend.database.close()
        backend.folder.close()

    async def _start_tools(self) -> None:
        api.state.backend.tools = await self._started_tools()
        api.state.backend.start_problem = None
        # What is alive now stays alive: let the collector never look at it again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(GC_THRESHOLD)
        log.info("ready")

    async def _started_tools(self) -> Tools:
        """Models and decoder, as soon as they can be started. In a successor raises what the first try raises."""
        while True:
            decoder = Decoder(decoder_limits(settings))
            try:
                models = connect(settings, self._proxies(), metrics.ModelMetrics())
                await asyncio.gather(models.start(), decoder.start())
                server.insist(models.problems)
                return Tools(models, decoder, settings)
            except Exception as error:  # a damaged registry, a missing tokenizer: whoever asks must hear of it
                await decoder.close()
                if server.is_successor():
                    raise
                api.state.backend.start_problem = f"The service cannot be started: {error}"
                log.error("%s", api.state.backend.start_problem, exc_info=error)
            await asyncio.sleep(settings.reload_seconds)

    def _proxies(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("text", "speech", "face", "transcript") if hasattr(self, name)}


def decoder_limits(settings: Settings) -> Limits:
    """What one file may cost."""
    return Limits(
        max_pixels=settings.max_pixels,
        decoders=settings.decoders,
        memory_bytes=settings.decode_memory_bytes,
        cpu_seconds=settings.decode_cpu_seconds,
        stall_seconds=settings.decode_stall_seconds,
    )
