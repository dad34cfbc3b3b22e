"""The gateway and each runner as a program of its own, over the network, as in the `distributed` overlay."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from deployment.facts import facts
from tests.deployment.conformance import ABILITIES, CHECKS, Check, Target
from tests.serving import CHECKOUT, free_port

pytestmark = [pytest.mark.server, pytest.mark.long]

START = ("-m", "bentoml_cli._internal.start", "start-http-server", "service.app:Gateway", "--host", "127.0.0.1")
GATEWAY = "multimodal_sentiment"
ABLE = ABILITIES - {"jobs"}
PATIENCE_SECONDS = 180.0


@contextmanager
def program(folder: Path, name: str, port: int, depends: dict[str, int]) -> Iterator[subprocess.Popen[bytes]]:
    """One of the services of the Bento, alone; `depends` are the ports of those that it asks."""
    home = folder / name
    home.mkdir()
    plain = {key: value for key, value in os.environ.items() if not key.startswith("SENTIMENT_")}
    environment = plain | {
        "BENTOML_HOME": str(home),
        "BENTOML_DO_NOT_TRACK": "True",
        "BENTOML_SERVE_SERVICE_NAME": name,
        "BENTOML_SERVE_DEPENDS": " ".join(f"{one}=http://127.0.0.1:{its}" for one, its in depends.items()),
        "PORT": str(port),
        "SENTIMENT_MEDIA_RUNNERS": "process",
        "SENTIMENT_TEMP_FOLDER": str(home / "uploads"),
        "SENTIMENT_STATE_FOLDER": str(home / "state"),
    }
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            (sys.executable, *START, "--port", str(port)),
            cwd=CHECKOUT,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait(60)


@pytest.fixture(scope="module")
def split(tmp_path_factory) -> Iterator[tuple[str, dict[str, subprocess.Popen[bytes]], dict[str, int]]]:
    """The gateway's address, all programs by name, and their ports."""
    folder = tmp_path_factory.mktemp("split")
    ports = {f"{name}_runner": free_port() for name in facts()["runners"]["names"]}
    with ExitStack() as running:
        programs = {name: running.enter_context(program(folder, name, port, {})) for name, port in ports.items()}
        gate = free_port()
        programs[GATEWAY] = running.enter_context(program(folder, GATEWAY, gate, ports))
        address = f"http://127.0.0.1:{gate}"
        until(lambda: status(f"{address}/readyz") == 200, "the gateway is not ready")
        yield address, programs, ports


@pytest.mark.parametrize("check", [check for check in CHECKS if check.needs <= ABLE], ids=str)
def test_the_split_conforms(check: Check, split):
    check(Target(split[0], ABLE))


def test_each_runner_answers_its_probes_and_takes_pickles(split):
    for port in split[2].values():
        assert status(f"http://127.0.0.1:{port}/livez") == status(f"http://127.0.0.1:{port}/readyz") == 200
        # That it reads a pickle, and fails on this one, is why a network policy must keep everybody else away from it.
        headers = {"Content-Type": "application/vnd.bentoml+pickle"}
        assert httpx.post(f"http://127.0.0.1:{port}/problems_parcel", content=b"x", headers=headers).status_code == 500


def test_a_runner_that_goes_takes_its_modality_along_and_nothing_else(split):
    address, programs, _ = split
    programs["speech_runner"].send_signal(signal.SIGTERM)
    assert programs["speech_runner"].wait(60) == 0
    until(lambda: status(f"{address}/readyz") == 503, "the gateway does not notice")
    http = Target(address)
    assert http.send("/v1/audio", "inaugural.ogg").json()["code"] == "model_unavailable"
    assert http.send("/v1/image", "portrait.jpg").status_code == 200
    assert "speech" in httpx.get(f"{address}/readyz").json()["detail"]


def status(address: str) -> int:
    """The status of an answer, 0 if there is none."""
    try:
        return httpx.get(address, timeout=10).status_code
    except httpx.TransportError:
        return 0


def until(true, otherwise: str) -> None:  # type: ignore[no-untyped-def]
    """Wait until it is so."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.2)
