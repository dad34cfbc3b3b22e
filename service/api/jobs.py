"""The routes of jobs: what takes too long for one request is taken in, followed, called off and fetched here."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import aclosing
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from pydantic import Field
from starlette.concurrency import iterate_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from service.access import use
from service.access.caller import ANYONE, Caller, caller_of
from service.access.configured import share_of
from service.access.door import client_of
from service.api.backend import Backend, backend_of
from service.api.documented import (
    FILE_PROBLEMS,
    option_parameters,
    option_properties,
    problem_responses,
    routes_about,
)
from service.api.history import check_store
from service.api.job_views import JobPage, JobView, server_sent, view
from service.api.options import options_from_form
from service.api.places import Places
from service.api.problems import ProblemError, invalid
from service.api.queries import ULID, query_parameters, read_query
from service.api.schemas import Results, json_response
from service.api.text import check_length
from service.api.uploads import Form, FormRules, receive_form
from service.domain.analysis import Analysis
from service.domain.labels import Modality
from service.jobs import results
from service.jobs.intake import Wish
from service.jobs.rows import FORMATS, RowFile
from service.jobs.store import Job
from service.pipelines import Options
from service.pipelines.analyze import Inputs
from service.pipelines.sets import check_coverage

MAX_BYTES_OF_A_CHARACTER = 4
HEARTBEAT_SECONDS = 10.0
"""So often a silent event stream says that it is alive, for whatever stands between and cuts off silence."""
MAX_KEY_CHARACTERS = 200

_MEDIA = ("audio", "image", "video")
_ID = re.compile(ULID)
_SEEN_PROBLEMS = ("not_found", "cancelled", "internal", "not_ready", "timed_out")
_FORMS = {
    "application/json": results.as_json,
    "application/x-ndjson": results.as_file,
    "text/csv": results.as_csv,
}
"""What the result of a job of texts can be had as."""
_ALIASES = {
    "*/*": "application/json",
    "application/*": "application/json",
    "text/*": "text/csv",
    "application/jsonl": "application/x-ndjson",
    "application/json-lines": "application/x-ndjson",
}

router = routes_about("jobs")


class Events(StreamingResponse):
    """Server-sent events, which take a place for as long as they are listened to."""

    def __init__(self, events: AsyncIterator[bytes], places: Places) -> None:
        # `no` keeps nginx from holding events back until it has a buffer full of them.
        super().__init__(events, headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
        self._places = places

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send them. Raises `overloaded` and `rate_limited`, before anything is sent."""
        with self._places.of(client_of(scope)):
            await super().__call__(scope, receive, send)


@dataclass(frozen=True)
class JobsQuery:
    """Which page of the jobs."""

    cursor: Annotated[str | None, Field(description="Where to go on: `next` of the page before.")] = None
    limit: Annotated[int, Field(ge=1, le=100, description="Most jobs of a page.")] = 20


def _body() -> dict[str, Any]:
    binary = {"type": "string", "format": "binary"}
    properties: dict[str, Any] = {
        "file": {**binary, "description": "Texts in UTF-8: .csv, .tsv (with a header), .jsonl or .txt."},
        **dict.fromkeys(_MEDIA, binary),
        "text": {"type": "string", "description": "A text."},
        "column": {
            "type": "string",
            "description": "Of `file`: the column, or the member of each object, that holds the text.",
            "default": "text",
        },
        **option_properties(),
    }
    wanted = [{"required": [name]} for name in ("file", *_MEDIA, "text")]
    schema = {"type": "object", "properties": properties, "additionalProperties": False, "anyOf": wanted}
    description = "Either a `file` of texts, or any of a text, a recording, a picture and a video."
    return {"description": description, "required": True, "content": {"multipart/form-data": {"schema": schema}}}


_KEY_PARAMETER = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "The same key with the same body gives the same job, however often it is sent.",
    "schema": {"type": "string", "minLength": 1, "maxLength": MAX_KEY_CHARACTERS},
}
_LOCATION = {"Location": {"description": "Where the job is.", "schema": {"type": "string"}}}


@router.post(
    "/v1/jobs",
    status_code=202,
    response_model=JobView,
    responses={
        202: {"description": "Taken; or what was taken before under the same key.", "headers": _LOCATION},
        **problem_responses(
            "use_restricted",
            "too_long",
            *FILE_PROBLEMS,
            "invalid_input",
            "cancelled",
            "internal",
            "overloaded",
            "not_ready",
            "timed_out",
        ),
    },
    openapi_extra={"requestBody": _body(), "parameters": [_KEY_PARAMETER, *option_parameters()]},
)
async def post_job(request: Request) -> Response:
    """Take in long media, or a file of texts, to be worked on in the background."""
    backend = backend_of(request)
    jobs = backend.jobs
    key = _key(request)
    length = request.headers.get("content-length", "")
    await jobs.admit(int(length) if length.isdigit() else 0)
    await _check_share(backend, caller_of(request.scope))
    longest = backend.settings.max_text_characters * MAX_BYTES_OF_A_CHARACTER
    rules = FormRules(files=("file", *_MEDIA), texts={"text": longest, "column": 400}, digested=True)
    async with receive_form(request, rules, jobs.folders, jobs.folders.check_space) as form:
        options = options_from_form(form.options, request.query_params)
        check_store(options, request)
        wish = await _wish(form, options, backend, request, key)
        job = await jobs.take_in(wish, form.folder)
    return json_response(view(job), 202, {"Location": f"/v1/jobs/{job.id}"})


