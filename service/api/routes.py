"""Which application answers a path, and the path's template for metrics and logs."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.routing import Route, WebSocketRoute, compile_path
from starlette.types import ASGIApp, Scope

from service.access.policy import UNMATCHED
from service.settings import Settings

FRAMEWORK_PATHS = ("/healthz", "/schema.json")
"""What BentoML answers itself on the same port."""


JOBS = "/v1/jobs"
LASTING = frozenset({f"{JOBS}/{{identifier}}/events", f"{JOBS}/{{identifier}}/result", "/v1/history/export"})
"""Answers that go on for as long as there is something to say."""
SLOWEST_UPLOAD_BYTES_PER_SECOND = 1_000_000
DRIPPING_BYTES_PER_SECOND = 100_000
"""A body that comes more slowly than this, beyond the time that every request has, only holds a connection."""
TEXTS = "/v1/text"
MAX_BYTES_OF_A_CHARACTER = 6
"""In JSON: `\\uXXXX`. In UTF-8 it has four at most."""
REST_OF_A_BODY_BYTES = 100_000
"""What options, names and brackets around texts take at most."""


@dataclass(frozen=True)
class Allowance:
    """What one request may cost; `seconds` may be infinite.

    `seconds` is for a body that comes at a good pace; up to `patience` it may come at any.
    """

    body_bytes: int
    seconds: float
    patience: float

    def seconds_after(self, received: int) -> float:
        """How long a request may take of which so many bytes have come."""
        return min(self.seconds, self.patience + received / DRIPPING_BYTES_PER_SECOND)


def allowance(endpoint: str, method: str, settings: Settings) -> Allowance:
    """What a request to this endpoint may cost: a job may be large, and some answers take as long as they take."""
    usual = settings.request_timeout_seconds
    if endpoint == JOBS and method == "POST":
        uploading = settings.max_job_bytes / SLOWEST_UPLOAD_BYTES_PER_SECOND
        return Allowance(settings.max_job_bytes, max(usual, uploading), usual)
    if endpoint in LASTING:
        return Allowance(settings.max_body_bytes, math.inf, math.inf)
    body_bytes = text_body_bytes(settings) if endpoint == TEXTS else settings.max_body_bytes
    return Allowance(body_bytes, usual, usual)


def text_body_bytes(settings: Settings) -> int:
    """As many bytes as the most and longest texts that are taken may have, however they are written."""
    longest = settings.max_texts * settings.max_text_characters * MAX_BYTES_OF_A_CHARACTER + REST_OF_A_BODY_BYTES
    return min(settings.max_body_bytes, longest)


class Routes:
    """Our routes by path; `hot` routes are called without the framework around them."""

    def __init__(self, app: Starlette, hot: Mapping[tuple[str, str], ASGIApp]) -> None:
        self._app = app
        self._hot = dict(hot)
        paths = [route.path for route in app.routes if isinstance(route, (Route, WebSocketRoute))]
        self._sockets = {route.path for route in app.routes if isinstance(route, WebSocketRoute)}
        self._fixed = {path for path in paths if "{" not in path}
        self._patterns = [(_pattern(path), path) for path in paths if "{" in path]

    def find(self, scope: Scope) -> tuple[str, ASGIApp | None]:
        """The template of the scope's path, and the application that answers it; None if it is not ours."""
        path = scope["path"]
        if scope.get("type") == "websocket" and path not in self._sockets:
            return UNMATCHED, None
        hot = self._hot.get((scope.get("method", ""), path))
        if hot is not None:
            return path, hot
        if path in self._fixed:
            return path, self._app
        for pattern, template in self._patterns:
            if pattern.match(path):
                return template, self._app
        return (path if path in FRAMEWORK_PATHS else UNMATCHED), None


def _pattern(path: str) -> re.Pattern[str]:
    return compile_path(path)[0]
