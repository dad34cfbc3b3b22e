"""Nothing is left behind, even where nobody is asked to stop."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import psutil
import pytest

from tests.serving import running_service


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent died")
def test_the_workers_end_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    with running_service(tmp_path) as running:
        workers = running.family()[1:]
        assert len(workers) > 3
        running.process.send_signal(signal.SIGKILL)
        _, alive = psutil.wait_procs(workers, timeout=120)
        assert alive == []
