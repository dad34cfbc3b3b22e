"""`deployment/compose/docker-compose.prod.yml`: its numbers, and a real Swarm of one node that updates it."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import TypeAdapter

from deployment.facts import image
from service.access.key_ring import KeyRecord, new_key
from tests.deployment.conftest import run
from tests.deployment.engine import Engine, copied, docker_engine, light_image, service_image, standins, steady, wait
from tests.serving import CHECKOUT

FILE = CHECKOUT / "deployment" / "compose" / "docker-compose.prod.yml"
STACK = "sentiment"
LIGHT = "light:1"
PATIENCE_SECONDS = 420.0


def checked(file: Path) -> int:
    """The code of `docker stack config`."""
    if shutil.which("docker") is None or "config" not in run("docker", "stack", "--help").stdout:
        pytest.skip("docker's client is not here, or knows no `stack config` (20.10 does not)")
    return run("docker", "stack", "config", "-c", file).returncode


def test_docker_takes_the_stack() -> None:
    assert checked(FILE) == 0


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("order: start-first", "order: first"), ("endpoint_mode", "endpoint_modus"), ("parallelism: 2", "paralelism: 2")],
)
def test_docker_refuses_a_misspelt_stack(tmp_path: Path, right: str, wrong: str) -> None:
    file = copied(tmp_path) / FILE.name
    text = file.read_text()
    assert right in text
    file.write_text(text.replace(right, wrong, 1))
    assert checked(file) != 0


def smaller(folder: Path, **replicas: int) -> Path:
    """The stack without reservations, which two cores can't give five of it, and with other numbers of replicas."""
    file = copied(folder) / FILE.name
    stack = yaml.safe_load(file.read_text())
    for name, one in stack["services"].items():
        one["deploy"]["resources"].pop("reservations", None)
        if name in replicas:
            one["deploy"]["replicas"] = replicas[name]
    file.write_text(yaml.safe_dump(stack, sort_keys=False))
    return file


@pytest.fixture(scope="module")
def swarm() -> Iterator[Engine]:
    """A Swarm of one node, with images and the label of the node that keeps data."""
    with docker_engine() as engine:
        service_image(engine)
        standins(engine)
        light_image(engine, LIGHT)
        engine.docker("swarm", "init", "--advertise-addr", "127.0.0.1", "--listen-addr", "127.0.0.1:2377")
        node = engine.docker("node", "ls", "-q").strip()
        engine.docker("node", "update", "--label-add", "sentiment.data=true", node)
        yield engine
        engine.docker("swarm", "leave", "--force")


def deployed(swarm: Engine, file: Path, secrets: dict[str, str] | None = None, **settings: str) -> Path:
    """Deploy the stack as its README says, and wait until all of it runs; gives the certificate.

    One that another test left running gives way.
    """
    removed(swarm)
    made = file.parent / "secrets"
    run("sh", file.parent / "secrets.sh", made)
    for name, content in (secrets or {}).items():
        (made / name).write_text(content)
    for name in yaml.safe_load(file.read_text())["secrets"]:
        swarm.docker("secret", "create", name, made / name)
    environment = {**swarm.environment, **settings}
    words = ["docker", "stack", "deploy", "--resolve-image", "never", "-c", str(file), STACK]
    done = run(*words, env=environment, cwd=file.parent)
    assert done.returncode == 0, done.stderr
    wait(lambda: complete(swarm), PATIENCE_SECONDS)
    wait(lambda: swarm.status("https://127.0.0.1/v1/models") == 200, PATIENCE_SECONDS)
    return made / "tls.crt"


def removed(swarm: Engine) -> None:
    """Take the stack away with its secrets and volumes."""
    swarm.docker("stack", "rm", STACK)
    wait(lambda: not swarm.docker("ps", "-q").split(), PATIENCE_SECONDS)
    swarm.docker("container", "prune", "--force")
    swarm.docker("secret", "rm", *swarm.docker("secret", "ls", "-q").split(), check=False)
    mine = ("-q", "--filter", f"name={STACK}_")
    swarm.docker("volume", "rm", *swarm.docker("volume", "ls", *mine).split(), check=False)
    wait(lambda: not swarm.docker("network", "ls", *mine).split(), PATIENCE_SECONDS)


def replicas(swarm: Engine) -> dict[str, str]:
    lines = swarm.docker("service", "ls", "--format", "{{.Name}} {{.Replicas}}").splitlines()
    return dict(line.split(" ", 1) for line in lines)


