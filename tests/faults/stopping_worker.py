"""A job worker that kills itself at a named stage: `python -m tests.faults.stopping_worker decoding 3`.

The stages are moments of the real worker's own code, which is wrapped here and nowhere else.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from service import worker
from service.jobs import parts, work
from service.jobs.store import JobStore
from service.jobs.texts import TextsWork
from service.jobs.workshop import Workshop
from service.pipelines.checkpoint import Bookmark

STAGES: dict[str, tuple[Any, str, bool]] = {
    "popped": (Workshop, "work", False),
    "claimed": (Workshop, "_hold", False),
    "decoding": (Bookmark, "unread", False),
    "writing_a_part": (parts, "write_whole", False),
    "part_written": (parts.PartsNotebook, "_write", True),
    "part_told": (JobStore, "end_part", True),
    "writing_the_result": (work, "write_whole", False),
    "result_written": (Workshop, "_end", False),
    "rows_written": (TextsWork, "_append", True),
    "rows_done": (TextsWork, "finish", False),
}
"""Where each is, and whether the worker dies after it instead of before."""


def stop_at(stage: str, time: int) -> None:
    """Have the worker die when the stage is reached for the `time`th time."""
    place, name, after = STAGES[stage]
    original: Callable[..., Any] = getattr(place, name)
    reached = 0

    def dies() -> bool:
        nonlocal reached
        reached += 1
        return reached == time

    def wrapped(*arguments: Any, **named: Any) -> Any:
        last = dies()
        if last and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(*arguments, **named)
        return _dying(result) if last else result

    setattr(place, name, wrapped)


def _dying(result: Any) -> Any:
    if not hasattr(result, "__await__"):
        os.kill(os.getpid(), signal.SIGKILL)

    async def awaited() -> Any:
        await result
        os.kill(os.getpid(), signal.SIGKILL)

    return awaited()


if __name__ == "__main__":
    stop_at(sys.argv[1], int(sys.argv[2]))
    worker.main()
