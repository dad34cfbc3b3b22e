"""Spans within one process; tests/contract/test_lifecycle_traces.py follows them through the runners."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator

import pytest

from service.api import application
from service.api.edge import Edge
from service.observability import tracing
from service.runners.batching import Collector as Batches
from service.settings import Settings
from tests.api.conftest import client_of
from tests.observability.collector import Collector, collector

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The collector is waited for: what a slow machine does to it is not asked here."""
    monkeypatch.setattr(tracing, "FLUSH_MILLISECONDS", 60_000)


@pytest.fixture
def collected() -> Iterator[Collector]:
    with collector() as running:
        tracing.start(Settings(traces_url=running.url), "gateway")
        yield running
        tracing.stop()


@pytest.fixture
def edge(tmp_path) -> Edge:
    settings = Settings(temp_folder=tmp_path / "uploads")
    app = application.build(settings)
    return Edge(application.routes(app), app, settings)


async def test_a_request_is_a_span_in_the_trace_of_who_asked(edge, collected):
    async with client_of(edge) as client:
        await client.get("/problems/too_large?secret=1", headers={"traceparent": PARENT, "x-request-id": "mine"})
    tracing.stop()
    (span,) = collected.spans
    assert (span.service, span.name, span.trace, span.parent) == (
        "gateway",
        "GET /problems/{code}",
        TRACE,
        "b7ad6b7169203331",
    )
    assert span.attributes == {
        "http.request.method": "GET",
        "http.route": "/problems/{code}",
        "request.id": "mine",
        "http.response.status_code": 200,
    }
    assert not span.failed


async def test_an_error_marks_its_span_and_tells_nothing_of_the_text(edge, collected):
    async with client_of(edge) as client:
        assert (await client.post("/v1/text", json={"text": "a secret"})).status_code == 503  # nothing is loaded here
    tracing.stop()
    (span,) = collected.spans
    assert span.failed
    assert not any(b"secret" in body for body in collected.raw)


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/health", "/metrics"])
async def test_probes_are_not_traced(edge, collected, path):
    async with client_of(edge) as client:
        await client.get(path)
    tracing.stop()
    assert collected.spans == []


async def test_who_decided_not_to_be_traced_is_not(edge, collected):
    async with client_of(edge) as client:
        await client.get("/docs.json", headers={"traceparent": PARENT[:-1] + "0"})
    tracing.stop()
    assert collected.spans == []


async def test_a_batch_belongs_to_its_first_request_and_is_linked_to_the_others(collected):
    entered, go_on = asyncio.Event(), asyncio.Event()

    async def call(items: list[int]) -> list[int]:
        entered.set()
        await go_on.wait()
        return items

    batches = Batches("text", call)

    async def ask(item: int) -> None:
        with tracing.serving(f"request {item}", ()):
            await batches.submit([item, item])

    first = asyncio.create_task(ask(1))
    await asyncio.wait_for(entered.wait(), 60)
    others = [asyncio.create_task(ask(item)) for item in (2, 3)]
    await asyncio.sleep(0.01)
    go_on.set()
    await asyncio.gather(first, *others)
    tracing.stop()
    alone, shared = collected.named("batch text")
    assert alone.parent == collected.named("request 1")[0].id and alone.links == ()
    assert shared.parent == collected.named("request 2")[0].id
    assert shared.links == (collected.named("request 3")[0].id,)
    assert shared.attributes == {"model": "text", "batch.size": 4, "batch.requests": 2}


async def test_a_share_of_the_requests_can_be_traced(edge):
    with collector() as collected:
        tracing.start(Settings(traces_url=collected.url, traces_ratio=0.0), "gateway")
        async with client_of(edge) as client:
            await client.get("/docs.json")
            await client.get("/docs.json", headers={"traceparent": PARENT})
        tracing.stop()
    assert [span.trace for span in collected.spans] == [TRACE]


def test_without_a_collector_nothing_is_traced_and_nothing_is_loaded():
    code = "import sys; from service.observability import tracing; from service.settings import Settings;"
    code += "tracing.start(Settings(), 'x'); print(tracing.active(), [m for m in sys.modules if 'opentelemetry' in m])"
    import subprocess

    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.split() == ["False", "[]"]


async def test_a_collector_that_is_away_delays_no_answer(edge):
    tracing.start(Settings(traces_url="http://127.0.0.1:9/v1/traces"), "gateway")
    async with client_of(edge) as client:
        assert (await client.get("/docs.json")).status_code == 200
    tracing.stop()
