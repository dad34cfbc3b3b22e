from __future__ import annotations

import pytest
from starlette.exceptions import HTTPException

from service import media, runners
from service.api.problems import PROBLEMS, ProblemError, invalid, problem_of
from service.pipelines import LanguageUnsupported

STATUSES = {
    "malformed_json": 400,
    "malformed_multipart": 400,
    "unauthenticated": 401,
    "forbidden": 403,
    "use_restricted": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "not_finished": 409,
    "expired": 410,
    "too_large": 413,
    "unsupported_media": 415,
    "invalid_input": 422,
    "undecodable": 422,
    "too_long": 422,
    "language_unsupported": 422,
    "upgrade_required": 426,
    "rate_limited": 429,
    "cancelled": 499,
    "internal": 500,
    "overloaded": 503,
    "not_ready": 503,
    "shutting_down": 503,
    "model_unavailable": 503,
    "timed_out": 504,
}
"""What the contract decides."""


def test_every_code_has_the_status_of_the_contract():
    assert {code: kind.status for code, kind in PROBLEMS.items()} == STATUSES


@pytest.mark.parametrize("kind", PROBLEMS.values(), ids=lambda kind: kind.code)
def test_every_problem_says_cause_and_remedy_in_whole_sentences(kind):
    assert kind.cause.endswith(".") and kind.remedy.endswith(".") and not kind.title.endswith(".")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (media.Unsupported("It looks like text."), "unsupported_media"),
        (media.Undecodable("It is empty."), "undecodable"),
        (media.TooLarge("It has too many pixels."), "too_large"),
        (media.DecodersBusy("Every decoder is taken."), "overloaded"),
        (runners.Overloaded("text"), "overloaded"),
        (runners.ModelUnavailable("face", "It does not answer."), "model_unavailable"),
        (runners.TranscriptUnavailable("There are no weights."), "model_unavailable"),
        (runners.ItemRefused("It cannot be read."), "undecodable"),
        (LanguageUnsupported("xx", ("en",)), "language_unsupported"),
        (HTTPException(404), "not_found"),
        (HTTPException(418), "internal"),
        (ZeroDivisionError("a secret"), "internal"),
    ],
)
def test_every_error_of_the_layers_has_its_code(error, code):
    assert problem_of(error).kind.code == code


def test_the_error_in_a_group_is_the_one_that_is_told():
    class Group(Exception):
        exceptions = (media.Undecodable("It is empty."),)

    assert problem_of(Group()).detail == "It is empty."


def test_an_unforeseen_error_says_nothing_about_the_inside():
    assert "secret" not in problem_of(ZeroDivisionError("a secret")).detail


def test_an_overloaded_model_says_when_to_come_back():
    assert problem_of(runners.Overloaded("text", retry_after=3.2)).headers["Retry-After"] == "3"


def test_a_problem_that_will_not_pass_has_no_retry_after():
    assert "Retry-After" not in ProblemError("too_long", "Split it.").headers


def test_a_language_that_nobody_speaks_points_at_the_option_and_lists_what_is_spoken():
    problem = problem_of(LanguageUnsupported("xx", ("de", "en"))).body("/v1/text", "1")
    assert problem["errors"][0]["pointer"] == "/language"
    assert "de, en" in problem["detail"]


def test_only_validation_has_errors():
    assert "errors" not in ProblemError("timed_out", "It took too long.").body("/v1/text", "1")
    assert invalid("/text", "This must be a string.").body("/", "1")["errors"] == [
        {"pointer": "/text", "detail": "This must be a string."}
    ]
