"""Jobs for workers that die."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.faults.yard import Yard, opened_yard


@pytest.fixture
async def yard(tmp_path: Path) -> AsyncIterator[Yard]:
    """Jobs in a folder of the test's own."""
    async with opened_yard(tmp_path, tmp_path) as opened:
        yield opened
    shutil.rmtree(tmp_path, ignore_errors=True)
