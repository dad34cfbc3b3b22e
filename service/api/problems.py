"""Every error as a Problem (RFC 9457): one table of codes, and one place that maps the layers' errors to them."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from typing_extensions import NotRequired, TypedDict

from service import jobs, media, runners
from service.access import refusals
from service.access.use import UseRestricted
from service.database import DatabaseError
from service.pipelines import CoverageUnknown, LanguageUnsupported

MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True)
class ProblemKind:
    """One code: when it is answered and what helps. `retry_after_seconds` goes into `Retry-After`."""

    code: str
    status: int
    title: str
    cause: str
    remedy: str
    retry_after_seconds: int | None = None


class FieldError(TypedDict):
    """One field that was not as it must be."""

    pointer: str
    """JSON pointer (RFC 6901) to the field in the body; form and query fields are members of the top level."""
    detail: str
    """One sentence that says what is wrong."""


class Problem(TypedDict):
    """What went wrong, and what to do about it (RFC 9457)."""

    type: str
    """The page that explains the code."""
    title: str
    status: int
    detail: str
    """One sentence that says what to do."""
    instance: str
    """The path that was asked for."""
    code: str
    """Stable name of the problem, for programs."""
    request_id: str
    """Names this request in the service's log."""
    errors: NotRequired[list[FieldError]]
    """Which fields are wrong, for validation."""