@router.get(
    "/v1/jobs",
    response_model=JobPage,
    responses=problem_responses("invalid_input", "cancelled", "internal", "not_ready", "timed_out"),
    openapi_extra={"parameters": query_parameters(JobsQuery)},
)
async def get_jobs(request: Request) -> Response:
    """The caller's jobs, newest first."""
    asked = read_query(JobsQuery, request.query_params)
    if asked.cursor is not None and not _ID.fullmatch(asked.cursor):
        raise invalid("/cursor", "This is no cursor of this service; send `next` of the page before.")
    found = await backend_of(request).jobs.newest(caller_of(request.scope).name, asked.cursor, asked.limit + 1)
    shown = found[: asked.limit]
    more = shown[-1].id if len(found) > asked.limit else None
    return json_response({"jobs": [view(job) for job in shown], "next": more})


@router.get("/v1/jobs/{identifier}", response_model=JobView, responses=problem_responses(*_SEEN_PROBLEMS))
async def get_job(request: Request, identifier: str) -> Response:
    """How far one job is."""
    return json_response(view(await _found(request, identifier)))


@router.delete(
    "/v1/jobs/{identifier}",
    status_code=204,
    response_class=Response,
    responses={
        204: {
            "description": "It is gone.",
            "headers": {
                "Deletion-Receipt": {
                    "description": "That one job was removed, and the number of the audit row that says so.",
                    "schema": {"type": "string", "examples": ["removed=1; audit=17"]},
                }
            },
        },
        **problem_responses(*_SEEN_PROBLEMS),
    },
)
async def delete_job(request: Request, identifier: str) -> Response:
    """Call a job off, and remove its media and its result; one that is over is forgotten."""
    job = await _found(request, identifier)
    audit = await backend_of(request).jobs.delete(job)
    return Response(status_code=204, headers={"Deletion-Receipt": f"removed=1; audit={audit}"})


@router.get(
    "/v1/jobs/{identifier}/events",
    response_class=Response,
    responses={
        200: {
            "description": (
                "Server-sent events `progress`, `partial` (what a finished part says), and as the last one `done`, "
                "`failed` or `cancelled`. Ids rise; comments come while nothing happens."
            ),
            "content": {"text/event-stream": {}},
        },
        **problem_responses("invalid_input", "overloaded", *_SEEN_PROBLEMS),
    },
    openapi_extra={
        "parameters": [
            {
                "name": "Last-Event-ID",
                "in": "header",
                "required": False,
                "description": "The id of the last event that was seen; what came after it follows.",
                "schema": {"type": "integer", "minimum": 0},
            }
        ]
    },
)
async def get_job_events(request: Request, identifier: str) -> Response:
    """What happens to a job, as it happens, until it is over."""
    given = request.headers.get("last-event-id", "0")
    if not given.isdecimal() or not given.isascii() or len(given) > 9:
        raise invalid("/Last-Event-ID", "This must be the id of an event: a whole number.")
    backend, job = backend_of(request), await _found(request, identifier)
    return Events(_told(backend, job, int(given)), backend.event_streams)


@router.get(
    "/v1/jobs/{identifier}/result",
    response_model=Analysis | Results,
    responses={
        200: {
            "description": "An `Analysis`; for a file of texts one answer a row, in the form that `Accept` prefers.",
            "content": {"application/x-ndjson": {}, "text/csv": {}},
        },
        **problem_responses(
            "use_restricted",
            "not_finished",
            "expired",
            "too_large",
            "unsupported_media",
            "undecodable",
            "language_unsupported",
            "invalid_input",
            "overloaded",
            "model_unavailable",
            *_SEEN_PROBLEMS,
        ),
    },
)
async def get_job_result(request: Request, identifier: str) -> Response:
    """The result of a job that is done; for one that failed, the problem that it failed with."""
    job = await _found(request, identifier)
    _check_done(job)
    path = backend_of(request).jobs.folders.result(job.id)
    if path is None or (job.expires is not None and job.expires < time.time()):
        raise ProblemError("expired", "The job's result was kept for its time, and removed; send the job again.")
    if job.kind != "texts":
        return StreamingResponse(_streamed(results.as_file(path)), media_type="application/json")
    media_type = _preferred(request.headers.get("accept", "*/*"))
    headers = {"Content-Type": f"{media_type}; charset=utf-8" if media_type == "text/csv" else media_type}
    return StreamingResponse(_streamed(_FORMS[media_type](path)), headers=headers)


