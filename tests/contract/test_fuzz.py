"""Requests made up from the OpenAPI document: nothing that it allows may be answered otherwise than it says.

The short form of `make made-up`, on a service with access control: there most can happen.
"""

from __future__ import annotations

import pytest

made_up = pytest.importorskip("tests.contract.made_up", reason="Schemathesis is not installed.", exc_type=ImportError)

SECONDS = 3600.0
"""More than they take on any machine: their number ends it."""


@pytest.mark.server
def test_answers_to_callers_with_and_without_a_key_are_those_that_the_document_lists(tmp_path):
    with made_up.behind_a_door(tmp_path, transcript_model="off") as asked:
        seen = made_up.ask_everything(asked, 250, SECONDS, 7)
    assert not seen.failures, made_up.page({"With access control": seen}, 7)
    named = {status for operation, status in seen.answers if "{identifier}" in operation}
    assert {200, 204, 401, 403, 404} <= named  # some named what there is, and some callers were let in