_KINDS = (
    ProblemKind(
        "malformed_json",
        400,
        "The body is not JSON",
        "The body is not JSON in UTF-8: a syntax error, NaN or Infinity, half a surrogate pair, or nested too deeply.",
        "Send a JSON object in UTF-8; `detail` says where reading stopped.",
    ),
    ProblemKind(
        "malformed_multipart",
        400,
        "The body is not a multipart form",
        "The body ends early, lacks its boundary, or has a part without a name.",
        "Let an HTTP library write the form; it must end with the closing boundary.",
    ),
    ProblemKind(
        "unauthenticated",
        401,
        "Who asks is not known",
        "The request has no credentials, or the key or token is unknown, expired or revoked.",
        "Send `Authorization: Bearer …` or `X-API-Key` with a key or token of this service.",
    ),
    ProblemKind(
        "forbidden",
        403,
        "You may not do that",
        "The key or token is good, but lacks the scope that the route needs; or a page of another origin asks; or the "
        "service is asked by a name that is none of its own. `detail` says which.",
        "Ask the operator for a key with that scope, or to list the page's origin or the name.",
    ),
    ProblemKind(
        "use_restricted",
        403,
        "Not allowed for this use",
        "The operator declared a use, at work or in education, in which inferring emotions from faces or voices is "
        "prohibited (Regulation (EU) 2024/1689, the AI Act, Article 5(1)(f)).",
        "Send text, which stays available; a transcript is text too.",
    ),
    ProblemKind(
        "not_found",
        404,
        "There is nothing here",
        "The path names no route, model or problem.",
        "See /docs for every route.",
    ),
    ProblemKind(
        "method_not_allowed",
        405,
        "The route does not take this method",
        "The path exists, but not with this method.",
        "Use a method that the `Allow` header names.",
    ),
    ProblemKind(
        "not_finished",
        409,
        "The job has not finished",
        "The result was asked for while the job waits or runs, or after it failed or was cancelled.",
        "Wait until `state` is `done`; the job's events tell when.",
    ),
    ProblemKind(
        "expired",
        410,
        "It is no longer kept",
        "The job's retention time is over, and its media and result were removed.",
        "Send it again.",
    ),
    ProblemKind(
        "too_large",
        413,
        "More than the limit",
        "The body, the picture, the recording or the list is larger than the service takes; `detail` names the limit.",
        "Send less: scale pictures down, cut recordings, or split the list.",
    ),
    ProblemKind(
        "unsupported_media",
        415,
        "This kind of content is not taken here",
        "The content type, or what the bytes themselves are, is none that the route takes.",
        "Send what `detail` lists. What counts is the content, not the file's name.",
    ),
    ProblemKind(
        "invalid_input",
        422,
        "A field is not as it must be",
        "A field is missing, unknown, given twice, or has a wrong type or value; `errors` lists each.",
        "Correct the fields that `errors` points at; /docs shows names and types.",
    ),
    ProblemKind(
        "undecodable",
        422,
        "The file could not be read",
        "The file is empty, truncated or damaged, or reading it took more than it may.",
        "Check that the file plays or opens elsewhere, and export it again.",
    ),
    ProblemKind(
        "too_long",
        422,
        "The text is too long",
        "A text has more characters than the service takes; `detail` names the limit.",
        "Split the text.",
    ),
    ProblemKind(
        "language_unsupported",
        422,
        "No model speaks this language",
        "None of the models for what was sent knows the language in `language`.",
        "Use a language that `detail` lists, or leave `language` out for English.",
    ),
    ProblemKind(
        "upgrade_required",
        426,
        "This route speaks WebSocket",
        "The route was asked by plain HTTP.",
        "Connect with a WebSocket client; /docs lists the messages.",
    ),
    ProblemKind(
        "rate_limited",
        429,
        "Too many requests",
        "The client asked more often than it may; `RateLimit-*` headers tell the budget.",
        "Wait for the seconds in `Retry-After`.",
        retry_after_seconds=1,
    ),
    ProblemKind(
        "cancelled",
        499,
        "The client went away",
        "The connection closed before the answer was ready; the work was stopped. Seen in logs and metrics only.",
        "Wait longer for the answer.",
    ),
    ProblemKind(
        "internal",
        500,
        "Something failed inside",
        "The service met an error that it did not expect.",
        "Report the `request_id`; the log has the rest under it.",
    ),
    ProblemKind(
        "overloaded",
        503,
        "Too much is waiting already",
        "A model or the decoders have as much work queued as they may.",
        "Try again after the seconds in `Retry-After`.",
        retry_after_seconds=1,
    ),
    ProblemKind(
        "not_ready",
        503,
        "The service is starting",
        "Models are still being loaded, or a part of the service does not answer yet.",
        "Try again after the seconds in `Retry-After`; /readyz says when.",
        retry_after_seconds=2,
    ),
    ProblemKind(
        "shutting_down",
        503,
        "The service is stopping",
        "The service was told to stop: it finishes what runs and takes nothing new.",
        "Try again after the seconds in `Retry-After`; another instance may answer at once.",
        retry_after_seconds=2,
    ),
    ProblemKind(
        "model_unavailable",
        503,
        "A model does not answer",
        "The process that runs the model is down, restarting, or took too long.",
        "Try again after the seconds in `Retry-After`.",
        retry_after_seconds=5,
    ),
    ProblemKind(
        "timed_out",
        504,
        "The answer took too long",
        "The request took longer than the service gives one.",
        "Send less at once, or try again when less is going on.",
    ),
)

PROBLEMS: Mapping[str, ProblemKind] = MappingProxyType({kind.code: kind for kind in _KINDS})
"""Every code that the service answers with."""

_BY_ERROR: Mapping[type[Exception], str] = MappingProxyType(
    {
        media.Unsupported: "unsupported_media",
        media.Undecodable: "undecodable",
        media.TooLarge: "too_large",
        media.DecodersBusy: "overloaded",
        runners.Overloaded: "overloaded",
        runners.ItemRefused: "undecodable",
        runners.RunnerError: "model_unavailable",
        LanguageUnsupported: "language_unsupported",
        CoverageUnknown: "invalid_input",
        DatabaseError: "not_ready",
        ClientDisconnect: "cancelled",
        refusals.Unauthenticated: "unauthenticated",
        refusals.Forbidden: "forbidden",
        refusals.ForeignOrigin: "forbidden",
        refusals.ForeignHost: "forbidden",
        refusals.KeysUnreachable: "not_ready",
        refusals.RateLimited: "rate_limited",
        UseRestricted: "use_restricted",
        jobs.WrongFile: "invalid_input",
        jobs.UnknownFormat: "unsupported_media",
        jobs.TooManyRows: "too_large",
        jobs.BadRow: "invalid_input",
        jobs.LongRow: "too_long",
        jobs.QueueFull: "overloaded",
        jobs.NoSpace: "overloaded",
        jobs.QueueGone: "overloaded",
        jobs.JobLost: "internal",
        jobs.KeyReused: "invalid_input",
    }
)

