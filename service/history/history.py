"""Stored analyses of one database. Whatever is asked, an owner's rows are seen by that owner alone."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

import orjson
from pydantic import AwareDatetime, BeforeValidator, Field
from sqlalchemy import ColumnElement, Select, delete, insert, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from service.database import Database
from service.database.errors import DatabaseGone
from service.database.whole import whole
from service.domain.analysis import Analysis
from service.domain.labels import Label, Modality
from service.history.tables import AuditRow, HistoryRow

PORTION_ROWS = 5_000
"""So many rows are removed in one transaction: SQLite takes 0.1 s to overwrite them with zeros."""
FIRST_BATCH_ROWS = 20
BATCH_BYTES = 1_000_000
"""About so much is read at once: an analysis of a text has 1 kB, one of an hour of video a thousand times that."""
MAX_BATCH_ROWS = 500
RETENTION = "retention"
"""Who removes what has become too old."""

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)

_history: Any = HistoryRow.__table__
_audit: Any = AuditRow.__table__

log = logging.getLogger(__name__)


def _written_out(value: object) -> object:
    """A moment as RFC 3339 writes it; pydantic would take numbers and dates too."""
    if isinstance(value, str) and not _RFC3339.fullmatch(value):
        raise ValueError("write it as in 2026-11-23T12:00:00Z")
    return value


Moment = Annotated[AwareDatetime, BeforeValidator(_written_out)]


@dataclass(frozen=True)
class Wanted:
    """Which rows; None wants any."""

    label: Annotated[Literal[Label, "abstained"] | None, Field(description="The verdict that they gave.")] = None
    modality: Annotated[Modality | None, Field(description="One that was analysed.")] = None
    since: Annotated[Moment | None, Field(description="The earliest moment that they were made at (RFC 3339).")] = None
    until: Annotated[Moment | None, Field(description="The first moment that is too late (RFC 3339).")] = None


@dataclass(frozen=True)
class Place:
    """Between two rows, newest first: after the one that was made then (Unix milliseconds) and has this id."""

    created: int
    id: str


@dataclass(frozen=True)
class Stored:
    """One row: where it stands, and the JSON of its analysis as it was answered."""

    place: Place
    analysis: str


@dataclass(frozen=True)
class Deed:
    """What an audit row says was done, by whom, and to what."""

    actor: str
    action: str
    subject: str


@dataclass(frozen=True)
class Removal:
    """What a removal did: the number of its audit row (None where nothing was there), and how many rows went."""

    audit: int | None = None
    affected: int = 0


@dataclass
class _Attempt:
    """How far a transaction is that somebody waits for."""

    late: bool = False
    """Nobody waits any more: it must not be committed."""
    commits: bool = False
    """It is being committed, and cannot be given up."""


class History:
    """What callers asked to be kept. Every method raises `DatabaseError` where the database does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def save(self, analyses: Sequence[Analysis], owner: str) -> None:
        """Keep analyses: all of them, or none."""
        await self._save(analyses, owner, _Attempt())

    async def save_within(self, seconds: float, analyses: Sequence[Analysis], owner: str) -> None:
        """Keep analyses as `save` does if that can be done in time; where it raises `DatabaseError`, none is kept.

        A transaction that is not about to be committed by then is given up; one that is, is waited for.
        """
        attempt = _Attempt()
        saving = asyncio.ensure_future(self._save(analyses, owner, attempt))
        saving.add_done_callback(_heard)
        await asyncio.wait((saving,), timeout=seconds)
        if not saving.done() and not attempt.commits:
            attempt.late = True
            raise DatabaseGone("The database takes too long to answer.")
        await saving

    @whole
    async def _save(self, analyses: Sequence[Analysis], owner: str, attempt: _Attempt) -> None:
        rows = [_row(analysis, owner) for analysis in analyses]
        async with self._database.transaction() as session:
            await session.execute(insert(_history), rows)
            if attempt.late:
                raise DatabaseGone("Nobody waits for this any more.")
            attempt.commits = True

    @whole
    async def find(self, identifier: str, owner: str) -> str | None:
        """The JSON of one analysis."""
        if not self._database.exists:
            return None
        query = select(_history.c.analysis).where(_history.c.id == identifier, _history.c.owner == owner)
        async with self._database.transaction() as session:
            return (await session.execute(query)).scalar_one_or_none()

    async def newest(self, owner: str, wanted: Wanted, after: Place | None = None) -> AsyncGenerator[Stored]:
        """The rows after a place, newest first.

        They are read in batches by where the last one stood, so that rows which come and go meanwhile neither repeat
        nor hide others, and that no transaction stays open while a client reads slowly.
        """
        size = FIRST_BATCH_ROWS
        while self._database.exists and (batch := await self._batch(owner, wanted, after, size)):
            for stored in batch:
                yield stored
            if len(batch) < size:
                return
            after = batch[-1].place
            length = sum(len(stored.analysis) for stored in batch) // len(batch)
            size = max(1, min(MAX_BATCH_ROWS, BATCH_BYTES // max(length, 1)))

    async def remove(self, identifier: str, owner: str, known_as: str) -> Removal:
        """Remove one analysis. `known_as` is what log lines call the owner."""
        which = (_history.c.id == identifier) & (_history.c.owner == owner)
        return await self._remove(which, Deed(owner, "history.delete", identifier), known_as)

    async def remove_all(self, owner: str, known_as: str) -> Removal:
        """Remove all analyses of an owner."""
        return await self._remove(_history.c.owner == owner, Deed(owner, "history.delete_all", "all"), known_as)

    async def sweep(self, older_than: float) -> int:
        """Remove what was made before a Unix time in seconds, whoever owns it; how many that were."""
        which = _history.c.created < round(1000 * older_than)
        return (await self._remove(which, Deed(RETENTION, "history.expire", "all"), RETENTION)).affected

    @whole
    async def sweep_audit(self, older_than: float) -> None:
        """Remove the audit rows of before a Unix time in seconds."""
        if self._database.exists:
            async with self._database.transaction() as session:
                await session.execute(delete(_audit).where(_audit.c.at < round(1000 * older_than)))

    @whole
    async def _batch(self, owner: str, wanted: Wanted, after: Place | None, size: int) -> list[Stored]:
        query = _selected(owner, wanted)
        if after is not None:
            query = query.where(tuple_(_history.c.created, _history.c.id) < tuple_(after.created, after.id))
        query = query.order_by(_history.c.created.desc(), _history.c.id.desc()).limit(size)
        async with self._database.transaction() as session:
            rows = (await session.execute(query)).all()
        return [Stored(Place(row.created, row.id), row.analysis) for row in rows]

    @whole
    async def _remove(self, which: ColumnElement[bool], deed: Deed, known_as: str) -> Removal:
        """Remove rows in portions, so that others get their turn to write; the audit row goes with the first."""
        done = Removal()
        try:
            while self._database.exists:
                async with self._database.transaction() as session:
                    removed = await _remove_some(session, which)
                    if removed:
                        done = Removal(await _note(session, deed, removed, done.audit), done.affected + removed)
                if removed < PORTION_ROWS:
                    break
        finally:
            if done.affected:
                _tell(known_as, deed, done.affected)
        if done.affected:
            await self._database.forget()
        return done


async def keep_once(connection: AsyncConnection, analysis: Analysis, owner: str) -> None:
    """Keep an analysis in somebody's transaction, unless it is there already."""
    found = select(_history.c.id).where(_history.c.id == analysis.id, _history.c.owner == owner)
    if (await connection.execute(found)).first() is None:
        await connection.execute(insert(_history).values(_row(analysis, owner)))


def _heard(saving: asyncio.Future[None]) -> None:
    """Whoever waited has gone: what it ended with needs no further hearing."""
    if not saving.cancelled():
        saving.exception()


async def _remove_some(session: AsyncSession, which: ColumnElement[bool]) -> int:
    some = select(_history.c.id).where(which).limit(PORTION_ROWS)
    result: Any = await session.execute(delete(_history).where(_history.c.id.in_(some)))
    return result.rowcount


async def _note(session: AsyncSession, deed: Deed, affected: int, audit: int | None) -> int:
    """Write the audit row, or add to the one that there is; its number."""
    if audit is not None:
        more = update(_audit).where(_audit.c.id == audit).values(affected=_audit.c.affected + affected)
        await session.execute(more)
        return audit
    values = {"at": time.time_ns() // 1_000_000, "affected": affected, **vars(deed)}
    return (await session.execute(insert(_audit).values(values).returning(_audit.c.id))).scalar_one()


def _tell(actor: str, deed: Deed, affected: int) -> None:
    fields = {"actor": actor, "action": deed.action, "subject": deed.subject, "affected": affected}
    log.info("audit", extra={"fields": fields})


def _row(analysis: Analysis, owner: str) -> dict[str, Any]:
    return {
        "id": analysis.id,
        "owner": owner,
        "created": _milliseconds(datetime.fromisoformat(analysis.created.replace("Z", "+00:00"))),
        "kind": analysis.kind,
        "label": analysis.sentiment.label,
        "has_text": "text" in analysis.modalities,
        "has_speech": "speech" in analysis.modalities,
        "has_face": "face" in analysis.modalities,
        "analysis": orjson.dumps(analysis, option=orjson.OPT_SERIALIZE_NUMPY).decode(),
    }


def _selected(owner: str, wanted: Wanted) -> Select:
    query = select(_history.c.created, _history.c.id, _history.c.analysis).where(_history.c.owner == owner)
    if wanted.label is not None:
        query = query.where(_history.c.label == (None if wanted.label == "abstained" else wanted.label))
    if wanted.modality is not None:
        query = query.where(_history.c[f"has_{wanted.modality}"])
    if wanted.since is not None:
        query = query.where(_history.c.created >= _milliseconds(wanted.since))
    if wanted.until is not None:
        query = query.where(_history.c.created < _milliseconds(wanted.until))
    return query


def _milliseconds(moment: datetime) -> int:
    return round(1000 * moment.timestamp())
