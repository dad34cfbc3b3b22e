"""What the service may use of its machine and what it uses: of its control group where that is limited, else of all.

A container is judged by its limits, which psutil does not know: it reads what the whole machine has.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

CONTROL_GROUP = Path("/sys/fs/cgroup")
"""A container sees its own group here, whichever version of control groups the kernel has."""


@dataclass(frozen=True)
class Memory:
    """Bytes in use that can't be given back at once, and how many there may be."""

    used: int
    limit: int


@dataclass(frozen=True)
class Processor:
    """Seconds of processor time taken so far, and how many cores may be busy at once."""

    seconds: float
    cores: float


def memory(group: Path = CONTROL_GROUP) -> Memory:
    """Of the control group if its limit is below what the machine has, else of the machine."""
    machine = psutil.virtual_memory()
    for folder, used, limit in (
        (group, "memory.current", "memory.max"),
        (group / "memory", "memory.usage_in_bytes", "memory.limit_in_bytes"),
    ):
        allowed = _word(folder / limit)
        if allowed.isdigit() and int(allowed) < machine.total:
            return Memory(int(_word(folder / used)) - _reclaimable(folder / "memory.stat"), int(allowed))
    return Memory(machine.total - machine.available, machine.total)


def processor(group: Path = CONTROL_GROUP) -> Processor:
    """Of the control group if it has a quota, else of the machine."""
    quota, _, period = _text(group / "cpu.max").partition(" ")
    if quota.isdigit():
        return Processor(_statistics(group / "cpu.stat")["usage_usec"] / 1e6, int(quota) / int(period))
    quota = _word(group / "cpu" / "cpu.cfs_quota_us")
    if quota.isdigit():  # -1 where there is none
        period = _word(group / "cpu" / "cpu.cfs_period_us")
        return Processor(int(_word(group / "cpuacct" / "cpuacct.usage")) / 1e9, int(quota) / int(period))
    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0)
    own = sum(times[:8]) - idle  # the ninth and tenth, guests, are in user and nice already
    return Processor(own, float(psutil.cpu_count() or 1))


class Usage:
    """A collector of both, for a registry."""

    def collect(self) -> Iterator[Metric]:
        """The families of the scrape."""
        of_memory, of_processor = memory(), processor()
        yield _gauge("memory_working_set_bytes", "Memory in use that can't be given back at once.", of_memory.used)
        yield _gauge("memory_limit_bytes", "Memory that may be used.", of_memory.limit)
        yield CounterMetricFamily("cpu_seconds", "Processor time taken.", value=of_processor.seconds)
        yield _gauge("cpu_limit_cores", "Cores that may be busy at once.", of_processor.cores)


def _gauge(name: str, meaning: str, value: float) -> Metric:
    return GaugeMetricFamily(name, meaning, value=value)


def _reclaimable(file: Path) -> int:
    """Bytes of files that were read once, as Kubernetes takes them off."""
    found = _statistics(file)
    return found.get("total_inactive_file", found.get("inactive_file", 0))


def _statistics(file: Path) -> dict[str, int]:
    return {name: int(value) for name, _, value in (line.partition(" ") for line in _text(file).splitlines())}


def _word(file: Path) -> str:
    return _text(file).strip()


def _text(file: Path) -> str:
    """What a file of the control group says; nothing if there is none."""
    try:
        return file.read_text()
    except OSError:
        return ""
