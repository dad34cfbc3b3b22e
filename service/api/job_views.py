"""What clients see of jobs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import cast

import orjson
from typing_extensions import TypedDict

from service.api.problems import Problem
from service.api.schemas import DOCUMENTED, DOCUMENTED_DICT
from service.jobs.store import Event, Job, JobKind, State, Unit


@dataclass(frozen=True)
class JobProgress:
    """How far a job is: so much of a total, in its unit."""

    __pydantic_config__ = DOCUMENTED

    fraction: float
    """In [0, 1]; 1 when it is done."""
    done: float
    total: float | None
    """Null while it is not known. Some files tell their length only when they are read to the end."""
    unit: Unit
    """`seconds` of recordings, `rows` of texts, or `files`."""


@dataclass(frozen=True)
class JobView:
    """Work that outlives its request."""

    __pydantic_config__ = DOCUMENTED

    id: str
    kind: JobKind
    """`texts` for a file of texts; else what was sent, as in an `Analysis`."""
    state: State
    progress: JobProgress
    created: str
    """RFC 3339, UTC; so are the others."""
    started: str | None
    ended: str | None
    expires: str | None
    """When the result, or what is known of the job, will be removed; null while it is not over."""
    problem: Problem | None
    """Why it failed."""


class JobPage(TypedDict):
    """Some jobs, newest first."""

    __pydantic_config__ = DOCUMENTED_DICT  # type: ignore[misc]

    jobs: list[JobView]
    next: str | None
    """The `cursor` of the next page; null on the last."""


def view(job: Job) -> JobView:
    """A job as its owner sees it."""
    return JobView(
        id=job.id,
        kind=job.kind,
        state=job.state,
        progress=JobProgress(_fraction(job.state, job.done, job.total), job.done, job.total, job.unit),
        created=_rfc3339(job.created) or "",
        started=_rfc3339(job.started),
        ended=_rfc3339(job.ended),
        expires=_rfc3339(job.expires),
        problem=cast("Problem | None", job.problem),
    )


def server_sent(event: Event, job: Job) -> bytes:
    """An event as it goes over the line (WHATWG HTML, section 9.2)."""
    data = dict(event.data)
    if event.name == "progress":
        state, done, total = data["state"], data["done"], data["total"]
        progress = JobProgress(_fraction(state, done, total), done, total, job.unit)
        data = {"state": state, "progress": progress}
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (event.number, event.name.encode(), orjson.dumps(data))


def _fraction(state: str, done: float, total: float | None) -> float:
    """Below 1 until it is done, whatever an estimated total says."""
    if state == "done":
        return 1.0
    return round(min(done / total, 0.999), 4) if total else 0.0


def _rfc3339(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
