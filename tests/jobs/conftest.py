"""Jobs as a gateway sees them, in folders of a test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service.database import Database
from service.jobs.intake import Jobs, Wish
from service.settings import Settings

WISH = Wish(owner="me", kind="texts", request={"format": "txt"}, digest="d", unit="rows")


async def opened(tmp_path: Path, **settings) -> AsyncIterator[Jobs]:
    """Jobs with these settings, until they are done with."""
    chosen = Settings(state_folder=tmp_path, **{"min_free_bytes": 0, **settings})
    database = Database.of(chosen)
    yield Jobs(chosen, database)
    await database.close()


@pytest.fixture
async def jobs(tmp_path: Path) -> AsyncIterator[Jobs]:
    async for one in opened(tmp_path, max_queued_jobs=3):
        yield one


def folders(jobs: Jobs) -> list[str]:
    """The names of what lies in the folder of the jobs, beside what is coming in."""
    return [path.name for path in jobs.folders.root.iterdir() if path.name != "incoming"]
