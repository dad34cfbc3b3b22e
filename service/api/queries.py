"""What stands behind the `?` of routes that find things: read into a dataclass, and described by the same."""

from __future__ import annotations

from functools import cache
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from starlette.datastructures import QueryParams

from service.api.problems import FieldError, invalid_fields

Asked = TypeVar("Asked")

ULID = "[0-7][0-9A-HJKMNP-TV-Z]{25}"
"""How analyses and jobs are named, as a pattern (github.com/ulid/spec)."""


def read_query(kind: type[Asked], query: QueryParams) -> Asked:
    """The query as the dataclass `kind`. Raises `invalid_input` for what is unknown, given twice, or wrong."""
    names = tuple(_properties(kind))
    errors: list[FieldError] = []
    for name in query:
        if name not in names:
            errors.append(_error(name, f"Nothing can be asked by this name; these exist: {', '.join(names)}."))
        elif len(query.getlist(name)) > 1:
            errors.append(_error(name, "This was given more than once."))
    if errors:
        raise invalid_fields(errors)
    try:
        return _adapter(kind).validate_python(dict(query))
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        raise invalid_fields([_error(str(one["loc"][0]), f"{one['msg']}.") for one in found]) from error


def query_parameters(kind: type) -> list[dict[str, Any]]:
    """The `parameters` of a route that reads its query as the dataclass `kind`."""
    return [
        {
            "name": name,
            "in": "query",
            "required": False,
            "description": schema["description"],
            "schema": _without_null(schema),
        }
        for name, schema in _properties(kind).items()
    ]


@cache
def _adapter(kind: type[Asked]) -> TypeAdapter[Asked]:
    return TypeAdapter(kind)


@cache
def _properties(kind: type) -> dict[str, dict[str, Any]]:
    return _adapter(kind).json_schema()["properties"]


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a value that is there: a query says null by leaving the name out."""
    kept = {key: value for key, value in schema.items() if key in ("type", "enum", "format", "minimum", "maximum")}
    if schema.get("default") is not None:
        kept["default"] = schema["default"]
    for option in schema.get("anyOf", ()):
        if option.get("type") != "null":
            kept |= option
    return kept


def _error(name: str, detail: str) -> FieldError:
    return {"pointer": f"/{name[:100].replace('~', '~0').replace('/', '~1')}", "detail": detail}
