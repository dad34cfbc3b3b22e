"""Which route needs what: one table, read from the top."""

from __future__ import annotations

from functools import cache
from typing import Literal

Need = Literal["open", "known", "analyze", "history", "admin"]
"""`open`: nothing. `known`: a good key or token. The others: one with that scope."""

UNMATCHED = "unmatched"
"""What nobody answers; whether it exists is told to known callers alone."""

_TABLE: tuple[tuple[str, Need], ...] = (
    ("/v1/models", "open"),  # whoever is judged by a model may read what it scored and where it fails
    ("/v1/history", "history"),
    ("/v1/", "analyze"),
    ("/schema.json", "analyze"),  # BentoML's own description of the service
    ("/problems", "open"),
    ("/docs", "open"),
    ("/openapi.json", "open"),
    ("/livez", "open"),
    ("/readyz", "open"),
    ("/healthz", "open"),  # BentoML's own probe, which says nothing
    (UNMATCHED, "known"),
)

_INSIGHTS = ("/metrics", "/health")
"""How much is going on here, and on what it stands: open, or for `admin` alone, by a setting."""

UNCOUNTED = frozenset({"/livez", "/readyz", "/healthz", *_INSIGHTS})
"""Asked by probes and scrapers, often through one address: no rate limit."""


@cache
def needed(endpoint: str, protect_metrics: bool) -> Need:
    """What the route with this template needs. What the table does not name is for `admin` alone."""
    if endpoint in _INSIGHTS:
        return "admin" if protect_metrics else "open"
    if endpoint == "/":
        return "open"
    for start, need in _TABLE:
        if endpoint.startswith(start):
            return need
    return "admin"
