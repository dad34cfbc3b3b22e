"""Control groups of both versions, as the kernel writes them, and the machine where there is no limit."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from service.observability.usage import Memory, Processor, memory, processor

UNLIMITED = "9223372036854771712"


def group(folder: Path, **files: str) -> Path:
    for name, content in files.items():
        file = folder / name.replace("__", "/").replace("_DOT_", ".")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    return folder


def second(folder: Path, memory_max: str, cpu_max: str) -> Path:
    return group(
        folder,
        memory_DOT_current="700000000\n",
        memory_DOT_max=f"{memory_max}\n",
        memory_DOT_stat="anon 400000000\ninactive_file 200000000\n",
        cpu_DOT_max=f"{cpu_max}\n",
        cpu_DOT_stat="usage_usec 12500000\nuser_usec 9000000\n",
    )


def first(folder: Path, memory_limit: str, quota: str) -> Path:
    return group(
        folder,
        memory__memory_DOT_usage_in_bytes="700000000\n",
        memory__memory_DOT_limit_in_bytes=f"{memory_limit}\n",
        memory__memory_DOT_stat="cache 300000000\ntotal_inactive_file 200000000\n",
        cpu__cpu_DOT_cfs_quota_us=f"{quota}\n",
        cpu__cpu_DOT_cfs_period_us="100000\n",
        cpuacct__cpuacct_DOT_usage="12500000000\n",
    )


def test_a_limited_group_is_judged_by_its_limits(tmp_path: Path):
    for one in (second(tmp_path / "2", "1000000000", "150000 100000"), first(tmp_path / "1", "1000000000", "150000")):
        assert memory(one) == Memory(500_000_000, 1_000_000_000)
        assert processor(one) == Processor(12.5, 1.5)


@pytest.mark.parametrize("kind", ["absent", "second", "first"])
def test_without_a_limit_it_is_the_machine(kind: str, tmp_path: Path):
    made = {
        "absent": lambda: tmp_path / "nothing",
        "second": lambda: second(tmp_path, "max", "max 100000"),
        "first": lambda: first(tmp_path, UNLIMITED, "-1"),
    }[kind]()
    assert memory(made).limit == psutil.virtual_memory().total
    before = processor(made)
    assert before.cores == psutil.cpu_count()
    sum(number * number for number in range(3_000_000))
    assert before.seconds < processor(made).seconds
