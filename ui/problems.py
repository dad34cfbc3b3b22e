"""What can go wrong between here and the service, as one tree. `str()` of each is one sentence that says what to do."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any


class ServiceError(Exception):
    """The service did not give what was asked."""


class Unreachable(ServiceError):
    """Nothing answers at the address, or the connection broke off."""

    def __init__(self, sentence: str, *, sent: bool = False) -> None:
        """`sent`: the service may have got (a part of) the request."""
        super().__init__(sentence)
        self.sent = sent


class TookTooLong(ServiceError):
    """The answer did not come within the client's time limit."""


class UnexpectedAnswer(ServiceError):
    """Something answered that is not the service, or not a version that this client understands."""


class UnsafeAddress(ServiceError):
    """A key would cross a network in the open, or the address is none."""


class JobCancelled(ServiceError):
    """The job was called off; there is no result."""


class Problem(ServiceError):
    """The service's own word (RFC 9457): its `detail` says what to do."""

    def __init__(
        self,
        code: str,
        detail: str,
        status: int,
        *,
        title: str = "",
        request_id: str | None = None,
        errors: tuple[Mapping[str, Any], ...] = (),
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.status = status
        self.title = title
        self.request_id = request_id
        self.errors = errors
        self.retry_after_seconds = retry_after_seconds


def from_body(body: Mapping[str, Any], status: int, retry_after: str | None = None) -> Problem:
    """A Problem from the JSON of an `application/problem+json` answer."""
    return Problem(
        code=str(body.get("code", "internal")),
        detail=str(body.get("detail") or body.get("title") or f"The service answered {status}."),
        status=int(body.get("status", status)),
        title=str(body.get("title", "")),
        request_id=body.get("request_id"),
        errors=tuple(body.get("errors") or ()),
        retry_after_seconds=_seconds(retry_after),
    )


def _seconds(retry_after: str | None) -> float | None:
    """`Retry-After` (RFC 9110, section 10.2.3) is a number of seconds or a date."""
    if not retry_after:
        return None
    if retry_after.isdecimal():
        return float(retry_after)
    try:
        until = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    return max(0.0, (until - datetime.now(timezone.utc)).total_seconds())
