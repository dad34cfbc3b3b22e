"""The job worker of `make run`: killed, it comes back, and what it worked on is finished."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from tests.jobs_running import ended, until
from tests.serving import CHECKOUT, free_port

pytestmark = pytest.mark.server


def workers(family: psutil.Process) -> list[psutil.Process]:
    return [one for one in family.children(recursive=True) if "service.worker" in one.cmdline()]


def test_a_worker_that_is_killed_is_started_again_and_finishes_its_job(tmp_path: Path):
    port = free_port()
    settings = {
        "PORT": str(port),
        "SENTIMENT_STATE_FOLDER": str(tmp_path),
        "SENTIMENT_MIN_FREE_BYTES": "0",
        "SENTIMENT_JOB_PART_ROWS": "100",
    }
    program = subprocess.Popen(
        (sys.executable, "-m", "deployment.local.run", "service", "worker"),
        cwd=CHECKOUT,
        env={**os.environ, **settings},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    family = psutil.Process(program.pid)
    try:
        (worker,) = until(lambda: workers(family), 120)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as http:
            content = b"What a wonderful day it has been for all of us here\n" * 1500
            job = http.post("/v1/jobs", files={"file": ("a.txt", content)}).raise_for_status().json()["id"]
            until(lambda: http.get(f"/v1/jobs/{job}").json()["progress"]["done"] > 0)
            worker.kill()
            assert ended(http, job)["state"] == "done"
            assert len(http.get(f"/v1/jobs/{job}/result").json()["results"]) == 1500
            assert 'job_duration_seconds_count{kind="texts",state="done"} 1.0' in http.get("/metrics").text
        all_of_them = family.children(recursive=True)
        program.terminate()
        assert program.wait(60) == 0
        _, alive = psutil.wait_procs(all_of_them, timeout=5)
        assert alive == []
    finally:
        program.kill()
