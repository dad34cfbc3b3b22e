"""What the database knows of jobs: every change of state is one statement that also says what must have been before."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy import CursorResult, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from service.database import Database
from service.database.errors import told_as_gone
from service.database.whole import whole
from service.history.tables import AuditRow
from service.jobs.progress import Progress
from service.jobs.tables import JobEventRow, JobRow, JobWorkerRow

State = Literal["queued", "running", "done", "failed", "cancelled"]
Unit = Literal["seconds", "rows", "files"]
JobKind = Literal["text", "audio", "image", "video", "multimodal", "texts"]

ENDED = frozenset({"done", "failed", "cancelled"})
"""States that no job leaves."""

PORTION = 500
"""So many jobs go into one statement: drivers take 32,767 parameters at most."""
_BLANK = ""
"""The digest of a job whose content was removed."""

_jobs: Any = JobRow.__table__
_events: Any = JobEventRow.__table__
_workers: Any = JobWorkerRow.__table__
_audit: Any = AuditRow.__table__


@dataclass(frozen=True)
class Job:
    """One job as the database knows it. Times are Unix seconds."""

    id: str
    owner: str
    kind: JobKind
    state: State
    request: Mapping[str, Any]
    digest: str
    created: float
    unit: Unit
    idempotency_key: str | None = None
    started: float | None = None
    ended: float | None = None
    expires: float | None = None
    queued: float = 0.0
    done: float = 0.0
    total: float | None = None
    parts: int = 0
    worker: str | None = None
    lease_until: float = 0.0
    attempts: int = 0
    problem: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Unfinished:
    """What tells whether somebody works on a job that is not over."""

    id: str
    state: State
    queued: float
    worker: str | None
    lease_until: float


@dataclass(frozen=True)
class Event:
    """One thing that happened to a job; numbers rise."""

    number: int
    name: str
    data: Mapping[str, Any]


@dataclass(frozen=True)
class Counts:
    """How many jobs there are of those that are not over, and whether somebody works."""

    queued: int = 0
    running: int = 0
    workers: int = 0
    oldest_queued: float | None = field(default=None)
    """Since when the job that waits longest has been in the queue."""


class JobStore:
    """The jobs of one database. Every method raises `DatabaseError` where it does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[AsyncConnection]:
        """A transaction, which is committed at the end. Raises `DatabaseError`."""
        await self._database.open()
        with told_as_gone():
            async with self._database.engine.begin() as connection:
                yield connection

    @whole
    async def add(self, job: Job) -> bool:
        """Take a job in; False if its owner has used its idempotency key before."""
        try:
            async with self._connection() as connection:
                values = {name: getattr(job, name) for name in _jobs.columns.keys()}  # noqa: SIM118 (no mapping)
                await connection.execute(insert(_jobs).values(**values))
                await _tell(connection, job.id, "progress", _progress("queued", Progress(0.0, job.total)))
        except IntegrityError:
            return False
        return True

    @whole
    async def find(self, job: str, owner: str | None = None) -> Job | None:
        """The job of this identifier, if it is the owner's."""
        query = select(_jobs).where(_jobs.c.id == job)
        return await self._one(query if owner is None else query.where(_jobs.c.owner == owner))

    @whole
    async def find_by_key(self, owner: str, key: str) -> Job | None:
        """The job that stands behind an idempotency key of an owner."""
        return await self._one(select(_jobs).where(_jobs.c.owner == owner, _jobs.c.idempotency_key == key))

    @whole
    async def of_owner(self, owner: str, before: str | None, limit: int) -> list[Job]:
        """The newest jobs of an owner that are older than the job `before`."""
        query = select(_jobs).where(_jobs.c.owner == owner).order_by(_jobs.c.id.desc()).limit(limit)
        return await self._all(query if before is None else query.where(_jobs.c.id < before))

    @whole
    async def claim(self, job: str, worker: str, lease_seconds: float) -> Job | None:
        """Take a job on, if it waits or whoever worked on it is gone. At most one worker gets it."""
        now = time.time()
        free = or_(_jobs.c.state == "queued", (_jobs.c.state == "running") & (_jobs.c.lease_until < now))
        async with self._connection() as connection:
            taken = await connection.execute(
                update(_jobs)
                .where(_jobs.c.id == job, free)
                .values(
                    state="running",
                    worker=worker,
                    lease_until=now + lease_seconds,
                    started=func.coalesce(_jobs.c.started, now),
                    attempts=_jobs.c.attempts + 1,
                )
            )
            if not _hit(taken):
                return None
            row = (await connection.execute(select(_jobs).where(_jobs.c.id == job))).mappings().one()
            await _tell(connection, job, "progress", _progress("running", Progress(row["done"], row["total"])))
        return Job(**row)

    @whole
    async def renew(self, job: str, worker: str, lease_seconds: float, progress: Progress) -> bool:
        """Go on holding a job, and say how far it is; False if it was cancelled or is another's by now."""
        async with self._connection() as connection:
            held = await connection.execute(
                _held(job, worker).values(
                    lease_until=time.time() + lease_seconds, done=progress.done, total=progress.total
                )
            )
            if _hit(held):
                await _tell_progress(connection, job, progress)
            return _hit(held)

    @whole
    async def while_held(self, job: str, worker: str, write: Callable[[AsyncConnection], Awaitable[None]]) -> bool:
        """Write what a job brings, in a transaction in which nobody else calls it off; False, and nothing, as above."""
        async with self._connection() as connection:
            if not _hit(await connection.execute(_held(job, worker).values(worker=worker))):
                return False
            await write(connection)
            return True

    @whole
    async def end_part(self, job: str, worker: str, progress: Progress, partial: Mapping[str, Any]) -> bool:
        """A part is safe on disk: count it and tell of it; False as in `renew`."""
        async with self._connection() as connection:
            held = await connection.execute(
                _held(job, worker).values(done=progress.done, total=progress.total, parts=_jobs.c.parts + 1, attempts=1)
            )
            if _hit(held):
                await _tell(connection, job, "partial", partial)
            return _hit(held)

    @whole
    async def end(
        self,
        job: str,
        worker: str,
        state: State,
        keep_seconds: float,
        *,
        progress: Progress | None = None,
        problem: Mapping[str, Any] | None = None,
    ) -> bool:
        """The work is over; False if the job was cancelled or is another's by now."""
        now = time.time()
        values: dict[str, Any] = {"state": state, "ended": now, "expires": now + keep_seconds, "problem": problem}
        if progress is not None:
            values |= {"done": progress.done, "total": progress.total}
        async with self._connection() as connection:
            ended = await connection.execute(_held(job, worker).values(**values, worker=None, lease_until=0.0))
            if _hit(ended):
                data = {"problem": problem} if problem is not None else {"result": f"/v1/jobs/{job}/result"}
                await _tell(connection, job, state, data)
            return _hit(ended)

    @whole
    async def give_back(self, job: str, worker: str) -> bool:
        """Stop working on a job that is not done, through no fault of its own; another takes it on."""
        values = {"state": "queued", "worker": None, "lease_until": 0.0, "queued": time.time()}
        async with self._connection() as connection:
            return _hit(await connection.execute(_held(job, worker).values(**values, attempts=_jobs.c.attempts - 1)))

    @whole
    async def cancel(self, job: str, keep_seconds: float) -> int | None:
        """Call a job off that is not over; whoever works on it notices when it next says that it lives.

        The number of the audit row that says so; None, and nothing is done, if it is over.
        """
        now = time.time()
        async with self._connection() as connection:
            cancelled = await connection.execute(
                update(_jobs)
                .where(_jobs.c.id == job, _jobs.c.state.in_(("queued", "running")))
                .values(
                    state="cancelled",
                    ended=now,
                    expires=now + keep_seconds,
                    worker=None,
                    lease_until=0.0,
                )
            )
            if not _hit(cancelled):
                return None
            await _tell(connection, job, "cancelled", {})
            await _blank(connection, [job])  # afterwards, since event numbers follow the highest
            owner = (await connection.execute(select(_jobs.c.owner).where(_jobs.c.id == job))).scalar_one()
            return await _note_removal(connection, job, owner)

    @whole
    async def remove(self, job: str, owner: str) -> int:
        """Forget a job because its owner wants it; the number of the audit row that says so."""
        async with self._connection() as connection:
            await _forget(connection, [job])
            return await _note_removal(connection, job, owner)

    @whole
    async def forget(self, jobs: Sequence[str]) -> None:
        """Remove jobs and all that happened to them."""
        async with self._connection() as connection:
            for some in portions(jobs):
                await _forget(connection, some)

    @whole
    async def blank(self, jobs: Sequence[str]) -> None:
        """Remove what jobs were sent and what they found, and keep that they were; their keys are free again."""
        async with self._connection() as connection:
            for some in portions(jobs):
                await _blank(connection, some)

    @whole
    async def events(self, job: str, after: int, limit: int = 100) -> list[Event]:
        """What happened to a job after the event of this number."""
        query = (
            select(_events.c.number, _events.c.name, _events.c.data)
            .where(_events.c.job == job, _events.c.number > after)
            .order_by(_events.c.number)
            .limit(limit)
        )
        async with self._connection() as connection:
            return [Event(*row) for row in await connection.execute(query)]

    @whole
    async def counts(self, alive_seconds: float) -> Counts:
        """How many jobs wait and run, and how many workers said that they live within `alive_seconds`."""
        states = select(_jobs.c.state, func.count(), func.min(_jobs.c.queued)).where(
            _jobs.c.state.in_(("queued", "running"))
        )
        alive = select(func.count()).select_from(_workers).where(_workers.c.seen > time.time() - alive_seconds)
        async with self._connection() as connection:
            found = {row[0]: row for row in await connection.execute(states.group_by(_jobs.c.state))}
            workers = (await connection.execute(alive)).scalar_one()
        waiting = found.get("queued", ("queued", 0, None))
        return Counts(waiting[1], found.get("running", ("", 0))[1], workers, waiting[2])

    @whole
    async def waiting_of(self, owner: str) -> int:
        """How many jobs of an owner wait."""
        query = select(func.count()).select_from(_jobs).where(_jobs.c.owner == owner, _jobs.c.state == "queued")
        async with self._connection() as connection:
            return (await connection.execute(query)).scalar_one()

    @whole
    async def running_of(self, owner: str) -> int:
        """How many jobs of an owner are worked on."""
        query = select(func.count()).select_from(_jobs).where(_jobs.c.owner == owner, _jobs.c.state == "running")
        async with self._connection() as connection:
            return (await connection.execute(query)).scalar_one()

    @whole
    async def unfinished(self) -> list[Unfinished]:
        """All jobs that wait or run, oldest first."""
        columns = (_jobs.c.id, _jobs.c.state, _jobs.c.queued, _jobs.c.worker, _jobs.c.lease_until)
        query = select(*columns).where(_jobs.c.state.in_(("queued", "running"))).order_by(_jobs.c.id)
        async with self._connection() as connection:
            return [Unfinished(*row) for row in await connection.execute(query)]

    @whole
    async def requeue(self, job: Unfinished) -> None:
        """Let a job wait again, from now on, unless it has gone on since it was read."""
        as_read = (_jobs.c.id == job.id, _jobs.c.state == job.state, _jobs.c.lease_until == job.lease_until)
        async with self._connection() as connection:
            await connection.execute(
                update(_jobs).where(*as_read).values(state="queued", queued=time.time(), worker=None, lease_until=0.0)
            )

    @whole
    async def expired(self, before: float, limit: int = PORTION, *, blank: bool) -> list[str]:
        """Some jobs that were to be kept until a time before this one: those that are blank by now, or the others."""
        is_blank = _jobs.c.digest == _BLANK
        query = select(_jobs.c.id).where(
            _jobs.c.state.in_(ENDED), _jobs.c.expires < before, is_blank if blank else ~is_blank
        )
        async with self._connection() as connection:
            return list((await connection.execute(query.order_by(_jobs.c.id).limit(limit))).scalars())

    @whole
    async def known(self, jobs: Sequence[str]) -> dict[str, str]:
        """The state of each of these that exists."""
        found: dict[str, str] = {}
        async with self._connection() as connection:
            for some in portions(jobs):
                query = select(_jobs.c.id, _jobs.c.state).where(_jobs.c.id.in_(some))
                found |= {row[0]: row[1] for row in await connection.execute(query)}
        return found

    @whole
    async def alive(self, worker: str, forget_seconds: float) -> None:
        """A worker lives; those that have not said so for long are forgotten."""
        now = time.time()
        async with self._connection() as connection:
            seen = await connection.execute(update(_workers).where(_workers.c.name == worker).values(seen=now))
            if not _hit(seen):
                await connection.execute(insert(_workers).values(name=worker, seen=now))
            await connection.execute(delete(_workers).where(_workers.c.seen < now - forget_seconds))

    @whole
    async def gone(self, worker: str) -> None:
        """A worker ends."""
        async with self._connection() as connection:
            await connection.execute(delete(_workers).where(_workers.c.name == worker))

    async def _one(self, query: Any) -> Job | None:
        return next(iter(await self._all(query)), None)

    async def _all(self, query: Any) -> list[Job]:
        async with self._connection() as connection:
            return [Job(**row) for row in (await connection.execute(query)).mappings()]


