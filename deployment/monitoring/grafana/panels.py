"""What the dashboards show: titles, units and expressions, as plain values.

Expressions hold for any range; `$__rate_interval` is Grafana's.
"""

from __future__ import annotations

from dataclasses import dataclass

SERVICE = 'job="multimodal-sentiment"'
BOTH = 'job=~"multimodal-sentiment(-worker)?"'
V1 = f'{SERVICE}, endpoint=~"/v1/.*"'
RATE = "[$__rate_interval]"


@dataclass(frozen=True)
class Panel:
    """One chart: a line for each series of each expression, named by its legend."""

    title: str
    unit: str
    series: tuple[tuple[str, str], ...]
    """Expression and legend."""
    about: str = ""
    limit: float | None = None
    """What an alert holds it to, drawn as a line."""
    number: bool = False
    """Shown as one number, not over time."""


@dataclass(frozen=True)
class Page:
    """A dashboard."""

    identifier: str
    title: str
    rows: tuple[tuple[str, tuple[Panel, ...]], ...]


def quantiles(metric: str, by: str, where: str = SERVICE) -> tuple[tuple[str, str], ...]:
    """Median and 95th percentile of a histogram, for each value of a label."""
    return tuple(
        (
            f"histogram_quantile({share}, sum by ({by}, le) (rate({metric}_bucket{{{where}}}{RATE})))",
            f"P{100 * share:g} {{{{{by}}}}}",
        )
        for share in (0.5, 0.95)
    )


def counted(metric: str, by: str, where: str = SERVICE) -> tuple[tuple[str, str], ...]:
    """The rate of a counter, for each value of a label."""
    return ((f"sum by ({by}) (rate({metric}{{{where}}}{RATE}))", f"{{{{{by}}}}}"),)


SERVICE_PAGE = Page(
    "multimodal-sentiment-service",
    "Service",
    (
        (
            "Is it well?",
            (
                Panel("Ready replicas", "none", ((f"sum(service_ready{{{SERVICE}}})", ""),), number=True),
                Panel(
                    "Errors, 30 minutes",
                    "percentunit",
                    (("job:errors:ratio_rate30m", ""),),
                    "Share of answers that are 5xx.",
                    limit=0.001,
                    number=True,
                ),
                Panel(
                    "Error budget left",
                    "percentunit",
                    (("1 - job:errors:ratio_rate3d / 0.001", ""),),
                    "Of three days, at 99.9 %.",
                    number=True,
                ),
                Panel(
                    "P95 of texts",
                    "s",
                    (('job_endpoint:request_seconds:p95_rate5m{endpoint="/v1/text"}', ""),),
                    limit=0.2,
                    number=True,
                ),
            ),
        ),
        (
            "Traffic",
            (
                Panel("Requests by route", "reqps", counted("http_requests_total", "endpoint", V1)),
                Panel("Answers by status", "reqps", counted("http_requests_total", "status", V1)),
                Panel(
                    "Errors by route and status",
                    "reqps",
                    (
                        (
                            f'sum by (endpoint, status) (rate(http_requests_total{{{V1}, status=~"5.."}}{RATE}))',
                            "{{endpoint}} {{status}}",
                        ),
                    ),
                ),
                Panel(
                    "Latency by route",
                    "s",
                    quantiles("http_request_duration_seconds", "endpoint", V1),
                    "Texts and pictures are held to 0.2 s; recordings take as long as they are long.",
                    limit=0.2,
                ),
            ),
        ),
        (
            "Burn rates",
            (
                Panel(
                    "Errors over windows",
                    "percentunit",
                    tuple((f"job:errors:ratio_rate{window}", window) for window in ("5m", "1h", "6h", "1d", "3d")),
                    limit=0.001,
                ),
            ),
        ),
        (
            "What it uses",
            (
                Panel("Memory of its limit", "percentunit", (("instance:memory:ratio", "{{instance}}"),), limit=0.8),
                Panel("Cores of its limit", "percentunit", (("instance:cpu:ratio_rate5m", "{{instance}}"),), limit=0.7),
                Panel(
                    "Room on disks", "percentunit", (("instance_disk:free:ratio", "{{instance}} {{disk}}"),), limit=0.1
                ),
                Panel(
                    "Open streams", "none", ((f"sum by (instance) (active_connections{{{SERVICE}}})", "{{instance}}"),)
                ),
                Panel(
                    "Dependencies",
                    "none",
                    ((f"min by (dependency) (dependency_healthy{{{SERVICE}}})", "{{dependency}}"),),
                    "1: healthy on every replica.",
                ),
                Panel(
                    "Versions", "none", ((f"count by (version) (build_info{{{SERVICE}}})", "{{version}}"),), number=True
                ),
            ),
        ),
    ),
)

