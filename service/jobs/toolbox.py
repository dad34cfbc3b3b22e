"""A worker's models and decoder: loaded for its first job, and let go when it has been idle for long."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service.media.decoder import Decoder
from service.media.limits import Limits
from service.observability.metrics import ModelMetrics
from service.pipelines.media import Tools
from service.runners.connect import ConnectedModels, connect
from service.settings import Settings

PATIENCE = 6.0
"""A worker stands back behind requests, so its models may take this many times as long before they count as lost."""


class Toolbox:
    """Gives out `Tools` whose limits are those of jobs."""

    def __init__(self, settings: Settings) -> None:
        self._settings = _for_jobs(settings)
        self._limits = _decoder_limits(settings)
        self._tools: Tools | None = None
        self._models: ConnectedModels | None = None
        self._idle_since = time.monotonic()
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Tools]:
        """The tools, for one job at a time. Raises what loading raises."""
        async with self._lock:
            if self._tools is None:
                self._tools = await self._load()
            try:
                yield self._tools
            finally:
                self._idle_since = time.monotonic()

    async def tidy(self) -> None:
        """Let go of the tools if nobody has used them for long."""
        idle = time.monotonic() - self._idle_since
        if self._tools is not None and not self._lock.locked() and idle > 60 * self._settings.job_idle_minutes:
            await self.close()

    async def close(self) -> None:
        """Let go of the tools, and of the memory that they held."""
        tools, models = self._tools, self._models
        self._tools = self._models = None
        if tools is None or models is None:
            return
        await models.close()
        await tools.decoder.close()
        del tools, models
        gc.collect()
        if sys.platform == "linux":  # glibc keeps what is free unless it is asked
            ctypes.CDLL(None).malloc_trim(0)

    async def _load(self) -> Tools:
        models, decoder = connect(self._settings, observer=ModelMetrics()), Decoder(self._limits)
        try:
            await asyncio.gather(models.start(), decoder.start())
        except BaseException:
            await asyncio.gather(models.close(), decoder.close())
            raise
        self._models = models
        return Tools(models, decoder, self._settings)


def _for_jobs(settings: Settings) -> Settings:
    """The same settings with the limits of jobs in place of those of requests."""
    return settings.model_copy(
        update={
            "max_audio_seconds": settings.max_job_audio_seconds,
            "max_video_seconds": settings.max_job_video_seconds,
            "runner_timeout_seconds": PATIENCE * settings.runner_timeout_seconds,
        }
    )


def _decoder_limits(settings: Settings) -> Limits:
    """What one file may cost: as much processor time a second of it as at once, and patience while models work."""
    longer = max(
        settings.max_job_audio_seconds / settings.max_audio_seconds,
        settings.max_job_video_seconds / settings.max_video_seconds,
        1.0,
    )
    return Limits(
        max_pixels=settings.max_pixels,
        decoders=settings.decoders,
        memory_bytes=settings.decode_memory_bytes,
        cpu_seconds=round(longer * settings.decode_cpu_seconds),
        stall_seconds=PATIENCE * settings.decode_stall_seconds,
    )