async def _check_share(backend: Backend, caller: Caller) -> None:
    """Raises `rate_limited` for a known caller whose jobs alone fill its share of the queue."""
    most = max(1, int(backend.settings.max_queued_jobs * share_of(backend.settings)))
    if caller != ANYONE and await backend.jobs.store.waiting_of(caller.name) >= most:
        raise ProblemError("rate_limited", f"{most:,} jobs of yours wait, which is a client's share; try again later.")


async def _wish(form: Form, options: Options, backend: Backend, request: Request, key: str | None) -> Wish:
    """What is wanted, once it is clear that it can be done. Raises `ProblemError`, `UseRestricted` and `JobError`."""
    given = [name for name in (*_MEDIA, "text") if name in form.files or name in form.texts]
    asked: dict[str, Any] = {"request_id": request.scope["request_id"], "options": asdict(options)}
    whose = {"owner": caller_of(request.scope).name, "digest": form.digest(asdict(options)), "idempotency_key": key}
    if "file" in form.files:
        if given:
            raise invalid("/file", "A file of texts is a job by itself; send the media as another one.")
        asked |= await _texts(form, options)
        _check_coverage(options, backend, ("text",))
        return Wish(kind="texts", request=asked, unit="rows", **whose)
    if not given:
        raise invalid("", "Send `file`, or at least one of text, audio, image and video.")
    if "column" in form.texts:
        raise invalid("/column", "A column is for a `file` of texts.")
    use.check(given, backend.settings.use)
    if "text" in form.texts:
        check_length(form.texts["text"], backend.settings)
        asked["text"] = form.texts["text"]
    asked["files"] = sorted(form.files)
    inputs = Inputs(text=form.texts.get("text"), **form.files)
    _check_coverage(options, backend, inputs.modalities)
    unit = "seconds" if {"audio", "video"} & set(given) else "files"
    return Wish(kind=inputs.kind, request=asked, unit=unit, **whose)


def _check_coverage(options: Options, backend: Backend, asked: Collection[Modality]) -> None:
    """Raises `CoverageUnknown` now, where the models are known, rather than when the job is done."""
    if backend.tools is not None:
        check_coverage(options, backend.tools.models, asked)


async def _texts(form: Form, options: Options) -> dict[str, Any]:
    """What is to be known of a file of texts. Raises `ProblemError` and `JobError`."""
    if options.store:
        raise invalid("/store", "The answers of a file of texts are kept with its job, not in the history.")
    format = form.suffixes["file"].removeprefix(".")
    if format not in FORMATS:
        shown = ", ".join(f".{name}" for name in FORMATS)
        raise ProblemError("unsupported_media", f"The name of a file of texts must end in one of {shown}.")
    column = form.texts.get("column")
    await asyncio.to_thread(RowFile, form.files["file"], format, column)  # pyright: ignore[reportArgumentType]
    return {"format": format, "column": column}


def _key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None and not 0 < len(key) <= MAX_KEY_CHARACTERS:
        raise invalid("/Idempotency-Key", f"A key has 1 to {MAX_KEY_CHARACTERS} characters.")
    return key


async def _found(request: Request, identifier: str) -> Job:
    job = None
    if _ID.fullmatch(identifier):
        job = await backend_of(request).jobs.find(identifier, caller_of(request.scope).name)
    if job is None:
        raise ProblemError("not_found", "There is no such job, or it has been removed.")
    return job


def _check_done(job: Job) -> None:
    """Raises what the job failed with, or `not_finished`."""
    if job.problem is not None:
        problem: Mapping[str, Any] = job.problem
        raise ProblemError(problem["code"], problem["detail"], problem.get("errors"))
    if job.state != "done":
        happened = {"cancelled": "was called off", "queued": "still waits"}.get(job.state, "is still worked on")
        raise ProblemError("not_finished", f"The job {happened}; there is no result.")


async def _told(backend: Backend, job: Job, after: int) -> AsyncIterator[bytes]:
    """The events as bytes, with a comment now and then while nothing happens."""
    yield b": the events of a job\n\n"
    spoke = time.monotonic()
    async with aclosing(backend.jobs.events(job.id, after, backend.lifecycle.ending.is_set)) as events:
        async for event in events:
            if event is not None:
                yield server_sent(event, job)
            elif time.monotonic() - spoke > HEARTBEAT_SECONDS:
                yield b": still here\n\n"
            else:
                continue
            spoke = time.monotonic()


def _preferred(accept: str) -> str:
    """The form that `Accept` likes best of those that there are; JSON if it likes none (RFC 9110, section 12.4.1)."""
    liked: list[tuple[float, str]] = []
    for part in accept.lower().split(","):
        name, _, parameters = part.partition(";")
        found = re.search(r"q=([01](?:\.\d{0,3})?)", parameters)
        name = _ALIASES.get(name.strip(), name.strip())
        if name in _FORMS:
            liked.append((float(found[1]) if found else 1.0, name))
    return max(liked, key=lambda pair: pair[0], default=(0.0, "application/json"))[1]


def _streamed(blocks: Iterator[bytes]) -> AsyncIterator[bytes]:
    return iterate_in_threadpool(blocks)
