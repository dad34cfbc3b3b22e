"""A history in each database, and analyses to put in."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from datetime import datetime, timedelta, timezone

import pytest

from service.database import Database
from service.domain.analysis import Analysis, Modalities, TextPart
from service.domain.fusion import FusionRule, Opinion, fuse
from service.domain.sentiment import Prediction
from service.history.history import History, Stored

START = datetime(2026, 3, 1, tzinfo=timezone.utc)
MOODS = {"negative": (0.8, 0.1, 0.1), "neutral": (0.1, 0.8, 0.1), "positive": (0.1, 0.1, 0.8)}
_numbers = itertools.count(1)


def analysis(label: str | None = "positive", text: str = "I love it", minutes: float = 0) -> Analysis:
    """An analysis of a text, made so many minutes after `START`; None for one without evidence."""
    fused = fuse({"text": Opinion(Prediction(MOODS[label]))} if label else {}, FusionRule())
    parts: Modalities = {"text": TextPart(fused.sentiment, {}, text, "given")} if label else {}
    return Analysis(
        id=f"{next(_numbers):026d}",
        created=(START + timedelta(minutes=minutes)).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        kind="text",
        sentiment=fused.sentiment,
        emotions={},
        modalities=parts,
        fusion=fused.fusion,
    )


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A database of this test's own."""
    opened = Database(database_url)
    yield opened
    await opened.close()


@pytest.fixture
def history(database: Database) -> History:
    """The history in it."""
    return History(database)


async def listed(rows: AsyncIterator[Stored]) -> list[Stored]:
    """All of them."""
    return [stored async for stored in rows]
