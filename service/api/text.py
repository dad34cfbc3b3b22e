"""`POST /v1/text`: the busiest route, so it reads its body by hand and is called without the framework around it."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from service.access.door import client_of
from service.api.backend import Backend, backend_of
from service.api.history import check_store, keep
from service.api.json_in import json_object
from service.api.options import options_from_json
from service.api.problems import FieldError, Problem, ProblemError, invalid, invalid_fields
from service.api.schemas import json_response
from service.domain.analysis import Analysis
from service.observability import metrics
from service.pipelines import Options
from service.pipelines.analyze import analyze_texts
from service.pipelines.media import Tools
from service.settings import Settings

LARGE_BYTES = 1_000_000
"""Larger bodies are few, and what many of them took in memory would be much."""


async def post_text(request: Request) -> Response:
    """What one text says, or each of several."""
    backend = backend_of(request)
    backend.texts.check()
    body = await _body(request, backend)
    text, texts = body.pop("text", None), body.pop("texts", None)
    if (text is None) == (texts is None):
        raise invalid("", "Give either `text`, one string, or `texts`, a list of strings.")
    options = options_from_json(body, request.query_params)
    check_store(options, request)
    tools = backend.require_tools()
    with backend.texts:
        if texts is None:
            _check_text(text, "/text")
            check_length(text, backend.settings)
            answer = (await _analyses([text], options, tools, request))[0]
            request.scope["timings"] = answer.timings
            return json_response(answer)
        _check_texts(texts, backend.settings)
        return json_response({"results": await _results(texts, options, tools, request)})


def check_length(text: str, settings: Settings) -> None:
    """Raises `too_long`."""
    limit = settings.max_text_characters
    if len(text) > limit:
        raise ProblemError("too_long", f"The text has {len(text):,} characters; at most {limit:,} are taken. Split it.")


async def _body(request: Request, backend: Backend) -> dict[str, Any]:
    """The body as JSON. Large ones, and those that don't say how large, are taken in few at once."""
    _check_type(request)
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) <= LARGE_BYTES:
        return json_object(await request.body(), "body")
    with backend.large_bodies.of(client_of(request.scope)):
        return json_object(await request.body(), "body")


def _check_type(request: Request) -> None:
    """A form of some page could send no such type. Raises `unsupported_media`."""
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if media_type != "application/json":
        raise ProblemError("unsupported_media", "Send JSON: the content type must be application/json.")


def _check_text(text: Any, pointer: str) -> None:
    if not isinstance(text, str):
        raise invalid(pointer, "This must be a string.")


def _check_texts(texts: Any, settings: Settings) -> None:
    if not isinstance(texts, list) or not texts:
        raise invalid("/texts", "This must be a list of at least one string.")
    if len(texts) > settings.max_texts:
        detail = f"{len(texts):,} texts are too many; at most {settings.max_texts} are taken at once. Split the list."
        raise ProblemError("too_large", detail)
    wrong: list[FieldError] = [
        {"pointer": f"/texts/{place}", "detail": "This must be a string."}
        for place, text in enumerate(texts)
        if not isinstance(text, str)
    ]
    if wrong:
        raise invalid_fields(wrong)


async def _results(texts: list[str], options: Options, tools: Tools, request: Request) -> list[Analysis | Problem]:
    """One answer a text, in order: a Problem where the text is too long, an `Analysis` for the others."""
    results: list[Analysis | Problem | None] = [_refusal(text, tools.settings, request) for text in texts]
    taken = [place for place, result in enumerate(results) if result is None]
    answers = await _analyses([texts[place] for place in taken], options, tools, request)
    for place, answer in zip(taken, answers, strict=True):
        results[place] = answer
    return [result for result in results if result is not None]


def _refusal(text: str, settings: Settings, request: Request) -> Problem | None:
    try:
        check_length(text, settings)
    except ProblemError as problem:
        return problem.body(request.url.path, request.scope["request_id"])
    return None


async def _analyses(texts: list[str], options: Options, tools: Tools, request: Request) -> list[Analysis]:
    answers = await analyze_texts(texts, options, tools) if texts else []
    for answer in answers:
        metrics.predicted(answer)
    return await keep(answers, request) if options.store and answers else answers