def complete(swarm: Engine) -> bool:
    """Whether each service has as many healthy containers as it wants."""
    counts = [text.split(" ")[0].split("/") for text in replicas(swarm).values()]
    return bool(counts) and all(have == want != "0" for have, want in counts)


def update(swarm: Engine, *words: str) -> dict[str, Any]:
    """Change the service, and what became of that."""
    swarm.docker("service", "update", "--quiet", "--detach", "--no-resolve-image", *words, f"{STACK}_service")

    def status() -> dict[str, Any]:
        (found,) = json.loads(swarm.docker("service", "inspect", f"{STACK}_service"))
        return found.get("UpdateStatus") or {}

    wait(lambda: status().get("State") in ("completed", "rollback_completed", "paused", "rollback_paused"), 600)
    return status()


@pytest.fixture(scope="module")
def five(swarm: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """The stack with all its replicas of a light stand-in: five of the service want more than two cores."""
    file = smaller(tmp_path_factory.mktemp("five"))
    try:
        deployed(swarm, file, SERVICE_IMAGE=LIGHT, UI_IMAGE=LIGHT)
        yield swarm
    finally:
        removed(swarm)


def versions(swarm: Engine) -> set[str]:
    """What the running containers of the service have as `VERSION`."""
    label = f"label=com.docker.swarm.service.name={STACK}_service"
    names = swarm.docker("ps", "-q", "--filter", label).split()
    told = [one["Config"]["Env"] for one in json.loads(swarm.docker("inspect", *names))]
    return {next((pair[8:] for pair in pairs if pair.startswith("VERSION=")), "") for pairs in told}


@pytest.mark.long
def test_five_replicas_run_shut_in(five: Engine) -> None:
    assert replicas(five)[f"{STACK}_service"].split(" ")[0] == "5/5"
    for one in json.loads(five.docker("inspect", *five.docker("ps", "-q").split())):
        assert one["HostConfig"]["ReadonlyRootfs"] is True, one["Name"]
        assert one["HostConfig"]["CapDrop"] == ["ALL"], one["Name"]
        assert one["HostConfig"]["Memory"] > 0 and one["HostConfig"]["NanoCpus"] > 0, one["Name"]


@pytest.mark.long
def test_an_update_fails_no_request(five: Engine) -> None:
    with steady(five) as seen:
        assert update(five, "--env-add", "VERSION=2")["State"] == "completed"
    assert versions(five) == {"2"}
    assert set(seen) == {"200"}, seen
    assert seen["200"] > 20


@pytest.mark.long
def test_an_update_that_fails_is_taken_back_and_fails_no_request(five: Engine) -> None:
    before = versions(five)
    with steady(five) as seen:
        status = update(five, "--env-add", "VERSION=broken", "--args", "python -c raise(SystemExit(3))")
    assert status["State"] == "rollback_completed", status
    wait(lambda: complete(five), PATIENCE_SECONDS)
    assert versions(five) == before
    assert set(seen) == {"200"}, seen


@pytest.mark.long
def test_two_real_instances_do_all_that_a_service_must(swarm: Engine, tmp_path: Path) -> None:
    key, record = new_key("conformance", ("analyze", "history"), rate="100000/minute")
    records = TypeAdapter(list[KeyRecord]).dump_json([record]).decode()
    file = smaller(tmp_path, service=2, worker=1, ui=1)
    try:
        certificate = deployed(swarm, file, {"sentiment_api_keys": records}, UI_IMAGE=LIGHT)
        job = ("--name", "migrate", "--mode", "replicated-job", "--restart-condition", "none", "--quiet")
        there = ("--network", f"{STACK}_data", "--secret", "sentiment_database_url", "--no-resolve-image")
        swarm.docker("service", "create", *job, *there, image("service"), "python", "-m", "service.database", "upgrade")
        ask = [sys.executable, "-m", "tests.deployment.conformance", "https://127.0.0.1", "--ca", str(certificate)]
        ask += ["--key", key, "--without", "operations", "alone", "pages"]
        told = run(*swarm.inside(*ask), cwd=CHECKOUT, env=os.environ)
        assert told.returncode == 0, told.stdout + told.stderr
    finally:
        swarm.docker("service", "rm", "migrate", check=False)
        removed(swarm)
