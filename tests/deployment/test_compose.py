"""`deployment/compose` for one machine: its shape, and a real engine that runs all of it."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.settings import Settings
from tests.deployment import compose_checks as checks
from tests.deployment.compose_checks import EVERYWHERE, IN_SWARM, Check
from tests.deployment.conftest import Program, run
from tests.deployment.engine import Engine, copied, docker_engine, service_image, standins, steady, ui_image, wait
from tests.serving import CHECKOUT

FOLDER = CHECKOUT / "deployment" / "compose"
FILES = {name: FOLDER / name for name in ("docker-compose.yml", "docker-compose.prod.yml")}
WITHOUT_GRAFANA = ("service", "worker", "ui", "nginx", "postgres", "redis", "prometheus", "alertmanager")
"""Grafana is in no package, so there is no image of it here."""
MACHINE, SWARM = FILES


def tree(name: str) -> dict[str, Any]:
    return yaml.safe_load(FILES[name].read_text())


def resolved(program: Program, file: Path) -> subprocess.CompletedProcess[str]:
    """What Compose makes of a file."""
    return run(program("docker-compose"), "-f", file, "config", "--format", "json", cwd=file.parent)


def test_compose_takes_the_file(program: Program) -> None:
    answer = resolved(program, FILES[MACHINE])
    assert answer.returncode == 0, answer.stderr
    made = json.loads(answer.stdout)
    assert set(made["services"]) == {*WITHOUT_GRAFANA, "grafana"}
    assert {port["host_ip"] for one in made["services"].values() for port in one.get("ports", ())} == {"127.0.0.1"}


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("healthcheck:", "healthchek:"),
        ("condition: service_healthy", "condition: service_well"),
        ("networks: [edge, data, watch]", "networks: [edge, date, watch]"),
        ("secrets: [postgres_password]", "secrets: [postgres_pasword]"),
    ],
)
def test_compose_refuses_a_misspelt_file(program: Program, tmp_path: Path, right: str, wrong: str) -> None:
    file = copied(tmp_path) / MACHINE
    text = file.read_text()
    assert right in text
    file.write_text(text.replace(right, wrong, 1))
    assert resolved(program, file).returncode != 0


CHECKED = [(check, name) for check in EVERYWHERE for name in FILES] + [(check, SWARM) for check in IN_SWARM]


@pytest.mark.parametrize(("check", "name"), CHECKED, ids=lambda one: getattr(one, "__name__", one))
def test_a_file_keeps(check: Check, name: str) -> None:
    assert check(tree(name)["services"]) == []


BROKEN: tuple[tuple[Check, str, str, str, str], ...] = (
    (checks.images_are_those_of_the_facts_and_pinned, MACHINE, "sentiment:0.1.0", "sentiment:0.0.9", "service: image"),
    (checks.images_are_those_of_the_facts_and_pinned, SWARM, "redis:7.4-bookworm", "redis:latest", "redis: image"),
    (checks.nothing_may_write_or_do_more_than_it_must, MACHINE, "read_only: true", "read_only: false", "read-only"),
    (checks.nothing_may_write_or_do_more_than_it_must, SWARM, "cap_drop: [ALL]", "cap_drop: []", "dropped"),
    (checks.nothing_may_write_or_do_more_than_it_must, MACHINE, "user: nobody", "user: root", "prometheus: root"),
    (checks.nothing_may_write_or_do_more_than_it_must, MACHINE, "memory: 128M, ", "", "alertmanager: limits"),
    (checks.nothing_may_write_or_do_more_than_it_must, SWARM, "healthcheck: {test", "healthcheck: {tests", "health"),
    (checks.numbers_are_those_of_the_facts, MACHINE, "memory: 2G", "memory: 3G", "service limits"),
    (checks.numbers_are_those_of_the_facts, SWARM, "stop_grace_period: 50s", "stop_grace_period: 10s", "may end"),
    (checks.numbers_are_those_of_the_facts, MACHINE, "PORT=8001", "PORT=8000", "health of the worker"),
    (checks.numbers_are_those_of_the_facts, SWARM, "http://service:8000", "http://service:3000", "address"),
    (checks.numbers_are_those_of_the_facts, SWARM, "service.worker", "service.works", "worker command"),
    (checks.variables_are_settings, MACHINE, "SENTIMENT_QUEUE_URL", "SENTIMENT_QUEUE_URI", "QUEUE_URI is no setting"),
    (
        checks.variables_are_settings,
        SWARM,
        "[sentiment_database_url,",
        "[sentiment_database,",
        "DATABASE is no setting",
    ),
    (checks.variables_are_settings, MACHINE, 'THREADS: "1"', 'THREADS: "0"', "SENTIMENT_TEXT_THREADS"),
    (checks.variables_are_settings, MACHINE, 'PORT: "8001"', 'PORT: "8000"', "metrics of the worker"),
    (checks.five_are_replaced_two_by_two, SWARM, "replicas: 5", "replicas: 3", "replicas"),
    (checks.five_are_replaced_two_by_two, SWARM, "start-first", "stop-first", "order"),
    (checks.five_are_replaced_two_by_two, SWARM, "action: rollback", "action: pause", "failure"),
    (
        checks.names_stand_for_all_containers,
        SWARM,
        "mode: host",
        "mode: ingress",
        "pub",
    ),
    (
        checks.names_stand_for_all_containers,
        SWARM,
        "mode: dnsrr",
        "mode: vip",
        "names",
    ),
)
"""Check, file, what is changed in it, and a word of what the check says then."""


@pytest.mark.parametrize(("check", "name", "right", "wrong", "said"), BROKEN, ids=lambda one: str(one)[:40])
def test_a_check_sees_a_broken_copy(check: Check, name: str, right: str, wrong: str, said: str) -> None:
    text = FILES[name].read_text()
    assert right in text
    findings = check(yaml.safe_load(text.replace(right, wrong, 1))["services"])
    assert any(said in finding for finding in findings), findings


def test_every_check_was_seen_to_fail() -> None:
    assert {check for check, _ in CHECKED} == {case[0] for case in BROKEN}


def test_secrets_are_made_once_and_for_the_owner_alone(tmp_path: Path) -> None:
    script = FOLDER / "secrets.sh"
    made = tmp_path / "secrets"
    assert run("sh", script, made).returncode == 0
    before = {path.name: path.read_text() for path in made.iterdir()}
    assert set(before) == set(tree(MACHINE)["secrets"])
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    assert before["postgres_password"].strip() in before["sentiment_database_url"]
    assert run("sh", script, made).returncode == 0
    assert {path.name: path.read_text() for path in made.iterdir()} == before


def test_a_secret_that_is_a_file_is_a_setting(tmp_path: Path) -> None:
    (tmp_path / "sentiment_database_url").write_text("postgresql://sentiment:word@postgres/sentiment\n")
    (tmp_path / "sentiment_api_keys").write_text("")
    read = Settings(_secrets_dir=tmp_path)  # type: ignore[call-arg]
    assert read.database_url is not None
    assert read.database_url.get_secret_value() == "postgresql://sentiment:word@postgres/sentiment"


@pytest.fixture(scope="module")
def engine(program: Program) -> Iterator[Engine]:
    with docker_engine(program("docker-compose")) as running:
        service_image(running)
        ui_image(running)
        standins(running)
        yield running


@pytest.fixture(scope="module")
def house(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Everything, started by the one command."""
    folder = copied(tmp_path_factory.mktemp("machine"))
    try:
        engine.run("sh", folder / "up.sh", "--no-build", *WITHOUT_GRAFANA)
        yield folder
    finally:
        engine.docker("compose", "down", "--volumes", "--timeout", "60", cwd=folder, check=False)


