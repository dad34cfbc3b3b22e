"""The history routes, and what keeps an answer where its caller asked for that."""

from __future__ import annotations

import base64
import binascii
import logging
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Annotated, Literal, TypeVar

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from service.access.caller import Caller, caller_of
from service.api.backend import backend_of
from service.api.documented import problem_responses, routes_about
from service.api.problems import ProblemError, invalid
from service.api.queries import ULID, query_parameters, read_query
from service.api.schemas import HistoryPage
from service.database import DatabaseError
from service.domain.analysis import Analysis, Notice
from service.history.export import as_csv, as_json
from service.history.history import Place, Removal, Stored, Wanted
from service.observability import metrics
from service.pipelines import Options

STORE_SECONDS = 6.0
"""An answer does not wait longer to be stored: then it goes out saying that it was not. A little longer than SQLite
waits for another process, so that it is known what became of it."""
MAX_PAGE_BYTES = 8_000_000
"""A page ends after so much, however few analyses that are."""
EXPORTS: dict[str, tuple[Callable[[AsyncIterator[Stored]], AsyncIterator[bytes]], str]] = {
    "csv": (as_csv, "text/csv; charset=utf-8; header=present"),
    "json": (as_json, "application/json"),
}

_ULID = re.compile(ULID)
_PLACE = re.compile(rf"(-?\d{{1,15}})\.({ULID})", re.ASCII)
_RECEIPT = {
    "Deletion-Receipt": {
        "description": "How many analyses were removed, and the number of the audit row that says so.",
        "schema": {"type": "string", "examples": ["removed=3; audit=17"]},
    }
}
_FOUND_PROBLEMS = ("invalid_input", "cancelled", "internal", "not_ready", "timed_out")

Answer = TypeVar("Answer")

router = routes_about("history")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PageQuery(Wanted):
    """Which page of the history."""

    cursor: Annotated[str | None, Field(description="Where to go on: `next` of the page before.")] = None
    limit: Annotated[int, Field(ge=1, le=200, description="Most analyses of a page; very large ones make it end.")] = 50


@dataclass(frozen=True)
class ExportQuery(Wanted):
    """What to export, and as what."""

    format: Annotated[
        Literal["csv", "json"], Field(description="A table for spreadsheets, or the analyses as they were answered.")
    ] = "json"


@router.get(
    "/v1/history",
    response_model=HistoryPage,
    responses=problem_responses(*_FOUND_PROBLEMS),
    openapi_extra={"parameters": query_parameters(PageQuery)},
)
async def get_history(request: Request) -> Response:
    """What the caller had stored, newest first."""
    asked = read_query(PageQuery, request.query_params)
    after = _place(asked.cursor) if asked.cursor is not None else None
    history = backend_of(request).history
    found: list[Stored] = []
    size, more = 0, False
    async with aclosing(history.newest(caller_of(request.scope).name, asked, after)) as rows:
        async for stored in rows:
            more = len(found) == asked.limit or size > MAX_PAGE_BYTES
            if more:
                break
            found.append(stored)
            size += len(stored.analysis)
    cursor = f'"{_cursor(found[-1].place)}"' if more else "null"
    content = f'{{"items":[{",".join(stored.analysis for stored in found)}],"next":{cursor}}}'
    return Response(content, media_type="application/json")


@router.get(
    "/v1/history/export",
    response_class=Response,
    responses={
        200: {
            "description": "All that the caller had stored and the query chooses, newest first, in pieces.",
            "content": {
                "application/json": {"schema": {"type": "array", "items": {"$ref": "#/components/schemas/Analysis"}}},
                "text/csv": {"schema": {"type": "string"}},
            },
        },
        **problem_responses(*_FOUND_PROBLEMS),
    },
    openapi_extra={"parameters": query_parameters(ExportQuery)},
)
async def get_history_export(request: Request) -> Response:
    """Everything that the caller had stored, as one file."""
    asked = read_query(ExportQuery, request.query_params)
    backend = backend_of(request)
    await backend.database.ping()  # what is wrong shall be said before the answer begins
    write, media_type = EXPORTS[asked.format]
    rows = backend.history.newest(caller_of(request.scope).name, asked)
    headers = {"Content-Disposition": f'attachment; filename="history.{asked.format}"', "Content-Type": media_type}
    return StreamingResponse(write(rows), headers=headers)


