from __future__ import annotations

import pytest

from service.access.policy import needed
from service.api import application
from service.settings import Settings

OPEN = {
    "/",
    "/docs",
    "/docs.json",
    "/openapi.json",
    "/problems",
    "/problems/{code}",
    "/livez",
    "/readyz",
    "/health",
    "/metrics",
}


@pytest.mark.parametrize(
    ("endpoint", "need"),
    [
        ("/v1/text", "analyze"),
        ("/v1/jobs/{id}/events", "analyze"),
        ("/v1/stream", "analyze"),
        ("/v1/history/export", "history"),
        ("/v1/models", "open"),
        ("/schema.json", "analyze"),
        ("unmatched", "known"),
        ("/forgotten", "admin"),
    ],
)
def test_the_table_says_what_a_route_needs(endpoint, need):
    assert needed(endpoint, protect_metrics=False) == need


def test_metrics_and_health_are_for_admin_if_they_are_protected():
    assert [needed(path, protect_metrics=True) for path in ("/metrics", "/health")] == ["admin", "admin"]
    assert [needed(path, protect_metrics=True) for path in ("/livez", "/readyz")] == ["open", "open"]


def test_nothing_is_open_but_pages_probes_and_what_is_said_of_models():
    paths = {route.path for route in application.build(Settings()).routes}
    found = {path for path in paths if needed(path, protect_metrics=False) == "open"}
    assert {path for path in found if not path.startswith("/v1/models")} == OPEN
    assert not any(needed(path, protect_metrics=False) == "admin" for path in paths)
