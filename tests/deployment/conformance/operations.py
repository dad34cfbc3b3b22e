"""What probes, scrapers and people who run the service see."""

from __future__ import annotations

from tests.deployment.conformance.check import answered, check, must
from tests.deployment.conformance.target import Target

MODELS = {"text", "speech", "face", "detector"}


@check()
def it_lives_and_is_ready(target: Target) -> None:
    """Both probes answer with an empty 200."""
    for path in ("/livez", "/readyz"):
        response = target.http.get(path)
        must(response.status_code == 200, f"{path}: {response.status_code} {response.text[:200]}")
        must(response.content == b"", f"{path} has a body: {response.text[:80]}")


@check("operations")
def its_health_names_every_dependency(target: Target) -> None:
    """Every model answers, and it says which version it is."""
    health = answered(target.http.get("/health"))
    must(health["status"] in ("healthy", "degraded"), f"status {health['status']}: {health['problems']}")
    runners = health["dependencies"]["runners"]
    well = {name for name, state in runners.items() if state == "healthy"}
    must(well >= MODELS, f"models that do not answer: {sorted(MODELS - well)}: {health['problems']}")
    for name in ("database", "queue", "decoder", "disk"):
        must(health["dependencies"][name] == "healthy", f"{name}: {health['problems']}")
    must(health["api"]["version"], "no version")


@check("operations", "text")
def its_metrics_count_what_was_asked(target: Target) -> None:
    """One more text is one more request in the metrics, of whichever process answers."""

    def counted() -> float:
        rows = target.http.get("/metrics").raise_for_status().text.splitlines()
        wanted = ("http_requests_total{", 'endpoint="/v1/text"', 'status="200"')
        return sum(float(row.split()[-1]) for row in rows if all(word in row for word in wanted))

    before = counted()
    answered(target.http.post("/v1/text", json={"text": "One more."}))
    must(counted() > before, f"http_requests_total stays at {before:g}")


@check()
def it_tells_its_models(target: Target) -> None:
    """Every model with its digest, and a tag by which nothing is sent twice."""
    response = target.http.get("/v1/models")
    models = answered(response)["models"]
    must(len(models) >= len(MODELS), f"{len(models)} models")
    must(all(len(model["sha256"]) == 64 for model in models), "a model without its digest")
    tag = response.headers.get("etag")
    must(tag, "no ETag")
    again = target.http.get("/v1/models", headers={"If-None-Match": str(tag)})
    must(again.status_code == 304, f"with the tag: {again.status_code}")
    must(answered(target.http.get("/v1/models/fusion/calibration"))["measured"], "no calibration of the fused verdict")


@check("pages")
def its_document_and_pages_are_there(target: Target) -> None:
    """The OpenAPI document lists the routes, and each page is a page."""
    document = answered(target.http.get("/docs.json"))
    must(document["openapi"].startswith("3.1"), f"OpenAPI {document['openapi']}")
    must({"/v1/text", "/v1/analyze", "/v1/jobs"} <= set(document["paths"]), "routes are missing in the document")
    must(answered(target.http.get("/openapi.json")) == document, "/openapi.json is another document")
    for path in ("/", "/docs", "/problems", "/problems/too_large"):
        page = target.http.get(path, headers={"Accept": "text/html"})
        must(page.status_code == 200, f"{path}: {page.status_code}")
        must("text/html" in page.headers["content-type"], f"{path} is {page.headers['content-type']}")


@check("text")
def its_answers_carry_their_headers(target: Target) -> None:
    """Nothing is cached, sniffed or framed, and the request's name comes back."""
    response = target.http.post("/v1/text", json={"text": "Fine."}, headers={"X-Request-ID": "conformance-1"})
    wanted = {
        "x-request-id": "conformance-1",
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
    }
    for name, value in wanted.items():
        must(response.headers.get(name) == value, f"{name}: {response.headers.get(name)}")
    must("frame-ancestors 'none'" in response.headers.get("content-security-policy", ""), "it may be framed")
    must("total;dur=" in response.headers.get("server-timing", ""), "no Server-Timing")
    if target.secure:
        must("max-age=" in response.headers.get("strict-transport-security", ""), "no HSTS over TLS")


@check("text")
def other_origins_are_not_let_in(target: Target) -> None:
    """A page of another origin may not read answers, unless an operator said so."""
    response = target.http.post("/v1/text", json={"text": "Fine."}, headers={"Origin": "https://elsewhere.example"})
    must("access-control-allow-origin" not in response.headers, "any origin may read answers")
