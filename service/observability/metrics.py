"""Prometheus metrics: what is counted, and one scrape over all processes of the service.

Labels are bounded: endpoints are route templates, methods and modalities come from fixed lists, and nothing that
people send becomes a label.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST as CONTENT_TYPE  # noqa: F401  (goes with `scrape`)
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from service import __version__
from service.domain.analysis import Analysis
from service.domain.labels import MODALITIES
from service.domain.sentiment import Sentiment
from service.observability import folding
from service.observability.readings import Readings

NOTHING_READ = Readings()
MULTIPROCESS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""0.2 s is what 95 % of the answers are held to: a bound, so that the share is counted and not guessed between two."""
_JOB_SECONDS = (0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 14400.0)
_TENTHS = tuple(tenth / 10 for tenth in range(1, 11))
_BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)

_requests = Counter("http_requests_total", "Requests answered.", ("method", "endpoint", "status"))
_request_seconds = Histogram(
    "http_request_duration_seconds",
    "Seconds from request to the end of the answer.",
    ("method", "endpoint"),
    buckets=_SECONDS,
)
connections = Gauge("active_connections", "Open WebSockets.", multiprocess_mode="livesum")
_inference_seconds = Histogram(
    "model_inference_seconds",
    "Seconds that a batch took, the way there and back included.",
    ("model_type",),
    buckets=_SECONDS,
)
_batch_size = Histogram(
    "model_batch_size", "Items that one call to a model carried.", ("model_type",), buckets=_BATCHES
)
_queue_depth = Gauge("queue_depth", "Items that wait for a model.", ("queue",), multiprocess_mode="livesum")
_queue_seconds = Histogram("queue_wait_seconds", "Seconds that an item waited.", ("queue",), buckets=_SECONDS)
_model_failures = Counter("model_failures_total", "Batches that a model did not answer.", ("model_type",))
_decode_seconds = Histogram("media_decode_seconds", "Seconds spent decoding a file.", ("kind",), buckets=_SECONDS)
_stream_seconds = Histogram(
    "stream_latency_seconds", "Seconds from capture to a stream's result.", ("source",), buckets=_SECONDS
)
_stream_pictures = Counter("stream_pictures_total", "Pictures of streams.", ("outcome",))
_job_seconds = Histogram(
    "job_duration_seconds", "Seconds from the beginning of a job to its end.", ("kind", "state"), buckets=_JOB_SECONDS
)
_rejected = Counter("media_rejected_total", "Files that were refused.", ("kind", "code"))
_predictions = Counter("predictions_total", "Verdicts given.", ("modality", "label"))
_abstentions = Counter("abstentions_total", "Fused verdicts withheld.", ("reason",))
_confidence = Histogram("prediction_confidence", "Confidence of the verdicts given.", ("modality",), buckets=_TENTHS)
_conflict = Histogram(
    "fusion_conflict",
    "How far the modalities of an answer disagree (Jensen-Shannon divergence).",
    ("kind",),
    buckets=_TENTHS,
)
_stored = Counter("history_writes_total", "Analyses that were to be stored.", ("outcome",))
_auth_failures = Counter("auth_failures_total", "Requests whose credentials were not enough.", ("reason",))
_rate_limited = Counter("rate_limited_total", "Requests refused since their client had asked too often.")
_limits_failures = Counter("rate_limit_store_failures_total", "Times that Redis did not answer about rate limits.")
_anomalies = Counter("client_anomalies_total", "Bursts of refusals of one kind to one client.", ("kind",))
_build = Gauge("build_info", "Always 1; the label says which version runs.", ("version",), multiprocess_mode="livemax")


def build_info() -> None:
    """State the version that runs."""
    _build.labels(__version__).set(1)


def served(method: str, endpoint: str, status: int, seconds: float) -> None:
    """Count one answered request."""
    method = method if method in METHODS else "other"
    _child(_requests, method, endpoint, str(status)).inc()
    _child(_request_seconds, method, endpoint).observe(seconds)


def predicted(analysis: Analysis) -> None:
    """Count the verdicts of one answer: the fused one, and each modality's own."""
    _count("fused", analysis.sentiment)
    for modality in MODALITIES:
        part = analysis.modalities.get(modality)
        if part is not None:
            _count(modality, part.sentiment)
    if analysis.sentiment.reason is not None:
        _child(_abstentions, analysis.sentiment.reason).inc()
    if len(analysis.modalities) > 1:
        _child(_conflict, analysis.kind).observe(analysis.fusion.conflict)


