"""What runs the models tells nobody about it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serving import CHECKOUT

RUN_A_MODEL = "session.open_session(Path('models/weights/face-detector.onnx'))"
OURS = f"from pathlib import Path; from service.runners import session; {RUN_A_MODEL}"
WITHOUT_US = "import onnxruntime; onnxruntime.InferenceSession('models/weights/face-detector.onnx')"


def left_behind(home: Path, program: str) -> list[str]:
    """Files that a program leaves in a new home; the runtime's telemetry keeps an identifier and what it will send."""
    environment = {"HOME": str(home), "PATH": os.environ["PATH"]}
    subprocess.run((sys.executable, "-B", "-c", program), cwd=CHECKOUT, env=environment, check=True, timeout=120)
    return [path.name for path in home.rglob("*") if path.is_file()]


def test_a_model_that_runs_leaves_no_identifier(tmp_path):
    assert left_behind(tmp_path, OURS) == []


@pytest.mark.skipif(sys.platform != "linux", reason="kept elsewhere on other systems")
def test_the_runtime_alone_would_leave_one(tmp_path):
    left = left_behind(tmp_path, WITHOUT_US)
    if not left:
        pytest.skip("this build of ONNX Runtime has no telemetry")
    assert "deviceid" in left