def containers(engine: Engine, folder: Path) -> list[dict[str, Any]]:
    names = engine.docker("compose", "ps", "-q", cwd=folder).split()
    return json.loads(engine.docker("inspect", *names))


Told = Callable[[dict[str, Any]], Any]


@pytest.mark.long
def test_one_command_starts_all_of_it_healthy_and_shut_in(engine: Engine, house: Path) -> None:
    running = containers(engine, house)
    assert {one["Config"]["Labels"]["com.docker.compose.service"] for one in running} == set(WITHOUT_GRAFANA)
    expected: dict[str, tuple[Told, Any]] = {
        "health": (lambda one: one["State"]["Health"]["Status"], "healthy"),
        "read-only": (lambda one: one["HostConfig"]["ReadonlyRootfs"], True),
        "capabilities": (lambda one: one["HostConfig"]["CapDrop"], ["ALL"]),
        "privileges": (lambda one: one["HostConfig"]["SecurityOpt"], ["no-new-privileges:true"]),
        "memory": (lambda one: one["HostConfig"]["Memory"] > 0, True),
        "processor": (lambda one: one["HostConfig"]["NanoCpus"] > 0, True),
        "root": (lambda one: one["Config"]["User"] in ("", "root", "0"), False),
    }
    for one in running:
        assert {what: told(one) for what, (told, _) in expected.items()} == {
            what: right for what, (_, right) in expected.items()
        }, one["Name"]


