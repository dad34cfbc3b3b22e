"""The OpenAPI document against what the contract decides."""

from __future__ import annotations

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from service.api import application
from service.api.problems import PROBLEMS
from service.settings import Settings

ANSWERS = {
    "invalid_input",
    "language_unsupported",
    "cancelled",
    "internal",
    "overloaded",
    "not_ready",
    "model_unavailable",
    "timed_out",
}
FILES = {"malformed_multipart", "too_large", "unsupported_media", "undecodable"}
FINDING = {"cancelled", "internal", "not_ready", "timed_out"}
TEXTS = {"malformed_json", "too_large", "unsupported_media", "too_long"}

ROUTES = {
    ("post", "/v1/text"): ANSWERS | TEXTS,
    ("post", "/v1/audio"): ANSWERS | FILES | {"use_restricted"},
    ("post", "/v1/image"): ANSWERS | FILES | {"use_restricted"},
    ("post", "/v1/video"): ANSWERS | FILES | {"use_restricted"},
    ("post", "/v1/analyze"): ANSWERS | FILES | {"use_restricted", "too_long"},
    ("get", "/v1/stream"): {"upgrade_required", "overloaded", "not_ready", "shutting_down"},
    ("get", "/v1/history"): FINDING | {"invalid_input"},
    ("get", "/v1/history/export"): FINDING | {"invalid_input"},
    ("get", "/v1/history/{identifier}"): FINDING | {"not_found"},
    ("delete", "/v1/history/{identifier}"): FINDING | {"not_found"},
    ("delete", "/v1/history"): FINDING,
    ("post", "/v1/jobs"): FILES | FINDING | {"use_restricted", "too_long", "invalid_input", "overloaded"},
    ("get", "/v1/jobs"): FINDING | {"invalid_input"},
    ("get", "/v1/jobs/{identifier}"): FINDING | {"not_found"},
    ("delete", "/v1/jobs/{identifier}"): FINDING | {"not_found"},
    ("get", "/v1/jobs/{identifier}/events"): FINDING | {"not_found", "invalid_input", "overloaded"},
    ("get", "/v1/jobs/{identifier}/result"): FINDING
    | {
        "not_found",
        "invalid_input",
        "not_finished",
        "expired",
        "too_large",
        "unsupported_media",
        "undecodable",
        "language_unsupported",
        "overloaded",
        "model_unavailable",
        "use_restricted",
    },
    ("get", "/v1/models"): {"internal"},
    ("get", "/v1/models/{name}/calibration"): {"not_found", "internal"},
    ("get", "/problems"): set(),
    ("get", "/problems/{code}"): {"not_found"},
    ("get", "/health"): set(),
    ("get", "/livez"): set(),
    ("get", "/readyz"): {"not_ready", "shutting_down"},
    ("get", "/metrics"): set(),
    ("get", "/docs.json"): set(),
    ("get", "/openapi.json"): set(),
    ("get", "/docs"): set(),
    ("get", "/"): set(),
}
OPTIONS = {"language", "explain", "transcribe", "aspects", "detail", "store", "min_confidence", "coverage"}
WARNINGS = {
    "no_face",
    "no_speech",
    "no_audio",
    "no_video",
    "low_quality",
    "truncated",
    "transcript_unavailable",
    "transcript_uncertain",
    "language_unsupported",
    "clipped",
    "not_stored",
}
ANALYSIS = {
    "id",
    "created",
    "kind",
    "sentiment",
    "emotions",
    "modalities",
    "fusion",
    "timeline",
    "transcript",
    "explanation",
    "media",
    "models",
    "warnings",
    "timings",
    "prediction_set",
}


@pytest.fixture
def document(app) -> dict:
    return app.openapi()


def operations(document: dict) -> dict[tuple[str, str], dict]:
    return {(method, path): found for path, item in document["paths"].items() for method, found in item.items()}


def test_it_is_openapi_3_1_and_valid(document):
    assert document["openapi"].startswith("3.1")
    validate(document)


def test_the_routes_are_those_of_the_contract(document):
    assert set(operations(document)) == set(ROUTES)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route[1])
