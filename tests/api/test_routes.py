from __future__ import annotations

import pytest

from service.api import application


@pytest.mark.parametrize(
    ("method", "path", "template"),
    [
        ("POST", "/v1/text", "/v1/text"),
        ("GET", "/v1/text", "/v1/text"),
        ("GET", "/problems/too_large", "/problems/{code}"),
        ("GET", "/problems/too_large/x", "unmatched"),
        ("GET", "/v1/text/123", "unmatched"),
        ("GET", "/healthz", "/healthz"),
        ("GET", "/static_content/x", "unmatched"),
    ],
)
def test_metrics_see_the_template_and_never_the_path(app, method, path, template):
    assert application.routes(app).find({"method": method, "path": path})[0] == template
