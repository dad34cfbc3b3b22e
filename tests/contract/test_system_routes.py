from __future__ import annotations

import re

import pytest
from openapi_spec_validator import validate

from models.registry import load_registry
from service import __version__
from tests.contract.conftest import picture, problem
from tests.jobs_running import until

pytestmark = pytest.mark.server

METRICS = {
    "http_requests_total",
    "http_request_duration_seconds",
    "active_connections",
    "model_inference_seconds",
    "model_batch_size",
    "queue_depth",
    "queue_wait_seconds",
    "media_decode_seconds",
    "media_rejected_total",
    "predictions_total",
    "abstentions_total",
    "prediction_confidence",
    "build_info",
}


def test_the_document_is_our_own_openapi_3_1(http):
    document = http.get("/docs.json").json()
    assert document["openapi"].startswith("3.1")
    assert "/v1/analyze" in document["paths"]
    assert document == http.get("/openapi.json").json()
    validate(document)


def test_the_document_is_that_of_the_code(http):
    from service.api import application
    from service.settings import Settings

    assert http.get("/docs.json").json() == application.build(Settings()).openapi()


@pytest.mark.parametrize("path", ["/", "/docs", "/problems/too_large"])
def test_pages_load_nothing_from_elsewhere(http, path):
    page = http.get(path, headers={"Accept": "text/html"})
    assert page.status_code == 200
    assert "googletagmanager" not in page.text
    assert not re.search(r"(src|href)=.?(https?:)?//", page.text)


def test_it_is_alive_and_ready(http):
    for path in ("/livez", "/readyz"):
        response = http.get(path)
        assert (response.status_code, response.content) == (200, b"")
        assert http.head(path).status_code == 200


def all_well(health: dict) -> dict | None:
    """It, if every dependency answers; on a busy machine one may need longer than it is given."""
    told = health["dependencies"]
    answers = [told["decoder"], *(told["runners"][name] for name in ("text", "speech", "face", "detector"))]
    return health if set(answers) == {"healthy"} else None


def test_health_names_every_dependency(http):
    health = until(lambda: all_well(http.get("/health").json()))
    assert health["status"] in ("healthy", "degraded")
    assert health["api"]["version"] == __version__
    assert health["uptime_seconds"] > 0
    assert set(health["system"]) == {"cpu_percent", "memory_percent", "disk_percent"}


def test_every_model_is_listed_with_scores_and_terms(http):
    response = http.get("/v1/models")
    listed = {model["name"]: model for model in response.json()["models"]}
    for name, entry in load_registry().items():
        assert listed[name]["sha256"] == entry.sha256
        assert listed[name]["licence"] == entry.licence
        assert listed[name]["scores"]
    assert {model["modality"] for model in listed.values() if model["served"]} >= {"text", "speech", "face"}
    etag = response.headers["etag"]
    assert http.get("/v1/models", headers={"If-None-Match": etag}).status_code == 304


def test_metrics_count_requests_by_template_over_all_processes(http):
    http.post("/v1/text", json={"text": "I love it"})
    http.post("/v1/image", files={"file": picture()})
    http.post("/v1/image", files={"file": b"This is only a text."})
    http.get("/some/raw/path/4711")
    http.get("/problems/too_large")
    scrape = http.get("/metrics")
    assert scrape.headers["content-type"].startswith("text/plain")
    text = scrape.text
    assert set(re.findall(r"^# TYPE (\w+?)(?:_total)? ", text, re.MULTILINE)) >= {
        name.removesuffix("_total") for name in METRICS
    }
    assert re.search(r'^http_requests_total\{endpoint="/v1/text",method="POST",status="200"\} ', text, re.MULTILINE)
    assert 'endpoint="/problems/{code}"' in text
    assert 'endpoint="unmatched"' in text
    assert "/some/raw/path" not in text
    assert re.search(r'^model_inference_seconds_count\{model_type="text"\} [1-9]', text, re.MULTILINE)
    assert re.search(r'^predictions_total\{label="positive",modality="text"\} [1-9]', text, re.MULTILINE)
    assert f'build_info{{version="{__version__}"}} 1.0' in text


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/nothing/here", "not_found"),
        ("GET", "/problems/boredom", "not_found"),
        ("GET", "/v1/text", "method_not_allowed"),
        ("DELETE", "/v1/models", "method_not_allowed"),
        ("POST", "/livez", "method_not_allowed"),
        ("POST", "/healthz", "method_not_allowed"),
        ("OPTIONS", "/v1/text", "method_not_allowed"),
    ],
)
def test_errors_of_every_layer_are_problems(http, method, path, code):
    problem(http.request(method, path), code)


def test_a_request_id_goes_in_and_comes_out(http):
    assert http.get("/livez", headers={"X-Request-ID": "mine-1"}).headers["x-request-id"] == "mine-1"
    assert problem(http.get("/x", headers={"X-Request-ID": "mine-2"}), "not_found")["request_id"] == "mine-2"


@pytest.mark.parametrize("path", ["/v1/text", "/v1/image", "/livez", "/healthz", "/", "/predict"])
def test_pickles_are_refused(http, path):
    response = http.post(
        path, content=b"cos\nsystem\n(S'true'\ntR.", headers={"content-type": "application/vnd.bentoml+pickle"}
    )
    assert response.status_code in (404, 405, 415)
    assert response.headers["content-type"] == "application/problem+json"


def test_every_answer_has_its_headers(http):
    for response in (http.get("/livez"), http.get("/nothing"), http.post("/v1/text", json={"text": "I love it"})):
        assert response.headers["cache-control"] == "no-store"
        assert "total;dur=" in response.headers["server-timing"]
    assert "text;dur=" in response.headers["server-timing"]


def test_what_people_send_is_not_written_to_the_log(http, service):
    http.post("/v1/text", json={"text": "a secret that nobody must read"})
    http.post("/v1/image", files={"file": ("a secret name.png", b"a secret file", "image/png")})
    log = service.log.read_text()
    assert '"endpoint":"/v1/image"' in log
    assert "secret" not in log