def test_each_route_lists_its_problems(document, route):
    operation = operations(document)[route]
    answers = [answer for answer in operation["responses"].values() if "content" in answer]
    assert {code for answer in answers for code in _codes(answer)} == ROUTES[route] | _refusals(route[1])
    for status, answer in operation["responses"].items():
        assert {PROBLEMS[code].status for code in _codes(answer)} <= {int(status)}


def _refusals(path: str) -> set[str]:
    """What is added: for names that are not the service's; to all but probes limits and its end; credentials."""
    if path in ("/livez", "/readyz", "/health", "/metrics"):
        return {"forbidden"}
    scoped = path.startswith("/v1/") and not path.startswith("/v1/models")
    return {"forbidden", "rate_limited", "shutting_down"} | ({"unauthenticated"} if scoped else set())


def test_while_access_control_is_off_the_document_asks_for_no_credentials(document):
    assert "securitySchemes" not in document["components"]
    assert not any("security" in operation for operation in operations(document).values())


def test_with_access_control_the_document_says_what_each_route_needs(tmp_path):
    settings = Settings(auth="api_key", api_keys_file=tmp_path / "keys.json", protect_metrics=True)
    document = application.build(settings).openapi()
    validate(document)
    found = operations(document)
    assert found["post", "/v1/text"]["security"] == [{"bearer": ["analyze"]}, {"api_key": ["analyze"]}]
    assert found["get", "/metrics"]["security"] == [{"bearer": ["admin"]}, {"api_key": ["admin"]}]
    assert "security" not in found["get", "/v1/models"]


def _codes(answer: dict) -> set[str]:
    return set(answer.get("content", {}).get("application/problem+json", {}).get("examples", {}))


@pytest.mark.parametrize("route", [route for route in ROUTES if route[0] == "post"], ids=lambda route: route[1])
def test_options_have_the_same_names_in_body_and_query(document, route):
    operation = operations(document)[route]
    (body,) = operation["requestBody"]["content"].values()
    assert set(body["schema"]["properties"]) >= OPTIONS
    asked = {parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "query"}
    assert asked == OPTIONS
    assert all(parameter["description"] for parameter in operation["parameters"])


def test_every_warning_code_is_listed(document):
    assert set(document["components"]["schemas"]["Notice"]["properties"]["code"]["enum"]) == WARNINGS


def test_every_problem_code_is_listed(document):
    assert document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"] == list(PROBLEMS)
    assert set(document["components"]["schemas"]["Problem"]["required"]) == {
        "type",
        "title",
        "status",
        "detail",
        "instance",
        "code",
        "request_id",
    }


def test_an_analysis_always_has_all_its_members_and_only_the_modalities_that_were_given(document):
    schemas = document["components"]["schemas"]
    assert set(schemas["Analysis"]["properties"]) == ANALYSIS
    assert set(schemas["Analysis"]["required"]) == ANALYSIS
    assert set(schemas["Modalities"]["properties"]) == {"text", "speech", "face"}
    assert "required" not in schemas["Modalities"]


def test_descriptions_come_from_the_code(document):
    sentiment = document["components"]["schemas"]["Sentiment"]["properties"]
    assert sentiment["valence"]["description"] == "P(positive) - P(negative), in [-1, 1]."


def test_every_route_is_summed_up_in_a_sentence(document):
    assert all(operation["summary"].endswith(".") for operation in operations(document).values())


def test_operations_have_names_of_their_own(document):
    names = [operation["operationId"] for operation in operations(document).values()]
    assert len(names) == len(set(names))
    assert {"post_text", "post_image", "get_models", "get_problem"} <= set(names)


def test_the_example_of_an_explanation_is_one(document):
    (example,) = document["components"]["schemas"]["Explanation"]["examples"]
    schema = {"$ref": "#/components/schemas/Explanation", "components": document["components"]}
    Draft202012Validator(schema).validate(example)
    for reason in example["reasons"]:
        assert reason["span"] or reason["seconds"] or reason["box"]
    for word in example["words"]:
        assert example["reasons"][1]["text"][word["start"] : word["end"]] == word["text"]


def test_every_part_of_an_explanation_is_described(document):
    schemas = document["components"]["schemas"]
    for name, told in (
        ("Heatmap", {"box", "label", "weights", "png_base64"}),
        ("Reason", {"weight", "without", "span"}),
    ):
        assert all(schemas[name]["properties"][member]["description"] for member in told)
