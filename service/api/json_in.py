"""JSON that a client sent."""

from __future__ import annotations

from typing import Any, Literal

import orjson

from service.api.problems import ProblemError, invalid


def json_object(content: bytes | str, what: Literal["body", "message"]) -> dict[str, Any]:
    """The object that a body or a message is. Raises `malformed_json` and `invalid_input`."""
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise ProblemError("malformed_json", f"The {what} is not JSON: {error}.") from error
    if not isinstance(value, dict):
        raise invalid("", f"The {what} must be a JSON object.")
    return value
