"""The queue that carries the identifiers of jobs: huey, in a local file or in Redis.

The queue only wakes workers: what is to be done, and who does it, stands in the database. So a job that a worker popped
and died with is put in again, and one that is in the queue twice is worked on once.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import redis
from huey import Huey, RedisHuey, SqliteHuey
from huey.registry import Message

from service.jobs import QueueGone

NAME = "sentiment-jobs"
REDIS_SECONDS = 2.0
"""A Redis that takes longer to answer is gone."""

_ERRORS = (redis.RedisError, sqlite3.Error, OSError)


class JsonMessages:
    """Messages as JSON: huey's own are pickles, and whoever can write to the queue could run code in the workers."""

    def serialize(self, message: Any) -> bytes:
        """A message as bytes."""
        return orjson.dumps({"id": message.id, "name": message.name, "args": message.args})

    def deserialize(self, data: bytes) -> Message:
        """The message that `serialize` wrote; a `ValueError` otherwise."""
        read = orjson.loads(data)
        return Message(str(read["id"]), str(read["name"]), None, 0, 0, None, tuple(map(str, read["args"])), {})


class JobQueue:
    """Puts identifiers of jobs in; a worker takes them out with `consume`."""

    def __init__(self, url: str, folder: Path) -> None:
        """`url` is `redis://…`, or empty for a file in `folder`, which must exist."""
        self.huey = _huey(url, folder)
        self._work: Callable[[str], None] | None = None
        self._task = self.huey.task(name="work")(self._run)

    def consume(self, work: Callable[[str], None]) -> None:
        """What a consumer of `huey` shall do with each job."""
        self._work = work

    def put(self, job: str) -> None:
        """Put a job in, blocking. Raises `QueueGone`."""
        try:
            self._task(job)
        except _ERRORS as error:
            raise QueueGone("The queue of jobs does not answer; try again in a moment.") from error

    def size(self) -> int:
        """How many entries wait, blocking. Raises `QueueGone`."""
        try:
            return self.huey.pending_count()
        except _ERRORS as error:
            raise QueueGone("The queue of jobs does not answer; try again in a moment.") from error

    def waiting(self) -> set[str]:
        """The jobs in it, blocking. Raises `QueueGone`."""
        try:
            entries = self.huey.storage.enqueued_items()
        except _ERRORS as error:
            raise QueueGone("The queue of jobs does not answer; try again in a moment.") from error
        return {job for entry in entries for job in _read(entry)}

    def _run(self, job: str) -> None:
        if self._work is None:
            raise RuntimeError("nobody said what is to be done with a job")
        self._work(job)


def _read(entry: Any) -> tuple[str, ...]:
    try:
        return JsonMessages().deserialize(entry).args
    except (ValueError, KeyError, TypeError):  # whoever takes it out will complain
        return ()


def _huey(url: str, folder: Path) -> Huey:
    serializer = JsonMessages()
    if url:
        pool = redis.ConnectionPool.from_url(
            url, socket_timeout=REDIS_SECONDS, socket_connect_timeout=REDIS_SECONDS, health_check_interval=10
        )
        return RedisHuey(NAME, results=False, serializer=serializer, connection_pool=pool)
    return SqliteHuey(
        NAME, results=False, serializer=serializer, filename=str(folder / "queue.db"), fsync=True, timeout=REDIS_SECONDS
    )
