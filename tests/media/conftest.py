"""A real decoder with real processes, shared by the tests of a module."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from service.media.decoder import Decoder
from service.media.limits import Limits

CHECKOUT = Path(__file__).parents[2]
WAIT_SECONDS = 120.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def decoder() -> AsyncIterator[Decoder]:
    decoder = Decoder(Limits())
    await decoder.start()
    yield decoder
    await decoder.close()


@pytest.fixture
def put(tmp_path: Path) -> Callable[[str, bytes], Path]:
    """Write a file for a test."""

    def write(name: str, content: bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


async def eventually(holds: Callable[[], bool]) -> bool:
    """Whether something comes true, however busy the machine is."""
    deadline = asyncio.get_running_loop().time() + WAIT_SECONDS
    while not holds():
        if asyncio.get_running_loop().time() > deadline:
            return False
        await asyncio.sleep(0.02)
    return True


def is_running(pid: int) -> bool:
    """Alive and not merely waiting to be reaped."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
