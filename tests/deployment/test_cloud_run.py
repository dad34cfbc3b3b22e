"""Cloud Run: both files by Google's description of it, and by the facts."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployment.facts import facts, image
from service.settings import Settings
from tests.deployment.conftest import Program, run
from tests.deployment.environments import differences, unequal

FOLDER = Path(__file__).parents[2] / "deployment" / "gcp"
BY_DISCOVERY = Path(__file__).with_name("cloud_run_by_discovery.py")
HTTP1_BYTES = 32 * 2**20
"""Largest request that Cloud Run passes on over HTTP/1."""
AFTER_SIGTERM_SECONDS = 10
OTHERWISE = {
    "service": {"PORT": None, "SENTIMENT_DRAIN_DELAY_SECONDS": "0"},  # reserved; nothing new comes after SIGTERM
    "ui": {},
}

Service = dict[str, Any]


def loaded(name: str) -> Service:
    return yaml.safe_load((FOLDER / f"{name}.yaml").read_text())


def container(service: Service) -> dict[str, Any]:
    (one,) = service["spec"]["template"]["spec"]["containers"]
    return one


def of_revision(service: Service) -> dict[str, str]:
    """The annotations of a revision."""
    return service["spec"]["template"]["metadata"]["annotations"]


def plain(service: Service) -> dict[str, str]:
    return {pair["name"]: pair["value"] for pair in container(service)["env"] if "value" in pair}


def problems(name: str, service: Service) -> list[str]:
    """Where a file differs from the facts."""
    one = container(service)
    secrets = [pair["name"] for pair in one["env"] if "valueFrom" in pair]
    found = differences(name, plain(service), secrets, OTHERWISE[name])
    fact = facts()[name]
    probes = {key: one[key]["httpGet"] for key in one if key.endswith("Probe")}
    pairs = {
        "image": (one["image"], image(name)),
        "port": (one["ports"][0]["containerPort"], fact["port"]),
        "probed ports": ({probe["port"] for probe in probes.values()}, {fact["port"]}),
        "started": (probes["startupProbe"]["path"], fact.get("ready", fact["health"])),
        "alive": (probes["livenessProbe"]["path"], fact.get("live", fact["health"])),
        "always on": (of_revision(service)["run.googleapis.com/cpu-throttling"], "false"),
    }
    return found + unequal(pairs)


@pytest.mark.parametrize("name", ["service", "ui"])
def test_a_file_agrees_with_the_facts(name: str):
    assert problems(name, loaded(name)) == []


def wrongly_scaled(service: Service) -> list[str]:
    """From one to a hundred instances, by the measured concurrency."""
    revision = service["spec"]["template"]
    scale = {key.rpartition("/")[2]: value for key, value in of_revision(service).items()}
    return unequal(
        {
            "instances": ((scale["minScale"], scale["maxScale"]), ("1", "100")),
            "concurrency": (revision["spec"]["containerConcurrency"], facts()["service"]["concurrency"]),
            "limits": (container(service)["resources"]["limits"], {"cpu": "2", "memory": "4Gi"}),
        }
    )


def test_the_service_scales_from_one_to_a_hundred_by_the_measured_concurrency():
    assert wrongly_scaled(loaded("service")) == []


SCALED: dict[str, Callable[[Service], Any]] = {
    "instances": lambda one: of_revision(one).update({"autoscaling.knative.dev/minScale": "0"}),
    "concurrency": lambda one: one["spec"]["template"]["spec"].update(containerConcurrency=80),
    "limits": lambda one: container(one)["resources"]["limits"].update(cpu="1"),
}


@pytest.mark.parametrize("name", SCALED)
def test_other_scaling_is_noticed(name: str):
    broken = copy.deepcopy(loaded("service"))
    SCALED[name](broken)
    assert [finding.partition(":")[0] for finding in wrongly_scaled(broken)] == [name]


def test_the_service_is_gone_before_it_would_be_killed_and_takes_what_gets_through():
    settings = plain(loaded("service"))
    grace = float(settings["SENTIMENT_DRAIN_DELAY_SECONDS"]) + float(settings["SENTIMENT_GRACEFUL_SECONDS"])
    assert grace < AFTER_SIGTERM_SECONDS
    assert int(settings["SENTIMENT_MAX_BODY_BYTES"]) < HTTP1_BYTES
    assert int(plain(loaded("ui"))["UI_MAX_UPLOAD_BYTES"]) < HTTP1_BYTES
    longest = Settings.model_fields["stream_total_seconds"].default
    assert loaded("service")["spec"]["template"]["spec"]["timeoutSeconds"] >= longest


def test_secrets_come_from_secret_manager():
    for name in ("service", "ui"):
        assert not {"SENTIMENT_API_KEYS", "SENTIMENT_DATABASE_URL", "UI_API_KEY", "UI_AUTH"} & set(plain(loaded(name)))


def judged(program: Program, *files: Path) -> str:
    done = run(program("google-discovery"), BY_DISCOVERY, *files)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_files_are_what_google_describes(program: Program):
    assert judged(program, *sorted(FOLDER.glob("*.yaml"))) == ""


def annotated(service: Service, place: str, name: str) -> None:
    (service["metadata"]["annotations"] if place == "Service" else of_revision(service))[name] = "x"


UNDESCRIBED: dict[str, Callable[[Service], Any]] = {
    "containerConcurency": lambda one: one["spec"]["template"]["spec"].update(containerConcurency=1),
    "is not of type 'integer'": lambda one: one["spec"]["template"]["spec"].update(containerConcurrency="8"),
    "is greater than the maximum": lambda one: container(one)["livenessProbe"].update(timeoutSeconds=10_000),
    "securityContext": lambda one: container(one).update(securityContext={"runAsUser": 1}),
    "is not of type 'array'": lambda one: container(one).update(args="serve"),
    "cpu-throtling is no": lambda one: annotated(one, "Revision", "run.googleapis.com/cpu-throtling"),
    "ingress is no annotation of a Revision": lambda one: annotated(one, "Revision", "run.googleapis.com/ingress"),
    "cpu-throttling is no": lambda one: annotated(one, "Service", "run.googleapis.com/cpu-throttling"),
}


def test_what_google_does_not_describe_is_refused(program: Program, tmp_path: Path):
    files = {}
    for turn, (name, break_) in enumerate(UNDESCRIBED.items()):
        broken = copy.deepcopy(loaded("service"))
        break_(broken)
        files[name] = tmp_path / f"{turn}.yaml"
        files[name].write_text(yaml.safe_dump(broken))
    lines = judged(program, *files.values()).splitlines()
    for name, file in files.items():
        assert [line for line in lines if line.startswith(str(file)) and name in line], name


DIFFERENT: dict[str, Callable[[Service], Any]] = {
    "a setting that does not exist": lambda one: container(one)["env"].append({"name": "SENTIMENT_X", "value": "1"}),
    "the reserved PORT": lambda one: container(one)["env"].append({"name": "PORT", "value": "8000"}),
    "another image": lambda one: container(one).update(image="registry.example.org/multimodal-sentiment:latest"),
    "another port": lambda one: container(one)["ports"][0].update(containerPort=8080),
    "a probe elsewhere": lambda one: container(one)["livenessProbe"]["httpGet"].update(path="/"),
    "a processor between requests alone": lambda one: of_revision(one).update(
        {"run.googleapis.com/cpu-throttling": "true"}
    ),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_a_file_that_differs_is_noticed(name: str):
    broken = copy.deepcopy(loaded("service"))
    DIFFERENT[name](broken)
    assert problems("service", broken)
