"""The pieces of the OpenAPI document that routes share: problems, options, forms."""

from __future__ import annotations

from collections import defaultdict
from functools import cache
from typing import Any

from fastapi import APIRouter
from fastapi.routing import APIRoute
from pydantic import TypeAdapter

from service.access.policy import UNCOUNTED, needed
from service.api import schemas  # noqa: F401  (it is what gives the options' fields their descriptions)
from service.api.problems import MEDIA_TYPE, PROBLEMS, FieldError, ProblemError
from service.pipelines import Options
from service.settings import Settings

FILE_PROBLEMS = ("malformed_multipart", "too_large", "unsupported_media", "undecodable")
"""What can be wrong with a form and the files in it."""

ANSWER_PROBLEMS = (
    "invalid_input",
    "language_unsupported",
    "cancelled",
    "internal",
    "overloaded",
    "not_ready",
    "model_unavailable",
    "timed_out",
)
"""What can happen to every question to a model."""

TEXT_PROBLEMS = ("malformed_json", "too_large", "unsupported_media", "too_long")

ETAG_HEADER = {"ETag": {"description": "Digest of the answer.", "schema": {"type": "string"}}}
NOT_MODIFIED = {"description": "Not changed since the `ETag` in `If-None-Match`."}

_RATE_HEADERS = {
    f"RateLimit-{name}": {"description": description, "schema": {"type": kind}}
    for name, description, kind in (
        ("Limit", "Requests that a window holds.", "integer"),
        ("Remaining", "Requests that are left in it.", "integer"),
        ("Reset", "Seconds until it has room for one more.", "integer"),
        ("Policy", "The limit, and the window's seconds as `w`.", "string"),
    )
}
_PROBLEM_SCHEMA = {"$ref": "#/components/schemas/Problem"}
_EXAMPLE_ID = "6f9619ff8b86d011b42d00c04fc964ff"


def operation_id(route: APIRoute) -> str:
    """The name of the function that answers, as client generators use it."""
    return route.name


def routes_about(tag: str) -> APIRouter:
    """An empty router whose routes are listed under `tag`."""
    return APIRouter(tags=[tag], generate_unique_id_function=operation_id)


def problem_responses(*codes: str) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that may answer with these problems."""
    by_status: dict[int | str, list[str]] = defaultdict(list)
    for code in codes:
        by_status[PROBLEMS[code].status].append(code)
    return {status: _problem_response(found) for status, found in sorted(by_status.items())}


def document_access(document: dict[str, Any], settings: Settings) -> None:
    """Say of each operation whom it is for, and what whoever else comes or comes too often is answered."""
    for path, item in document["paths"].items():
        need = needed(path, settings.protect_metrics)
        codes = ("forbidden",) if need == "open" else ("unauthenticated", "forbidden")
        codes += () if path in UNCOUNTED else ("rate_limited", "shutting_down")
        for operation in item.values():
            _add_problems(operation["responses"], codes)
            if need != "open" and settings.auth != "off":
                operation["security"] = [{name: [need]} for name in _security_schemes(settings)]
    if settings.auth != "off":
        document["components"]["securitySchemes"] = _security_schemes(settings)


def option_parameters() -> list[dict[str, Any]]:
    """The options as query parameters."""
    return [
        {
            "name": name,
            "in": "query",
            "required": False,
            "description": schema.get("description", ""),
            "schema": {key: value for key, value in schema.items() if key != "description"},
        }
        for name, schema in option_properties().items()
    ]


def form_body(description: str, files: tuple[str, ...], *, text: bool = False) -> dict[str, Any]:
    """The `requestBody` of a multipart form with these files, and the options as fields."""
    parts: dict[str, Any] = {name: {"type": "string", "format": "binary"} for name in files}
    if text:
        parts["text"] = {"type": "string", "description": "A text."}
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {**parts, **option_properties()},
        "additionalProperties": False,
    }
    if text:
        schema["anyOf"] = [{"required": [name]} for name in parts]
    else:
        schema["required"] = list(files)
    # A list is sent as one part an item, which is how multipart forms write arrays unless told otherwise.
    return {"description": description, "required": True, "content": {"multipart/form-data": {"schema": schema}}}


def text_body(max_texts: int, max_characters: int) -> dict[str, Any]:
    """The `requestBody` of `/v1/text`."""
    text = {"type": "string", "maxLength": max_characters}
    properties = {
        "text": {**text, "description": "One text; the answer is an `Analysis`."},
        "texts": {
            "type": "array",
            "items": text,
            "minItems": 1,
            "maxItems": max_texts,
            "description": "Several texts; the answer is `results`, in the same order.",
        },
        **option_properties(),
    }
    schema = {
        "type": "object",
        "properties": properties,
        "oneOf": [{"required": ["text"]}, {"required": ["texts"]}],
        "additionalProperties": False,
    }
    examples = {
        "one": {"summary": "One text", "value": {"text": "I love it"}},
        "explained": {"summary": "With what it rests on", "value": {"text": "I love it", "explain": True}},
        "several": {"summary": "Several texts", "value": {"texts": ["I love it", "The meeting is at noon"]}},
    }
    return {"required": True, "content": {"application/json": {"schema": schema, "examples": examples}}}


@cache
def option_properties() -> dict[str, dict[str, Any]]:
    """The JSON schema of each option, with its docstring and default."""
    schema = TypeAdapter(Options).json_schema()
    return {
        name: {key: value for key, value in option.items() if key != "title"}
        for name, option in schema["properties"].items()
    }


def _security_schemes(settings: Settings) -> dict[str, Any]:
    kinds = {"api_key": "An API key.", "jwt": "A JSON Web Token.", "both": "An API key or a JSON Web Token."}
    bearer = {"type": "http", "scheme": "bearer", "description": kinds.get(settings.auth, "")}
    if settings.auth == "jwt":
        return {"bearer": bearer}
    return {"bearer": bearer, "api_key": {"type": "apiKey", "in": "header", "name": "X-API-Key"}}


def _add_problems(responses: dict[str, Any], codes: tuple[str, ...]) -> None:
    """Add problems to what a route may answer, those of a status that it has already included."""
    for code in codes:
        status = str(PROBLEMS[code].status)
        listed = responses.get(status, {}).get("content", {}).get(MEDIA_TYPE, {}).get("examples", {})
        responses[status] = _problem_response([code, *(other for other in listed if other != code)])


def _problem_response(codes: list[str]) -> dict[str, Any]:
    kinds = [PROBLEMS[code] for code in codes]
    content: dict[str, Any] = {
        "schema": _PROBLEM_SCHEMA,
        "examples": {kind.code: {"summary": kind.title, "value": _example(kind.code)} for kind in kinds},
    }
    response: dict[str, Any] = {
        "description": " ".join(f"`{kind.code}`: {kind.title}." for kind in kinds),
        "content": {MEDIA_TYPE: content},
    }
    if any(kind.retry_after_seconds for kind in kinds):
        header = {"description": "Seconds to wait before the next try.", "schema": {"type": "integer"}}
        response["headers"] = {"Retry-After": header}
    if "rate_limited" in codes:
        response["headers"] |= _RATE_HEADERS
    if "unauthenticated" in codes:
        response["headers"] = {"WWW-Authenticate": {"description": "What to send.", "schema": {"type": "string"}}}
    return response


def _example(code: str) -> Any:
    errors: list[FieldError] = [{"pointer": "/text", "detail": "This must be a string."}]
    return ProblemError(code, PROBLEMS[code].cause, errors if code == "invalid_input" else None).body(
        "/v1/text", _EXAMPLE_ID
    )
