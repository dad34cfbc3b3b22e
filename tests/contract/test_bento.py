"""What `bentoml build` packs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import yaml

from tests.alike import differences
from tests.serving import CHECKOUT, running_service

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

pytestmark = pytest.mark.server

NOT_SERVING = {"bentoml", "uvicorn", "gradio", "httpx", "tqdm"}
"""What BentoML adds by itself, and what the user interface alone needs."""


def test_the_bento_asks_for_what_the_project_asks_for():
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["dependencies"]
    bento = yaml.safe_load((CHECKOUT / "bentofile.yaml").read_text())["python"]["packages"]
    wanted = {package for package in project if _name(package) not in NOT_SERVING}
    assert set(bento) == wanted


@pytest.mark.skipif(not shutil.which("uv", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}"), reason="no uv")
def test_the_built_bento_answers_as_the_checkout_does(tmp_path, http):
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "BENTOML_HOME": str(tmp_path / "bentoml"),
        "BENTOML_DO_NOT_TRACK": "True",
    }
    command = (sys.executable, "-m", "bentoml", "build", "--output", "tag")
    built = subprocess.run(command, cwd=CHECKOUT, env=environment, check=True, capture_output=True, text=True)
    tag = built.stdout.strip().rsplit("\n", 1)[-1].removeprefix("__tag__:")
    packed = tmp_path / "bentoml" / "bentos" / tag.replace(":", "/") / "src"
    assert not list(packed.glob("models/training/*"))
    question = {"texts": ["I love it", "I hate it", "The meeting is at noon"]}
    with running_service(tmp_path, identifier=str(packed.parent), cwd=tmp_path) as bento:
        answers = [
            client.post(f"{address}/v1/text", json=question, timeout=60).json()["results"]
            for client, address in ((http, ""), (httpx, bento.address))
        ]
    assert differences([each["sentiment"] for each in answers[0]], [each["sentiment"] for each in answers[1]]) == []
    assert [each["models"] for each in answers[0]] == [each["models"] for each in answers[1]]


def _name(package: str) -> str:
    return re.split("[<>=;]", package, maxsplit=1)[0].strip()