MODELS_PAGE = Page(
    "multimodal-sentiment-models",
    "Models",
    (
        (
            "How fast",
            (
                Panel("Inference of a batch", "s", quantiles("model_inference_seconds", "model_type")),
                Panel("Waiting for a model", "s", quantiles("queue_wait_seconds", "queue"), limit=5),
                Panel("Items that wait", "none", ((f"sum by (queue) (queue_depth{{{SERVICE}}})", "{{queue}}"),)),
                Panel(
                    "Mean batch",
                    "none",
                    (
                        (
                            f"sum by (model_type) (rate(model_batch_size_sum{{{SERVICE}}}{RATE}))"
                            f" / sum by (model_type) (rate(model_batch_size_count{{{SERVICE}}}{RATE}))",
                            "{{model_type}}",
                        ),
                    ),
                ),
                Panel("Decoding a file", "s", quantiles("media_decode_seconds", "kind")),
                Panel("Batches lost", "reqps", counted("model_failures_total", "model_type")),
            ),
        ),
        (
            "What they say",
            (
                Panel(
                    "Labels of the hour",
                    "percentunit",
                    (('job_modality_label:verdicts:ratio_rate1h{modality="fused"}', "{{label}}"),),
                ),
                Panel(
                    "Labels of the week before",
                    "percentunit",
                    (('job_modality_label:verdicts:ratio_rate1w{modality="fused"}', "{{label}}"),),
                ),
                Panel(
                    "Drift of labels",
                    "percentunit",
                    (("job_modality:label_drift:distance", "{{modality}}"),),
                    "The share of verdicts that would have to change to look like the week before.",
                    limit=0.15,
                ),
                Panel(
                    "Abstentions",
                    "percentunit",
                    (("job:abstentions:ratio_rate1h", "hour"), ("job:abstentions:ratio_rate1w", "week before")),
                ),
                Panel("Reasons", "reqps", counted("abstentions_total", "reason")),
                Panel(
                    "Answers whose modalities exclude each other",
                    "percentunit",
                    (("job:disagreement:ratio_rate1h", ""),),
                    limit=0.3,
                ),
                Panel(
                    "Mean confidence",
                    "percentunit",
                    (
                        (
                            f"sum by (modality) (rate(prediction_confidence_sum{{{SERVICE}}}[1h]))"
                            f" / sum by (modality) (rate(prediction_confidence_count{{{SERVICE}}}[1h]))",
                            "{{modality}}",
                        ),
                    ),
                ),
                Panel("Conflict", "none", quantiles("fusion_conflict", "kind"), "Jensen-Shannon divergence."),
            ),
        ),
        (
            "Streams",
            (
                Panel("From capture to result", "s", quantiles("stream_latency_seconds", "source")),
                Panel("Pictures", "reqps", counted("stream_pictures_total", "outcome")),
            ),
        ),
    ),
)

JOBS_PAGE = Page(
    "multimodal-sentiment-jobs",
    "Jobs and clients",
    (
        (
            "Jobs",
            (
                Panel("Workers", "none", ((f"max(job_workers{{{SERVICE}}})", ""),), number=True),
                Panel(
                    "Jobs",
                    "none",
                    (
                        (f'max(queue_depth{{{SERVICE}, queue="jobs"}})', "wait"),
                        (f"max(jobs_running{{{SERVICE}}})", "run"),
                    ),
                ),
                Panel(
                    "Oldest that waits",
                    "s",
                    ((f'max(queue_oldest_seconds{{{SERVICE}, queue="jobs"}})', ""),),
                    limit=300,
                ),
                Panel("From beginning to end", "s", quantiles("job_duration_seconds", "kind", BOTH)),
                Panel("Ends", "reqps", counted("job_duration_seconds_count", "state", BOTH)),
                Panel("Analyses kept", "reqps", counted("history_writes_total", "outcome", BOTH)),
            ),
        ),
        (
            "Clients",
            (
                Panel("Files refused", "reqps", counted("media_rejected_total", "code")),
                Panel("Credentials refused", "reqps", counted("auth_failures_total", "reason")),
                Panel("Bursts of refusals", "reqps", counted("client_anomalies_total", "kind")),
                Panel(
                    "Too often",
                    "reqps",
                    (
                        (f"sum(rate(rate_limited_total{{{SERVICE}}}{RATE}))", "refused"),
                        (f"sum(rate(rate_limit_store_failures_total{{{SERVICE}}}{RATE}))", "Redis silent"),
                    ),
                ),
            ),
        ),
    ),
)

PAGES = (SERVICE_PAGE, MODELS_PAGE, JOBS_PAGE)
