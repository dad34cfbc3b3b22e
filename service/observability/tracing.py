"""Traces: what a request was made of, from the gateway through the runners, for an OpenTelemetry collector.

Off unless `SENTIMENT_TRACES_URL` names a collector; then whatever asks here gets nothing, at the price of a comparison.
Spans carry route templates, sizes and names of models; never what people sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from service import __version__

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, Tracer

    from service.settings import Settings

EXPORT_SECONDS = 5
"""Of one delivery to the collector."""
FLUSH_MILLISECONDS = 2000

_provider: TracerProvider | None = None
_tracer: Tracer | None = None


def start(settings: Settings, process: str) -> None:
    """Trace from now on, if the settings name a collector. After the fork: the spans leave from a thread."""
    global _provider, _tracer  # noqa: PLW0603 (a process has one)
    if settings.traces_url is None or _tracer is not None:
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 (only if asked)
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased  # noqa: PLC0415

    resource = Resource.create({"service.name": process, "service.version": __version__})
    _provider = TracerProvider(ParentBased(TraceIdRatioBased(settings.traces_ratio)), resource, shutdown_on_exit=False)
    exporter = OTLPSpanExporter(endpoint=settings.traces_url, timeout=EXPORT_SECONDS)
    _provider.add_span_processor(BatchSpanProcessor(exporter))
    _tracer = _provider.get_tracer("service", __version__)


def stop() -> None:
    """Deliver what is left, and trace no more."""
    global _provider, _tracer
    provider, _provider, _tracer = _provider, None, None
    if provider is not None:
        provider.force_flush(FLUSH_MILLISECONDS)
        provider.shutdown()


def active() -> bool:
    """Whether anything is traced."""
    return _tracer is not None


def continues(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether a request with these headers belongs to a trace that is to be told of."""
    return active() and any(name == b"traceparent" for name, _ in headers)


@contextmanager
def serving(name: str, headers: Iterable[tuple[bytes, bytes]], **attributes: Any) -> Iterator[Span]:
    """A request that is answered here, in the trace that its `traceparent` names. Only while `active`."""
    from opentelemetry import propagate, trace  # noqa: PLC0415

    assert _tracer is not None
    carrier = {key.decode("latin-1"): value.decode("latin-1") for key, value in headers if key in _CARRIED}
    with _tracer.start_as_current_span(
        name,
        context=propagate.extract(carrier),
        kind=trace.SpanKind.SERVER,
        attributes=attributes,
        record_exception=False,  # its text may hold what was sent
        set_status_on_exception=False,
    ) as span:
        yield span


def answered(span: Span, status: int) -> None:
    """Note how a request was answered."""
    from opentelemetry.trace import StatusCode  # noqa: PLC0415

    span.set_attribute("http.response.status_code", status)
    if status >= 500:
        span.set_status(StatusCode.ERROR)


@contextmanager
def step(name: str, **attributes: Any) -> Iterator[None]:
    """A part of what the current span does; what happens meanwhile in other tasks is not below it."""
    if _tracer is None:
        yield
        return
    span = _tracer.start_span(name, attributes=attributes)
    try:
        yield
    finally:
        span.end()


def here() -> Context | None:
    """What is traced now, to be told to `batch` later; None where nothing is."""
    if _tracer is None:
        return None
    from opentelemetry import context  # noqa: PLC0415

    return context.get_current()


@contextmanager
def batch(model: str, size: int, origins: Sequence[Context | None]) -> Iterator[None]:
    """One call to a model for items of several requests: a part of the first's trace, linked to the others'."""
    if _tracer is None:
        yield
        return
    from opentelemetry import trace  # noqa: PLC0415

    spans = ((trace.get_current_span(one).get_span_context(), one) for one in origins if one is not None)
    parents = {span.span_id: (span, one) for span, one in spans if span.is_valid}
    if not parents:
        yield
        return
    (_, parent), *others = parents.values()
    with _tracer.start_as_current_span(
        f"batch {model}",
        context=parent,
        kind=trace.SpanKind.CLIENT,
        attributes={"model": model, "batch.size": size, "batch.requests": len(parents)},
        links=[trace.Link(other) for other, _ in others],
        record_exception=False,
        set_status_on_exception=False,
    ):
        yield


_CARRIED = frozenset({b"traceparent", b"tracestate"})
