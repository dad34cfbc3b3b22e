"""The images, built and run: small, locked up, and answering."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import httpx
import pytest

from deployment.facts import VERSION, facts
from deployment.images import lock
from tests.deployment.conformance import CHECKS, Check, NotAsked, Target, stops_without_dropping
from tests.deployment.conftest import Program
from tests.deployment.containers import Engine, build, built, exists, wait_until_ready
from tests.deployment.lambda_runtime import GatewayTransport, runtime_api
from tests.deployment.test_images import locked
from tests.serving import CHECKOUT, free_port

pytestmark = [pytest.mark.server, pytest.mark.long]

NOT_THERE = ("gcc", "make", "git", "apt-get", "dpkg", "pip", "perl", "curl", "su", "mount")
CPU = Path("/sys/fs/cgroup/cpuacct")


@pytest.fixture(scope="module")
def podman(program: Program, tmp_path_factory) -> Engine:
    for name in ("buildah", "podman", "runc"):
        program(name)
    return Engine(tmp_path_factory.mktemp("podman"))


@dataclass(frozen=True)
class Pod:
    """A service and a job worker, each in a container."""

    address: str
    service: str
    worker: str
    cpu_seconds: float
    """Of the service, from its start until it was ready."""


@pytest.fixture(scope="module")
def pod(podman: Engine) -> Iterator[Pod]:
    image, port, volume = built("service"), free_port(), f"state-{free_port()}"
    words = ("-v", f"{volume}:/state", "-e", f"PORT={port}", "-e", "HOST=127.0.0.1")
    address = f"http://127.0.0.1:{port}"
    with podman.running(image, *words) as service:
        wait_until_ready(address)
        seconds = cpu_seconds(service)
        with podman.running(image, *words, command=tuple(facts()["worker"]["command"])) as worker:
            yield Pod(address, service, worker, seconds)
    podman("volume", "rm", "-f", volume, check=False)


def cpu_seconds(container: str) -> float:
    """Processor time of a container so far; NaN where cgroups are of the second version."""
    found = [file for file in CPU.rglob("cpuacct.usage") if container in file.parent.name and "conmon" not in str(file)]
    return int(found[0].read_text()) / 1e9 if found else float("nan")


def size_of(podman: Engine, image: str) -> int:
    return int(podman("image", "inspect", "-f", "{{.Size}}", image))


@pytest.mark.parametrize("image", ["ui", "service"])
def test_built_again_from_nothing_it_is_the_same(podman: Engine, image: str):
    def layers(tag: str) -> list[str]:
        return json.loads(podman("image", "inspect", "-f", "{{json .RootFS.Layers}}", tag))

    first, again = built(image), f"localhost/again-{free_port()}:{VERSION}"
    made = podman("image", "inspect", "-f", '{{index .Labels "org.opencontainers.image.created"}}', first)
    seconds = str(int(datetime.fromisoformat(made.replace("Z", "+00:00")).timestamp()))
    try:
        build(image, again, "--no-cache", SOURCE_DATE_EPOCH=seconds)
        assert layers(again) == layers(first)
    finally:
        podman("image", "rm", "-f", again, check=False)


def test_the_service_is_small(podman: Engine):
    assert size_of(podman, built("service")) <= facts()["image"]["service_limit_bytes"]


@pytest.mark.parametrize("check", CHECKS, ids=str)
def test_it_conforms_with_a_gibibyte_a_processor_and_no_rights(check: Check, pod: Pod):
    check(Target(pod.address))


def test_it_starts_with_little_processor_time(pod: Pod):
    if pod.cpu_seconds != pod.cpu_seconds:
        pytest.skip("processor time is told by cgroups of the first version only")
    assert pod.cpu_seconds <= facts()["service"]["ready_seconds"]


def test_it_is_nobody_and_can_write_nowhere(podman: Engine, pod: Pod):
    user = facts()["image"]["user"]
    assert podman("exec", pod.service, "id", "-u") == str(user)
    written = podman("exec", pod.service, "sh", "-c", "touch /app/src/x 2>&1 || true")
    assert "Read-only file system" in written
    there = podman("exec", pod.service, "sh", "-c", f"for one in {' '.join(NOT_THERE)}; do command -v $one; done; true")
    assert there == ""
    more_rights = podman("exec", pod.service, "sh", "-c", "find / -xdev -perm /6000 -type f; true")
    assert more_rights == ""


def test_its_health_check_tells_well_from_unwell(podman: Engine, pod: Pod):
    podman("exec", pod.service, "healthcheck.py")
    with pytest.raises(subprocess.CalledProcessError):
        podman("exec", pod.service, "healthcheck.py", "/v1/nothing")


def test_its_limits_are_real(podman: Engine, pod: Pod):
    command = ("python", "-c", "x = bytearray(1_200_000_000)")
    with pytest.raises(subprocess.CalledProcessError) as ended:
        podman("run", "--rm", "--network", "host", "--memory", "1g", "--read-only", built("service"), *command)
    assert ended.value.returncode == 137


def test_it_stops_without_dropping(podman: Engine, pod: Pod):
    def stop() -> None:
        podman("kill", "--signal", "TERM", pod.service)

    stops_without_dropping(Target(pod.address), stop)
    assert podman("wait", pod.service) == "0"


def test_the_page_is_there_and_nothing_of_the_service_in_it(podman: Engine):
    port, image = free_port(), built("ui")
    address = f"http://127.0.0.1:{port}"
    with podman.running(image, "-e", f"UI_PORT={port}", "-e", "UI_HOST=127.0.0.1") as page:
        wait_until_ready(address, facts()["ui"]["health"])
        assert "gradio" in httpx.get(address).text
        podman("exec", page, "healthcheck.py", "/health")
        assert podman("exec", page, "ls", "/app/src") == "ui"
        assert podman("exec", page, "id", "-u") == str(facts()["image"]["user"])


def test_the_function_conforms(podman: Engine):
    image = built("lambda")
    with runtime_api() as api, podman.running(image, "-e", f"AWS_LAMBDA_RUNTIME_API={api.address}"):
        target = Target(
            "https://function.example", frozenset({"text", "image", "pages"}), transport=GatewayTransport(api)
        )
        asked = 0
        for check in CHECKS:
            try:
                check(target)
                asked += 1
            except NotAsked:
                continue
        assert asked >= 14


def test_what_bentoml_itself_generates_runs_too(podman: Engine, tmp_path):
    built("service")  # which brings the base
    tag = f"localhost/multimodal-sentiment-generated:{VERSION}"
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "BENTOML_HOME": str(tmp_path),
        "BENTOML_DO_NOT_TRACK": "True",
    }
    options = ("isolation=chroot", "pull-never", "volume=/etc/ssl/certs:/etc/ssl/certs:ro")
    build = (sys.executable, "-m", "bentoml", "build", "--version", VERSION)
    subprocess.run(build, cwd=CHECKOUT, env=environment, check=True, capture_output=True)
    words = [word for option in options for word in ("--opt", option)]
    containerize = ("containerize", f"multimodal_sentiment:{VERSION}", "--backend", "buildah", "-t", tag, *words)
    subprocess.run((sys.executable, "-m", "bentoml", *containerize), env=environment, check=True, capture_output=True)
    assert exists(tag)
    port = free_port()
    words = ("-e", f"PORT={port}", "-e", "HOST=127.0.0.1", "-e", "BENTOML_HOME=/tmp/bentoml", "--memory", "2g")
    with podman.running(tag, *words, "-e", "SENTIMENT_STATE_FOLDER=/tmp/state"):
        address = f"http://127.0.0.1:{port}"
        wait_until_ready(address)
        answer = Target(address).send("/v1/video", "portrait_speaks.mp4")
        assert set(answer.json()["modalities"]) == {"face", "speech", "text"}


def test_its_contents_are_listed(program: Program, podman: Engine, tmp_path):
    program("syft")
    script = CHECKOUT / "deployment" / "images" / "sbom.sh"
    environment = {**os.environ, "PYTHON": sys.executable}
    subprocess.run((script, built("service"), tmp_path), env=environment, check=True, capture_output=True)
    (file,) = tmp_path.glob("*.cyclonedx.json")
    named = {part["name"]: part.get("version") for part in json.loads(file.read_text())["components"]}
    versions = locked(lock.file_of("service").read_text())
    for name in ("bentoml", "numpy", "onnxruntime", "opencv-python-headless"):
        assert named[name] == versions[name]
    assert {"libc6", "libssl3"} <= set(named)  # Debian's
    assert not {"apt", "pip", "perl-base"} & set(named)