@router.get(
    "/v1/history/{identifier}",
    response_model=Analysis,
    responses=problem_responses("not_found", "cancelled", "internal", "not_ready", "timed_out"),
)
async def get_stored(request: Request, identifier: str) -> Response:
    """One stored analysis, as it was answered."""
    caller = caller_of(request.scope)
    found = await backend_of(request).history.find(_checked(identifier), caller.name)
    if found is None:
        raise _nothing(identifier)
    return Response(found, media_type="application/json")


@router.delete(
    "/v1/history/{identifier}",
    status_code=204,
    response_class=Response,
    responses={
        204: {"description": "It is gone.", "headers": _RECEIPT},
        **problem_responses("not_found", "cancelled", "internal", "not_ready", "timed_out"),
    },
)
async def delete_stored(request: Request, identifier: str) -> Response:
    """Remove one stored analysis."""
    caller = caller_of(request.scope)
    removal = await backend_of(request).history.remove(_checked(identifier), caller.name, _known_as(caller))
    if not removal.affected:
        raise _nothing(identifier)
    return _receipt(removal)


@router.delete(
    "/v1/history",
    status_code=204,
    response_class=Response,
    responses={
        204: {"description": "All are gone.", "headers": _RECEIPT},
        **problem_responses("cancelled", "internal", "not_ready", "timed_out"),
    },
)
async def delete_history(request: Request) -> Response:
    """Remove everything that the caller had stored."""
    caller = caller_of(request.scope)
    return _receipt(await backend_of(request).history.remove_all(caller.name, _known_as(caller)))


def check_store(options: Options, request: Request) -> None:
    """Raises `forbidden` for a caller that wants something stored and could neither find nor remove it."""
    if options.store and not caller_of(request.scope).may("history"):
        raise ProblemError("forbidden", "`store` needs the scope history; send it without, or ask for that scope.")


async def keep(analyses: Sequence[Analysis], request: Request) -> list[Analysis]:
    """The same analyses once they are stored; where the database does not answer in time, with a warning each."""
    history = backend_of(request).history
    try:
        await history.save_within(STORE_SECONDS, analyses, caller_of(request.scope).name)
    except DatabaseError as error:
        log.error("%d analyses were not stored: %s", len(analyses), type(error).__name__)
        metrics.stored("failed", len(analyses))
        return [replace(analysis, warnings=(*analysis.warnings, _not_stored())) for analysis in analyses]
    metrics.stored("stored", len(analyses))
    return list(analyses)


def _not_stored() -> Notice:
    return Notice("not_stored", "The history does not answer, so this is not in it; keep the answer, or ask again.")


def _known_as(caller: Caller) -> str:
    return caller.tag or caller.name


def _receipt(removal: Removal) -> Response:
    audit = "" if removal.audit is None else f"; audit={removal.audit}"
    return Response(status_code=204, headers={"Deletion-Receipt": f"removed={removal.affected}{audit}"})


def _checked(identifier: str) -> str:
    if not _ULID.fullmatch(identifier):
        raise _nothing(identifier)
    return identifier


def _nothing(identifier: str) -> ProblemError:
    return ProblemError("not_found", f"No stored analysis has the id {identifier[:40]!r}; GET /v1/history lists them.")


def _cursor(place: Place) -> str:
    return base64.urlsafe_b64encode(f"{place.created}.{place.id}".encode()).decode().rstrip("=")


def _place(cursor: str) -> Place:
    """Where a cursor points. It is checked, not signed: wherever it points, a caller finds its own rows alone."""
    try:
        written = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode("ascii")
        found = _PLACE.fullmatch(written)
    except (binascii.Error, ValueError):
        found = None
    if found is None:
        raise invalid("/cursor", "This is no cursor of this service; send `next` of the page before.")
    return Place(int(found[1]), found[2])
