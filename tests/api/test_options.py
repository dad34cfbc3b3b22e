from __future__ import annotations

import pytest
from starlette.datastructures import QueryParams

from service.api.options import OPTION_NAMES, options_from_form, options_from_json
from service.api.problems import ProblemError
from service.pipelines import Options

NOTHING = QueryParams("")


def refused(call) -> list[tuple[str, str]]:
    with pytest.raises(ProblemError) as caught:
        call()
    assert caught.value.kind.code == "invalid_input"
    return [(error["pointer"], error["detail"]) for error in caught.value.errors or []]


def test_the_options_are_those_of_the_contract():
    names = "language explain transcribe aspects detail store min_confidence coverage"
    assert " ".join(OPTION_NAMES) == names


def test_nothing_given_means_the_defaults():
    assert options_from_json({}, NOTHING) == Options()


def test_json_form_and_query_say_the_same():
    wanted = Options(language="de-CH", explain=True, aspects=("food", "wine"), detail="full", min_confidence=0.5)
    body = {"language": "de-CH", "explain": True, "aspects": ["food", "wine"], "detail": "full", "min_confidence": 0.5}
    form = {
        "language": ["de-CH"],
        "explain": ["true"],
        "aspects": ["food", "wine"],
        "detail": ["full"],
        "min_confidence": ["0.5"],
    }
    query = QueryParams("language=de-CH&explain=true&aspects=food&aspects=wine&detail=full&min_confidence=0.5")
    assert options_from_json(body, NOTHING) == wanted
    assert options_from_form(form, NOTHING) == wanted
    assert options_from_json({}, query) == wanted
    assert options_from_form({}, query) == wanted


def test_the_body_outranks_the_query():
    query = QueryParams("detail=full&explain=true")
    assert options_from_json({"detail": "summary"}, query) == Options(detail="summary", explain=True)


@pytest.mark.parametrize(
    ("value", "pointer"),
    [
        ({"language": "no language"}, "/language"),
        ({"language": 3}, "/language"),
        ({"explain": "yes"}, "/explain"),
        ({"explain": 1}, "/explain"),
        ({"transcribe": "always"}, "/transcribe"),
        ({"detail": None}, "/detail"),
        ({"aspects": "food"}, "/aspects"),
        ({"aspects": ["food", 3]}, "/aspects/1"),
        ({"aspects": [""]}, "/aspects/0"),
        ({"aspects": ["x"] * 33}, "/aspects"),
        ({"min_confidence": 1.5}, "/min_confidence"),
        ({"min_confidence": float("nan")}, "/min_confidence"),
        ({"min_confidence": "0.5"}, "/min_confidence"),
        ({"coverage": 0.5}, "/coverage"),
        ({"coverage": 1.0}, "/coverage"),
        ({"a/b~c": 1}, "/a~1b~0c"),
    ],
)
def test_a_wrong_option_is_pointed_at(value, pointer):
    found = refused(lambda: options_from_json(value, NOTHING))
    assert found[0][0] == pointer
    assert found[0][1].endswith(".")


def test_an_unknown_option_lists_those_that_exist():
    ((pointer, detail),) = refused(lambda: options_from_json({"explian": True}, NOTHING))
    assert pointer == "/explian"
    assert "explain" in detail


def test_every_wrong_option_is_told_at_once():
    found = refused(lambda: options_from_form({"explain": ["maybe"], "detail": ["all"]}, QueryParams("bogus=1")))
    assert {pointer for pointer, _ in found} == {"/explain", "/detail", "/bogus"}


def test_an_option_that_is_given_twice_is_refused():
    assert refused(lambda: options_from_form({"detail": ["full", "summary"]}, NOTHING))[0][0] == "/detail"
