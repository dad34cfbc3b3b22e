"""What comes now and then in the soak, beside its steady requests: jobs of texts, and people before a camera."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import httpx

from tests.load.http_load import Result
from tests.load.streams import pictures, session, speech
from ui.problems import Problem, ServiceError

JOB_SECONDS = 60.0
"""A job that has not ended by then is an error: whoever works on it stands back, but not for ever."""
POLL_SECONDS = 0.5
NOT_AS_ASKED = 599
"""In place of a status: every answer was 200, and what came is not what was asked for."""

Visit = Callable[[], Awaitable[int]]
"""Somebody comes, and goes content (200) or with the status of what went wrong."""


@dataclass(frozen=True)
class Visits:
    """How often somebody comes with a job, and how often with a camera, in seconds between two; and how much of it."""

    job_every: float = 10.0
    job_rows: int = 200
    stream_every: float = 20.0
    stream_seconds: float = 10.0

    def rates(self) -> dict[str, float]:
        """Visits a second of each kind."""
        return {"job": 1 / self.job_every, "stream": 1 / self.stream_every}

    async def come(self, address: str, seconds: float) -> dict[str, Result]:
        """Let them come for so long, and wait for the last; latencies are from first to last word."""
        shown, spoken = pictures(), speech()

        async def streams() -> int:
            return await _live(address, self.stream_seconds, shown, spoken)

        async with httpx.AsyncClient(base_url=address, timeout=30) as client:

            async def jobs() -> int:
                return await _job(client, self.job_rows)

            job, stream = await asyncio.gather(
                _every(self.job_every, seconds, jobs), _every(self.stream_every, seconds, streams)
            )
        return {"job": job, "stream": stream}


async def _every(interval: float, seconds: float, visit: Visit) -> Result:
    """A visit each interval, whether or not the one before is over."""
    result, started = Result(), time.perf_counter()
    visits = []
    await asyncio.sleep(interval / 2)
    while time.perf_counter() - started < seconds:
        visits.append(asyncio.create_task(_timed(visit, result)))
        await asyncio.sleep(interval)
    await asyncio.gather(*visits)
    result.seconds = time.perf_counter() - started
    return result


async def _timed(visit: Visit, result: Result) -> None:
    asked = time.perf_counter()
    try:
        status = await visit()
    except httpx.TransportError:
        result.broken += 1
        return
    took = time.perf_counter() - asked
    result.latencies.append(took)
    result.sent.append((asked, took, status))
    result.statuses[status] = result.statuses.get(status, 0) + 1


async def _job(client: httpx.AsyncClient, rows: int) -> int:
    """Hand texts in, wait, fetch what each came to, and have the job removed."""
    texts = "".join(f"The soup of day {row} was warm and the waiter was kind\n" for row in range(rows))
    given = await client.post("/v1/jobs", files={"file": ("texts.txt", texts.encode())})
    if given.status_code != httpx.codes.ACCEPTED:
        return given.status_code
    where = given.headers["location"]
    state = await _state(client, where)
    answer = await client.get(f"{where}/result")
    if answer.status_code != httpx.codes.OK:
        return answer.status_code
    removed = await client.delete(where)
    if removed.status_code != httpx.codes.NO_CONTENT:
        return removed.status_code
    return httpx.codes.OK if state == "done" and _complete(answer.json(), rows) else NOT_AS_ASKED


async def _state(client: httpx.AsyncClient, where: str) -> str:
    """The state of a job once it is over, or when it took too long."""
    until, state = time.monotonic() + JOB_SECONDS, "queued"
    while state in ("queued", "running") and time.monotonic() < until:
        await asyncio.sleep(POLL_SECONDS)
        answer = await client.get(where)
        if answer.status_code != httpx.codes.OK:
            return "unknown"
        state = answer.json()["state"]
    return state


def _complete(answer: Mapping[str, list[Mapping[str, object]]], rows: int) -> bool:
    return len(answer["results"]) == rows and all("sentiment" in one for one in answer["results"])


async def _live(address: str, seconds: float, shown: list[bytes], spoken: bytes) -> int:
    """A face and a voice for a while; content if pictures were judged and the voice was heard to its end."""
    try:
        seen = await session(address, seconds, shown, spoken)
    except Problem as problem:
        return problem.status
    except ServiceError:
        return NOT_AS_ASKED
    return httpx.codes.OK if seen.latencies and seen.heard_seconds > seconds - 1.5 else NOT_AS_ASKED
