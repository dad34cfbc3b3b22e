"""Whether an answer is a Problem as the service would have written it."""

from __future__ import annotations

import httpx

from service.api.problems import MEDIA_TYPE, PROBLEMS

FIELDS = {"type", "title", "status", "detail", "instance", "code", "request_id"}


def assert_problem(answer: httpx.Response, code: str, instance: str | None = None) -> None:
    """It has the code's status and title, every field of the contract, and says when to come again if the code does."""
    kind = PROBLEMS[code]
    assert answer.headers["content-type"] == MEDIA_TYPE
    said = answer.json()
    assert set(said) == FIELDS
    assert (said["code"], said["type"], said["title"]) == (code, f"/problems/{code}", kind.title)
    assert said["status"] == answer.status_code == kind.status
    assert said["request_id"] == answer.headers["x-request-id"] != ""
    assert answer.headers["cache-control"] == "no-store"
    assert ("retry-after" in answer.headers) == (kind.retry_after_seconds is not None)
    assert instance is None or said["instance"] == instance