_BY_STATUS = MappingProxyType({404: "not_found", 405: "method_not_allowed", 413: "too_large", 503: "not_ready"})


class ProblemError(Exception):
    """An error with everything that its Problem says."""

    def __init__(
        self,
        code: str,
        detail: str,
        errors: list[FieldError] | None = None,
        headers: Mapping[str, str] | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind = PROBLEMS[code]
        self.detail = detail
        self.errors = errors
        self.headers = dict(headers or {})
        seconds = self.kind.retry_after_seconds if retry_after_seconds is None else retry_after_seconds
        if seconds is not None:
            self.headers["Retry-After"] = str(max(1, round(seconds)))

    def body(self, instance: str, request_id: str) -> Problem:
        """The Problem for one request."""
        problem: Problem = {
            "type": f"/problems/{self.kind.code}",
            "title": self.kind.title,
            "status": self.kind.status,
            "detail": self.detail,
            "instance": instance,
            "code": self.kind.code,
            "request_id": request_id,
        }
        if self.errors:
            problem["errors"] = self.errors
        return problem

    def response(self, instance: str, request_id: str) -> Response:
        """The answer that carries the Problem."""
        content = orjson.dumps(self.body(instance, request_id))
        return Response(content, self.kind.status, self.headers, media_type=MEDIA_TYPE)


def invalid(pointer: str, detail: str) -> ProblemError:
    """`invalid_input` for one field."""
    return invalid_fields([{"pointer": pointer, "detail": detail}])


def invalid_fields(errors: list[FieldError]) -> ProblemError:
    """`invalid_input` for several fields; the first is told in `detail`."""
    first = errors[0]
    return ProblemError("invalid_input", f"{first['pointer'] or '/'}: {first['detail']}", errors)


def problem_of(error: Exception) -> ProblemError:
    """The Problem of any error; what nobody foresaw becomes `internal`, which says nothing about the inside."""
    if isinstance(error, ProblemError):
        return error
    inner = getattr(error, "exceptions", None)
    if inner:  # an exception group: a task group's first error is the cause
        return problem_of(inner[0])
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ProblemError("overloaded", "The disk of uploads is full; try again later, or send less.")
    if isinstance(error, HTTPException):
        return problem_of_status(error.status_code, dict(error.headers or {}))
    for kind in type(error).__mro__:
        if kind in _BY_ERROR:
            return _foreseen(_BY_ERROR[kind], error)
    return ProblemError("internal", "Something failed inside the service; report the request_id.")


def problem_of_status(status: int, headers: Mapping[str, str]) -> ProblemError:
    """The Problem for a bare status that a framework answered with."""
    code = _BY_STATUS.get(status, "internal")
    kept = {name: value for name, value in headers.items() if name.lower() == "allow"}
    return ProblemError(code, PROBLEMS[code].cause, headers=kept)


def _foreseen(code: str, error: Exception) -> ProblemError:
    pointed: list[FieldError] | None = None
    if isinstance(error, LanguageUnsupported):
        pointed = [{"pointer": "/language", "detail": str(error)}]
    if isinstance(error, CoverageUnknown):
        pointed = [{"pointer": "/coverage", "detail": str(error)}]
    detail = str(error) or PROBLEMS[code].cause
    headers, wait = getattr(error, "headers", None), getattr(error, "retry_after", None)
    return ProblemError(code, detail, pointed, headers, wait)
