"""Which of BentoML's middlewares our services go without."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.applications import Starlette

DROPPED = frozenset({"OpenTelemetryMiddleware", "TimeoutMiddleware"})
"""They cost a gateway more than all the rest of a request together, and a runner a third of a call (2.1 ms of processor
time with them, 1.45 without); collectors and the edge have time-outs of their own."""

KEPT = frozenset({"ContextMiddleware"})


class UnexpectedBentoML(RuntimeError):
    """This BentoML wraps its application in other middlewares than the pinned version."""


def drop_middlewares(app: Starlette) -> None:
    """Take `DROPPED` out of BentoML's application. Raises `UnexpectedBentoML` if its middlewares are others."""
    names = [getattr(middleware.cls, "__name__", "") for middleware in app.user_middleware]
    if set(names) != DROPPED | KEPT:
        raise UnexpectedBentoML(f"Expected the middlewares {sorted(DROPPED | KEPT)}, found {names}.")
    app.user_middleware = [
        middleware for middleware, name in zip(app.user_middleware, names, strict=True) if name not in DROPPED
    ]