def decoded(kind: str, seconds: float) -> None:
    """Count one decoded file."""
    _child(_decode_seconds, kind).observe(seconds)


def stream_answered(source: str, latency_seconds: float) -> None:
    """Count one result of a stream, and how long after its capture it was ready."""
    if source == "face":
        stream_pictures("looked_at", 1)
    _child(_stream_seconds, source).observe(latency_seconds)


def stream_pictures(outcome: str, count: int) -> None:
    """Count pictures of streams: `looked_at`, `dropped` for newer ones, or `refused`."""
    _child(_stream_pictures, outcome).inc(count)


def rejected(kind: str, code: str) -> None:
    """Count one file that was refused."""
    _child(_rejected, kind, code).inc()


def stored(outcome: str, count: int) -> None:
    """Count analyses that were `stored`, or that `failed` to be."""
    _child(_stored, outcome).inc(count)


def auth_failed(reason: str) -> None:
    """Count one request or WebSocket whose credentials were not enough."""
    _child(_auth_failures, reason).inc()


def rate_limited() -> None:
    """Count one refusal by a rate limit."""
    _rate_limited.inc()


def limits_store_failed() -> None:
    """Count one failure of the Redis that rate limits are shared by."""
    _limits_failures.inc()


def anomaly(kind: str) -> None:
    """Count one burst of refusals of a kind to a client."""
    _child(_anomalies, kind).inc()


def job_began(waited_seconds: float) -> None:
    """A worker took a job on."""
    _child(_queue_seconds, "jobs").observe(max(waited_seconds, 0.0))


def job_ended(kind: str, state: str, seconds: float) -> None:
    """A job is over, so long after it was begun."""
    _child(_job_seconds, kind, state).observe(max(seconds, 0.0))


class ModelMetrics:
    """Notes what happens in the models' queues (an `Observer` of `runners.batching`)."""

    def queued(self, model: str, depth: int) -> None:
        """So many items wait now."""
        _child(_queue_depth, model).set(depth)

    def sent(self, model: str, waited_seconds: Sequence[float]) -> None:
        """A batch leaves: how long each of its items waited."""
        histogram = _child(_queue_seconds, model)
        for seconds in waited_seconds:
            histogram.observe(seconds)

    def answered(self, model: str, size: int, seconds: float) -> None:
        """A batch of `size` items came back after `seconds`."""
        _child(_batch_size, model).observe(size)
        _child(_inference_seconds, model).observe(seconds)

    def failed(self, model: str, size: int, seconds: float) -> None:
        """A batch was lost."""
        _child(_model_failures, model).inc()


def scrape(now: Readings = NOTHING_READ) -> bytes:
    """Every metric of every process of this service, and how things are now, as Prometheus reads it."""
    folder = os.environ.get(MULTIPROCESS_FOLDER)
    registry = CollectorRegistry()
    if not folder:
        registry.register(_Scrape(REGISTRY, now))
        return generate_latest(registry)
    forget_the_dead()
    registry.register(_Scrape(MultiProcessCollector(None, path=folder), now))
    with folding.unfolded(Path(folder)):
        return generate_latest(registry)


class _Scrape(Collector):
    """What all processes counted, and how things are now."""

    def __init__(self, counted: Collector | CollectorRegistry, now: Readings) -> None:
        self._counted = counted
        self._now = now

    def collect(self) -> Iterator[Metric]:
        """The families of the scrape."""
        depth = Metric("queue_depth", "Items that wait.", "gauge")
        for family in self._counted.collect():
            if family.name == depth.name:
                depth.samples = list(family.samples)
            else:
                yield family
        if self._now.jobs:
            # A gauge in each process would be summed over them, and all see the same jobs.
            depth.add_sample(depth.name, {"queue": "jobs"}, self._now.jobs.queued)
        yield depth
        yield from self._now.collect()


def forget_the_dead() -> None:
    """Keep what processes counted that are gone, and nothing else of them."""
    if folder := os.environ.get(MULTIPROCESS_FOLDER):
        folding.fold(Path(folder))


def _count(modality: str, sentiment: Sentiment) -> None:
    if sentiment.label is None:
        return
    _child(_predictions, modality, sentiment.label).inc()
    _child(_confidence, modality).observe(sentiment.confidence)


@cache
def _child(metric: Any, *labels: str) -> Any:
    """The series of a metric with these labels; kept, since looking it up costs more than counting."""
    return metric.labels(*labels)
