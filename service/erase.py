"""Erase everything that is kept of one caller, and print a receipt (GDPR, Article 17).

    python -m service.erase --caller key:shop

Run it where the service runs, with the same settings. It removes the caller's jobs (rows, events, media, results; what
is running is called off) and stored analyses, and writes one line into the audit, which holds a count and no content.
Callers do the same for themselves with `DELETE /v1/jobs/{id}` and `DELETE /v1/history`. What lies in the queue is a
job's identifier alone; without its job, a worker drops it.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone

import orjson
from sqlalchemy import insert

from service.database import Database, DatabaseError
from service.history.history import History, Wanted
from service.history.tables import AuditRow
from service.jobs.intake import Jobs
from service.jobs.workshop import LOOK_SECONDS
from service.settings import Settings, load_settings


class NotErased(Exception):
    """Something of the caller is still there; run it again."""


@dataclass(frozen=True)
class Receipt:
    """What was erased, and when. `digest` is the SHA-256 of the rest as JSON, so that a copy can be checked."""

    caller: str
    erased: str
    jobs: int
    analyses: int
    audit: int
    """The number of the audit row."""
    digest: str = ""

    def sealed(self) -> Receipt:
        """With its digest."""
        content = orjson.dumps({**asdict(self), "digest": ""}, option=orjson.OPT_SORT_KEYS)
        return Receipt(**{**asdict(self), "digest": hashlib.sha256(content).hexdigest()})


async def erase(caller: str, settings: Settings) -> Receipt:
    """Erase what `caller` (`key:<name>`, `jwt:<subject>`, `anyone`) owns. Raises `NotErased` and `DatabaseError`.

    Jobs go first: one that is called off can store no analysis any more. Where a worker was at one, it is waited for
    until it has noticed and let go of what it held, and all is removed again before somebody is told that it is gone.
    """
    database = Database.of(settings)
    jobs, history = Jobs(settings, database), History(database)
    try:
        worked_on = database.exists and await jobs.store.running_of(caller)
        gone, removed = await _erase_all(jobs, history, caller)
        if worked_on:
            await _let_workers_notice()
            more_gone, more_removed = await _erase_all(jobs, history, caller)
            gone, removed = gone + more_gone, removed + more_removed
        audit = await _note(database, caller, gone + removed)
        await database.forget()
        await _check(jobs, history, caller)
    finally:
        await database.close()
    now = datetime.now(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")
    return Receipt(caller, now, gone, removed, audit).sealed()


async def _let_workers_notice() -> None:
    await asyncio.sleep(2 * LOOK_SECONDS)


async def _erase_all(jobs: Jobs, history: History, caller: str) -> tuple[int, int]:
    """How many jobs and analyses there were."""
    gone = await _erase_jobs(jobs, caller)
    return gone, (await history.remove_all(caller, caller)).affected


async def _erase_jobs(jobs: Jobs, caller: str) -> int:
    """Delete the jobs and their folders; a worker that is still at one cannot bring it back."""
    try:
        return await jobs.forget_owner(caller)
    except OSError as error:
        raise NotErased(f"The folder of a job could not be removed ({error}); run this again.") from error


async def _note(database: Database, caller: str, affected: int) -> int:
    row = {"at": time.time_ns() // 1_000_000, "actor": "operator", "action": "erase", "subject": caller}
    statement = insert(AuditRow).values(**row, affected=affected).returning(AuditRow.id)
    async with database.transaction() as session:
        return (await session.execute(statement)).scalar_one()


async def _check(jobs: Jobs, history: History, caller: str) -> None:
    left = len(await jobs.newest(caller, None, 100))
    async for _ in history.newest(caller, Wanted()):
        left += 1
    if left:
        raise NotErased(f"{left} rows of {caller} have come meanwhile: revoke the key first, then run this again.")


def main(arguments: Sequence[str]) -> int:
    """Erase, and print the receipt as JSON; 1 if something may be left."""
    parser = argparse.ArgumentParser(prog="python -m service.erase", description="Erase all that is kept of a caller.")
    parser.add_argument("--caller", required=True, help="key:<name>, jwt:<subject>, or anyone where access is open")
    asked = parser.parse_args(arguments)
    try:
        receipt = asyncio.run(erase(asked.caller, load_settings()))
    except (NotErased, DatabaseError) as error:
        print(error, file=sys.stderr)
        return 1
    print(orjson.dumps(receipt, option=orjson.OPT_INDENT_2).decode())
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
