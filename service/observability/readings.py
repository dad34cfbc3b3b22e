"""What is asked when Prometheus scrapes: it is how things are now, the same for all processes, and never summed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from service.observability.usage import Usage


@dataclass(frozen=True)
class Disk:
    """Bytes of a disk."""

    free: int
    size: int


@dataclass(frozen=True)
class Waiting:
    """The jobs of all replicas, and who works on them."""

    queued: int
    running: int
    workers: int
    oldest_seconds: float
    """How long the oldest job that waits has waited; 0 if none does."""


@dataclass(frozen=True)
class Readings:
    """How things are now; what could not be read is left out."""

    ready: bool | None = None
    dependencies: Mapping[str, bool] = field(default_factory=dict)
    """Whether each is healthy."""
    disks: Mapping[str, Disk] = field(default_factory=dict)
    jobs: Waiting | None = None

    def collect(self) -> Iterator[Metric]:
        """The families of the scrape, but for the depth of the jobs' queue, which other queues share a name with."""
        if self.ready is not None:
            yield GaugeMetricFamily("service_ready", "1 if requests may be sent here.", value=self.ready)
        healthy = GaugeMetricFamily("dependency_healthy", "1 if it answers as it should.", labels=("dependency",))
        for name, well in self.dependencies.items():
            healthy.add_metric((name,), well)
        yield healthy
        free = GaugeMetricFamily("disk_free_bytes", "What a disk has left.", labels=("disk",))
        size = GaugeMetricFamily("disk_size_bytes", "What a disk holds.", labels=("disk",))
        for name, disk in self.disks.items():
            free.add_metric((name,), disk.free)
            size.add_metric((name,), disk.size)
        yield from (free, size)
        yield from _of_jobs(self.jobs) if self.jobs else ()
        yield from Usage().collect()


def _of_jobs(jobs: Waiting) -> Iterator[Metric]:
    oldest = GaugeMetricFamily("queue_oldest_seconds", "How long the oldest item has waited.", labels=("queue",))
    oldest.add_metric(("jobs",), jobs.oldest_seconds)
    yield oldest
    yield GaugeMetricFamily("jobs_running", "Jobs that were begun and are not over.", value=jobs.running)
    yield GaugeMetricFamily("job_workers", "Workers that say that they live.", value=jobs.workers)