@pytest.mark.long
def test_it_does_all_that_a_service_must(engine: Engine, house: Path) -> None:
    """By its own address alone; `/metrics` is not open there."""
    ask = [sys.executable, "-m", "tests.deployment.conformance", "https://127.0.0.1"]
    ask += ["--ca", str(house / "secrets" / "tls.crt"), "--without", "operations", "alone"]
    told = run(*engine.inside(*ask), cwd=CHECKOUT, env=os.environ)
    assert told.returncode == 0, told.stdout + told.stderr


@pytest.mark.long
def test_the_page_is_beside_it_and_metrics_are_not(engine: Engine, house: Path) -> None:
    statuses = {path: engine.status(f"https://127.0.0.1{path}") for path in ("/", "/config", "/health", "/metrics")}
    assert statuses == {"/": 200, "/config": 200, "/health": 200, "/metrics": 404}
    assert engine.status("http://127.0.0.1:9090/-/healthy") == 200


@pytest.mark.long
def test_prometheus_sees_service_and_worker(engine: Engine, house: Path) -> None:
    def both() -> bool:
        query = engine.inside("curl", "-s", "http://127.0.0.1:9090/api/v1/query?query=up")
        found = json.loads(engine.run(*query))["data"]["result"]
        up = {one["metric"]["job"] for one in found if one["value"][1] == "1"}
        return {"multimodal-sentiment", "multimodal-sentiment-worker"} <= up

    wait(both, 60)


@pytest.mark.long
def test_prometheus_knows_whom_to_tell_of_an_alert(engine: Engine, house: Path) -> None:
    def asked(address: str) -> str:
        return engine.run(*engine.inside("curl", "-s", f"http://127.0.0.1:{address}"), check=False)

    wait(lambda: "http://alertmanager:9093/api/v2/alerts" in asked("9090/api/v1/alertmanagers"), 60)
    assert "receiver: pages" in json.loads(asked("9093/api/v2/status"))["config"]["original"]
    there = ("compose", "exec", "-T", "prometheus", "wget", "-q", "-O", "-", "http://alertmanager:9093/-/ready")
    engine.docker(*there, cwd=house)


@pytest.mark.long
def test_what_faces_people_cannot_reach_what_is_kept(engine: Engine, house: Path) -> None:
    reach = "import socket; socket.create_connection(('{}', {}), 3)"
    for name, port in (("postgres", 5432), ("redis", 6379)):
        there = ("compose", "exec", "-T", "service", "python", "-c", reach.format(name, port))
        engine.docker(*there, cwd=house)
        with pytest.raises(AssertionError, match="gaierror"):
            engine.docker("compose", "exec", "-T", "ui", *there[4:], cwd=house)


@pytest.mark.long
def test_a_second_instance_is_followed_and_one_that_goes_is_not_missed(engine: Engine, house: Path) -> None:
    scale = ("compose", "up", "-d", "--wait", "--no-recreate", "--no-build", "--scale")
    engine.docker(*scale, "service=2", "service", cwd=house)
    first = engine.docker("compose", "ps", "-q", "service", cwd=house).split()[0]
    with steady(engine) as seen:
        engine.docker("stop", first)
        engine.run("sleep", "3")
    assert set(seen) == {"200"}
