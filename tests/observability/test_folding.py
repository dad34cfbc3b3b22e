from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from service.observability import metrics

COUNT = """
from service.observability import metrics
metrics.served("POST", "/v1/text", 200, 0.02)
metrics.ModelMetrics().queued("text", 5)
metrics.build_info()
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(metrics.MULTIPROCESS_FOLDER, str(tmp_path))
    return tmp_path


def run_processes(count: int) -> None:
    """So many processes, one after another, that each count a request and end."""
    for _ in range(count):
        subprocess.run([sys.executable, "-c", COUNT], check=True, env=dict(os.environ))


def requests_counted(scrape: str) -> list[float]:
    pattern = r'^http_request(?:s_total|_duration_seconds_count)\{[^}]*endpoint="/v1/text"[^}]*\} (\S+)$'
    return [float(value) for value in re.findall(pattern, scrape, re.MULTILINE)]


def test_what_dead_processes_counted_counts_and_their_files_are_gone(folder):
    run_processes(2)
    assert requests_counted(metrics.scrape().decode()) == [2.0, 2.0]
    files = {file.name for file in folder.glob("*.db")}
    run_processes(2)
    assert requests_counted(metrics.scrape().decode()) == [4.0, 4.0]
    assert {file.name for file in folder.glob("*.db")} == files == {"counter_past.db", "histogram_past.db"}


def test_what_dead_processes_were_is_forgotten(folder):
    run_processes(1)
    scrape = metrics.scrape().decode()
    assert "queue_depth{" not in scrape and "build_info{" not in scrape


def test_files_of_the_living_are_left_alone(folder):
    living = folder / f"counter_{os.getpid()}.db"
    run_processes(1)
    (dead,) = folder.glob("counter_*.db")
    living.write_bytes(dead.read_bytes())
    assert requests_counted(metrics.scrape().decode())[0] == 2.0
    assert living.exists() and not dead.exists()
