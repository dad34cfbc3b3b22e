"""Requests made up from the OpenAPI document: nothing that it allows may be answered otherwise than it says."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings

from service.api import application
from service.settings import Settings

schemathesis = pytest.importorskip("schemathesis", reason="Schemathesis is not installed.")

pytestmark = pytest.mark.server

DOCUMENT = application.build(Settings()).openapi()
ROUTES = [(path, method) for path, item in DOCUMENT["paths"].items() for method in item]


@pytest.mark.parametrize(("path", "method"), ROUTES)
def test_answers_are_those_that_the_document_lists(service, path, method):
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi import checks

    wanted = [
        not_a_server_error,
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_schema_conformance,
    ]
    operation = schemathesis.openapi.from_dict(DOCUMENT)[path][method]

    @given(case=operation.as_strategy())
    @settings(max_examples=10, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    def ask(case) -> None:
        case.call_and_validate(base_url=service.address, checks=wanted)

    ask()
