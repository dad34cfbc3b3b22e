"""Options: the same names and checks whether they come as JSON, as form fields or in the query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError
from starlette.datastructures import QueryParams

from service.api.problems import FieldError, invalid_fields
from service.pipelines import Options

_ADAPTERS = {name: TypeAdapter(hint) for name, hint in get_type_hints(Options, include_extras=True).items()}
OPTION_NAMES = tuple(field.name for field in fields(Options))
_LISTS = frozenset(field.name for field in fields(Options) if isinstance(field.default, tuple))
_DEFAULTS = Options()


def options_from_json(values: Mapping[str, Any], query: QueryParams) -> Options:
    """Options in the query and, with precedence, among the members of a JSON object. Raises `invalid_input`."""
    if not values and not query:
        return _DEFAULTS
    given, errors = _from_query(query)
    for name, value in values.items():
        _check(name, tuple(value) if isinstance(value, list) else value, given, errors, strict=True)
    return _options(given, errors)


def options_from_form(values: Mapping[str, Sequence[str]], query: QueryParams) -> Options:
    """Options in the query and, with precedence, among the fields of a form. Raises `invalid_input`."""
    if not values and not query:
        return _DEFAULTS
    given, errors = _from_query(query)
    for name, texts in values.items():
        _check_texts(name, texts, given, errors)
    return _options(given, errors)


def _from_query(query: QueryParams) -> tuple[dict[str, Any], list[FieldError]]:
    given: dict[str, Any] = {}
    errors: list[FieldError] = []
    for name in query:
        _check_texts(name, query.getlist(name), given, errors)
    return given, errors


def _check_texts(name: str, texts: Sequence[str], given: dict[str, Any], errors: list[FieldError]) -> None:
    if name in _LISTS:
        _check(name, tuple(texts), given, errors, strict=False)
    elif len(texts) > 1:
        errors.append(_error(name, "This option was given more than once."))
    else:
        _check(name, texts[0], given, errors, strict=False)


def _check(name: str, value: Any, given: dict[str, Any], errors: list[FieldError], *, strict: bool) -> None:
    adapter = _ADAPTERS.get(name)
    if adapter is None:
        errors.append(_error(name, f"No option has this name; these exist: {', '.join(OPTION_NAMES)}."))
        return
    try:
        given[name] = adapter.validate_python(value, strict=strict)
    except ValidationError as error:
        for found in error.errors(include_url=False, include_context=False, include_input=False):
            place = "".join(f"/{part}" for part in found["loc"] if isinstance(part, int))
            errors.append({"pointer": f"/{_escape(name)}{place}", "detail": f"{found['msg']}."})


def _options(given: dict[str, Any], errors: list[FieldError]) -> Options:
    if errors:
        raise invalid_fields(errors)
    return Options(**given)


def _error(name: str, detail: str) -> FieldError:
    return {"pointer": f"/{_escape(name)}", "detail": detail}


def _escape(name: str) -> str:
    """A member name in a JSON pointer (RFC 6901), shortened where somebody sends a very long one."""
    return name[:100].replace("~", "~0").replace("/", "~1")