def portions(jobs: Sequence[str]) -> Iterator[Sequence[str]]:
    """The same jobs, as many at a time as one statement takes."""
    return (jobs[begin : begin + PORTION] for begin in range(0, len(jobs), PORTION))


def _held(job: str, worker: str) -> Any:
    return update(_jobs).where(_jobs.c.id == job, _jobs.c.worker == worker, _jobs.c.state == "running")


def _hit(result: CursorResult[Any]) -> bool:
    return result.rowcount == 1


async def _forget(connection: AsyncConnection, jobs: Sequence[str]) -> None:
    await connection.execute(delete(_events).where(_events.c.job.in_(jobs)))
    await connection.execute(delete(_jobs).where(_jobs.c.id.in_(jobs)))


async def _note_removal(connection: AsyncConnection, job: str, owner: str) -> int:
    values = {"at": time.time_ns() // 1_000_000, "actor": owner, "action": "job.delete", "subject": job}
    noted = await connection.execute(insert(_audit).values(**values, affected=1).returning(_audit.c.id))
    return noted.scalar_one()


async def _blank(connection: AsyncConnection, jobs: Sequence[str]) -> None:
    """Content is in the request (a text, options), its digest, and in what was told part by part."""
    blank = {"request": {}, "digest": _BLANK, "idempotency_key": None}  # to send it again is to want it again
    await connection.execute(update(_jobs).where(_jobs.c.id.in_(jobs)).values(**blank))
    await connection.execute(delete(_events).where(_events.c.job.in_(jobs), _events.c.name == "partial"))


async def _tell(connection: AsyncConnection, job: str, name: str, data: Mapping[str, Any]) -> None:
    """Write down what happened; the job's row is locked by the statement before, so numbers are not given twice."""
    last = select(func.coalesce(func.max(_events.c.number), 0) + 1).where(_events.c.job == job)
    number = (await connection.execute(last)).scalar_one()
    await connection.execute(insert(_events).values(job=job, number=number, name=name, data=dict(data)))


async def _tell_progress(connection: AsyncConnection, job: str, progress: Progress) -> None:
    """Tell how far it is, in place of what was told last if that was progress too: the stream needs the newest only."""
    last = select(_events.c.number, _events.c.name, _events.c.data).where(_events.c.job == job)
    row = (await connection.execute(last.order_by(_events.c.number.desc()).limit(1))).first()
    data = _progress("running", progress)
    if row is not None and row.data == data:
        return
    if row is not None and row.name == "progress":
        await connection.execute(delete(_events).where(_events.c.job == job, _events.c.number == row.number))
        values = {"job": job, "number": row.number + 1, "name": "progress", "data": data}
        await connection.execute(insert(_events).values(**values))
        return
    await _tell(connection, job, "progress", data)


def _progress(state: str, progress: Progress) -> dict[str, Any]:
    return {"state": state, "done": round(progress.done, 3), "total": progress.total and round(progress.total, 3)}
