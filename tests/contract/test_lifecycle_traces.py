"""One trace from the gateway through the runners, as a collector gets it."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.jobs_running import until
from tests.observability.collector import CollectedSpan, Collector, collector
from tests.serving import running_service

pytestmark = pytest.mark.server

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
ASKED_BY = "00f067aa0ba902b7"
SPANS = {"POST /v1/image", "decode", "batch detector", "detect_parcel", "batch face", "predict_parcel"}


def test_a_picture_is_one_trace_from_who_asked_to_the_runner(
    tmp_path: Path, samples: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")  # milliseconds until what is over is sent
    picture = (samples / "image" / "portrait_smile.jpg").read_bytes()
    with collector() as collected:
        with running_service(tmp_path, traces_url=collected.url, transcript_model="off") as running:
            answer = httpx.post(
                f"{running.address}/v1/image",
                files={"file": ("a-private-name.jpg", picture)},
                headers={"traceparent": f"00-{TRACE}-{ASKED_BY}-01"},
                timeout=60,
            )
            assert answer.status_code == 200
            until(lambda: {span.name for span in collected.spans if span.trace == TRACE} >= SPANS)
        spans = {span.name: span for span in collected.spans if span.trace == TRACE}
    request = spans["POST /v1/image"]
    assert (request.service, request.parent) == ("multimodal_sentiment", ASKED_BY)
    assert request.attributes["request.id"] == answer.headers["x-request-id"]
    assert _parents(spans, "decode") == [request]
    for model, call in (("detector", "detect_parcel"), ("face", "predict_parcel")):
        batch = spans[f"batch {model}"]
        assert batch.parent == request.id
        assert (spans[call].service, spans[call].parent) == ("face_runner", batch.id)
    _holds_nothing_private(collected)


def _parents(spans: dict[str, CollectedSpan], name: str) -> list[CollectedSpan]:
    return [span for span in spans.values() if span.id == spans[name].parent]


def _holds_nothing_private(collected: Collector) -> None:
    assert not any(b"private-name" in body for body in collected.raw)
    kept = {"http.request.method", "http.route", "request.id", "http.response.status_code"}
    kept |= {"kind", "model", "batch.size", "batch.requests"}
    assert {name for span in collected.spans for name in span.attributes} <= kept
