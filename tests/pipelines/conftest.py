"""The pipelines over the real models, all in this process, and the real decoder."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from service.domain.analysis import Analysis
from service.media.decoder import Decoder
from service.media.limits import Limits
from service.pipelines import Options
from service.pipelines.analyze import Inputs, analyze
from service.pipelines.media import Tools
from service.runners.connect import connect
from service.settings import Settings

Ask = Callable[..., Awaitable[Analysis]]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def tools() -> AsyncIterator[Tools]:
    """What pipelines work with."""
    settings = Settings()
    models, decoder = connect(settings), Decoder(Limits())
    await models.start()
    await decoder.start()
    yield Tools(models, decoder, settings)
    await decoder.close()
    await models.close()


@pytest.fixture
def ask(tools: Tools, samples: Path) -> Ask:
    """`ask(audio="jfk.ogg", detail="full")` -> the answer for that sample."""

    async def asking(text: str | None = None, **named: Any) -> Analysis:
        files = {kind: samples / kind / named.pop(kind) for kind in ("audio", "image", "video") if kind in named}
        return await analyze(Inputs(text=text, **files), Options(**named), tools)

    return asking


def codes(answer: Analysis) -> set[str]:
    """The codes of the warnings."""
    return {notice.code for notice in answer.warnings}
