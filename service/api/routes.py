"""Which application answers a path, and the path's template for metrics and logs."""

from __future__ import annotations

import re
from collections.abc import Mapping

from starlette.applications import Starlette
from starlette.routing import Route, WebSocketRoute, compile_path
from starlette.types import ASGIApp, Scope

from service.access.policy import UNMATCHED

FRAMEWORK_PATHS = ("/healthz", "/schema.json")
"""What BentoML answers itself on the same port."""


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
