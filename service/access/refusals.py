"""Why somebody is not let in, as one tree; the API turns each into its Problem."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Reason = Literal["missing", "malformed", "unknown", "expired", "invalid", "scope", "origin", "host", "unreachable"]
"""Why it failed, for metrics."""

_REALM = 'Bearer realm="multimodal-sentiment"'


class Refused(Exception):
    """Not let in. `str()` says what to do; `headers` go with the answer."""

    reason: Reason
    headers: Mapping[str, str] = {}


class Unauthenticated(Refused):
    """Nobody is known by what was sent."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        error = "" if reason == "missing" else f', error="invalid_token", error_description="{detail}"'
        self.headers = {"WWW-Authenticate": _REALM + error}


class Forbidden(Refused):
    """The caller is known, but lacks a scope."""

    reason = "scope"

    def __init__(self, scope: str) -> None:
        super().__init__(f"The key or token lacks the scope `{scope}`; ask the operator for one that has it.")
        self.headers = {"WWW-Authenticate": f'{_REALM}, error="insufficient_scope", scope="{scope}"'}


class ForeignOrigin(Refused):
    """A page of another origin opens a WebSocket or sends something, which browsers let it do without asking."""

    reason = "origin"

    def __init__(self) -> None:
        super().__init__(
            "Pages of this origin may not ask; the operator lists those that may in SENTIMENT_CORS_ORIGINS."
        )


class ForeignHost(Refused):
    """The service was asked by a name that is none of its own."""

    reason = "host"

    def __init__(self) -> None:
        super().__init__("The service has no such name; the operator lists its names in SENTIMENT_ALLOWED_HOSTS.")


class KeysUnreachable(Refused):
    """The token may be good, but the keys that would tell can't be read now."""

    reason = "unreachable"
    retry_after = 5.0

    def __init__(self) -> None:
        super().__init__("The keys that tokens are checked with could not be read; try again in a moment.")


class RateLimited(Exception):
    """The budget is spent. `retry_after` is in seconds."""

    def __init__(self, detail: str, headers: Mapping[str, str], retry_after: float) -> None:
        super().__init__(detail)
        self.headers = headers
        self.retry_after = retry_after
