"""Azure: both templates by the models of Azure's SDK, and by the facts."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from huey.storage import RedisStorage

from deployment.facts import facts, image
from service.jobs import queue
from tests.deployment.conftest import Program, run
from tests.deployment.environments import differences, unequal

FOLDER = Path(__file__).parents[2] / "deployment" / "azure"
FILES = ("container-instances", "container-apps")
BY_MODELS = Path(__file__).with_name("azure_by_models.py")
INGRESS_SECONDS = 240
"""Container Apps gives up on an answer after so long."""
SIZES = {
    (0.25, "0.5Gi"),
    (0.5, "1Gi"),
    (0.75, "1.5Gi"),
    (1, "2Gi"),
    (1.25, "2.5Gi"),
    (1.5, "3Gi"),
    (1.75, "3.5Gi"),
    (2, "4Gi"),
}
"""What Container Apps sells without dedicated machines."""

Template = dict[str, Any]


@dataclass(frozen=True)
class Container:
    """A container of either kind of template, in words of our own."""

    name: str
    image: str
    environment: dict[str, str]
    secrets: frozenset[str]
    probes: dict[str, dict[str, Any]]
    size: tuple[float, Any]
    command: list[str]

    @property
    def program(self) -> str:
        """Of whose image it is."""
        return "ui" if self.name == "ui" else "service"


def loaded(name: str) -> Template:
    return json.loads((FOLDER / f"{name}.json").read_text())


def containers(template: Template) -> Iterator[Container]:
    """Every container of a template."""
    for resource in template["resources"]:
        if resource["type"] == "Microsoft.ContainerInstance/containerGroups":
            yield from map(_of_group, resource["properties"]["containers"])
        elif "template" in resource["properties"]:
            yield from map(_of_app, resource["properties"]["template"]["containers"])


def _of_group(one: dict[str, Any]) -> Container:
    inside = one["properties"]
    requests = inside["resources"]["requests"]
    return Container(
        name=one["name"],
        image=inside["image"],
        environment={pair["name"]: pair["value"] for pair in inside["environmentVariables"] if "value" in pair},
        secrets=frozenset(pair["name"] for pair in inside["environmentVariables"] if "secureValue" in pair),
        probes={"Readiness": inside["readinessProbe"], "Liveness": inside["livenessProbe"]},
        size=(requests["cpu"], requests["memoryInGB"]),
        command=inside.get("command", []),
    )


def _of_app(one: dict[str, Any]) -> Container:
    return Container(
        name=one["name"],
        image=one["image"],
        environment={pair["name"]: pair["value"] for pair in one["env"] if "value" in pair},
        secrets=frozenset(pair["name"] for pair in one["env"] if "secretRef" in pair),
        probes={probe["type"]: probe for probe in one.get("probes", ())},
        size=(one["resources"]["cpu"], one["resources"]["memory"]),
        command=one.get("command", []),
    )


def problems(template: Template) -> list[str]:
    """Where a template differs from the facts."""
    found = []
    for one in containers(template):
        found += [f"{one.name}: {what}" for what in differences(one.program, one.environment, one.secrets)]
        if one.image != f"[parameters('{one.program}Image')]":
            found.append(f"{one.name}: image {one.image}")
        wanted = _probed(one.name)
        probed = {(kind, p["httpGet"]["path"], p["httpGet"]["port"]) for kind, p in one.probes.items()}
        found += [f"{one.name}: {what} is not what is probed" for what in sorted(probed - wanted)]
    defaults = {name: template["parameters"][f"{name}Image"]["defaultValue"] for name in ("service", "ui")}
    return found + [f"default image {value}" for name, value in defaults.items() if value != image(name)]


def _probed(name: str) -> set[tuple[str, str, int]]:
    service, ui, worker = facts()["service"], facts()["ui"], facts()["worker"]
    if name == "service":
        ready = {(kind, service["ready"], service["port"]) for kind in ("Startup", "Readiness")}
        return ready | {("Liveness", service["live"], service["port"])}
    if name == "ui":
        return {(kind, ui["health"], ui["port"]) for kind in ("Startup", "Readiness", "Liveness")}
    return {("Liveness", service["metrics"], worker["metrics_port"])} if name == "worker" else set()


def app(template: Template, name: str) -> dict[str, Any]:
    (found,) = [one for one in template["resources"] if one["name"] == name]
    return found["properties"]


@pytest.mark.parametrize("name", FILES)
def test_a_template_agrees_with_the_facts(name: str):
    template = loaded(name)
    assert list(containers(template)) and problems(template) == []


def test_a_group_has_two_processors_and_four_gigabytes_for_the_service():
    sizes = {one.name: one.size for one in containers(loaded("container-instances"))}
    assert sizes["service"] == (2, 4)
    group = loaded("container-instances")["resources"][0]["properties"]
    assert [port["port"] for port in group["ipAddress"]["ports"]] == [facts()["service"]["port"], facts()["ui"]["port"]]
    assert group["ipAddress"]["type"] == "Private"  # a group speaks no TLS


def wrongly_scaled(template: Template) -> list[str]:
    """As far as the facts, and by the measured concurrency."""
    service = facts()["service"]
    scale = app(template, "multimodal-sentiment")["template"]["scale"]
    page = app(template, "multimodal-sentiment-ui")["template"]["scale"]
    rules = {rule["name"]: rule.get("http", rule.get("custom"))["metadata"] for rule in scale["rules"]}
    least_and_most = (service["replicas"], service["max_replicas"])
    return unequal(
        {
            "replicas": ((scale["minReplicas"], scale["maxReplicas"]), least_and_most),
            "requests": (rules["requests"]["concurrentRequests"], str(service["concurrency"])),
            "cpu": (rules["cpu"]["value"], str(service["target_cpu_percent"])),
            "memory": (rules["memory"]["value"], str(service["target_memory_percent"])),
            "pages": (page["minReplicas"], facts()["ui"]["replicas"]),
        }
    )


def test_apps_scale_as_far_as_the_facts_and_by_the_measured_concurrency():
    assert wrongly_scaled(loaded("container-apps")) == []


def test_workers_scale_by_the_list_that_the_queue_really_is():
    (rule,) = app(loaded("container-apps"), "multimodal-sentiment-worker")["template"]["scale"]["rules"]
    assert rule["custom"]["metadata"]["listName"] == RedisStorage(queue.NAME).queue_key
    (worker,) = [one for one in containers(loaded("container-apps")) if one.name == "worker"]
    assert worker.command == facts()["worker"]["command"]
    assert worker.environment["SENTIMENT_WORKER_METRICS_PORT"] == str(facts()["worker"]["metrics_port"])


def test_apps_have_sizes_that_are_sold_and_end_in_time():
    template = loaded("container-apps")
    assert {one.size for one in containers(template)} <= SIZES
    for name in ("multimodal-sentiment", "multimodal-sentiment-worker"):
        assert app(template, name)["template"]["terminationGracePeriodSeconds"] == facts()["service"]["stop_seconds"]
    (service,) = [one for one in containers(template) if one.name == "service"]
    assert float(service.environment["SENTIMENT_REQUEST_TIMEOUT_SECONDS"]) < INGRESS_SECONDS


def test_apps_are_reached_by_tls_alone_and_at_their_ports():
    template = loaded("container-apps")
    ports = {"multimodal-sentiment": facts()["service"]["port"], "multimodal-sentiment-ui": facts()["ui"]["port"]}
    for name, port in ports.items():
        ingress = app(template, name)["configuration"]["ingress"]
        assert ingress["targetPort"] == port and ingress["allowInsecure"] is False
    assert "ingress" not in app(template, "multimodal-sentiment-worker")["configuration"]


def test_each_secret_that_an_app_reads_is_one_that_it_has():
    for resource in loaded("container-apps")["resources"]:
        if "template" in resource["properties"]:
            has = {secret["name"] for secret in resource["properties"]["configuration"]["secrets"]}
            text = json.dumps(resource["properties"]["template"])
            assert has == {name for name in has if f'"secretRef": "{name}"' in text}
            assert text.count('"secretRef"') >= len(has)


def judged(program: Program, *files: Path) -> list[str]:
    done = run(program("azure-mgmt"), BY_MODELS, *files)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_templates_are_what_azure_s_models_describe(program: Program):
    assert judged(program, *(FOLDER / f"{name}.json" for name in FILES)) == []


def group_container(template: Template) -> dict[str, Any]:
    return template["resources"][0]["properties"]["containers"][0]["properties"]


def service_app(template: Template) -> dict[str, Any]:
    return app(template, "multimodal-sentiment")


UNKNOWN: dict[str, tuple[str, Callable[[Template], Any]]] = {
    "memoryInGb is not known": (FILES[0], lambda t: group_container(t)["resources"]["requests"].update(memoryInGb=4)),
    "memoryInGB is missing": (FILES[0], lambda t: group_container(t)["resources"]["requests"].pop("memoryInGB")),
    "osTyp is not known": (FILES[0], lambda t: t["resources"][0]["properties"].update(osTyp="Linux")),
    "osType is 'Linus'": (FILES[0], lambda t: t["resources"][0]["properties"].update(osType="Linus")),
    "port is '8000'": (FILES[0], lambda t: group_container(t)["ports"][0].update(port="8000")),
    "minReplica is not known": (FILES[1], lambda t: service_app(t)["template"]["scale"].update(minReplica=1)),
    "minReplicas is '1'": (FILES[1], lambda t: service_app(t)["template"]["scale"].update(minReplicas="1")),
    "transport is 'htp'": (FILES[1], lambda t: service_app(t)["configuration"]["ingress"].update(transport="htp")),
    "is for Azure to set": (FILES[1], lambda t: service_app(t).update(provisioningState="Succeeded")),
    "the maximum is 10": (
        FILES[1],
        lambda t: service_app(t)["template"]["containers"][0]["probes"][0].update(failureThreshold=40),
    ),
    "the models of": (FILES[1], lambda t: t["resources"][2].update(apiVersion="2023-05-01")),
    "identity does not exist": (FILES[1], lambda t: t["parameters"].pop("identity")),
}


def test_what_azure_s_models_do_not_describe_is_refused(program: Program, tmp_path: Path):
    files = {}
    for turn, (name, (source, break_)) in enumerate(UNKNOWN.items()):
        broken = loaded(source)
        break_(broken)
        files[name] = tmp_path / f"{turn}.json"
        files[name].write_text(json.dumps(broken))
    lines = judged(program, *files.values())
    for name, file in files.items():
        assert [line for line in lines if line.startswith(str(file)) and name in line], name


DIFFERENT: dict[str, Callable[[Template], Any]] = {
    "a setting that does not exist": lambda t: _environment(t).append({"name": "SENTIMENT_LOGLEVEL", "value": "info"}),
    "another value": lambda t: _environment(t)[0].update(value="127.0.0.1"),
    "a probe elsewhere": lambda t: _first(t)["probes"][0]["httpGet"].update(path="/"),
    "another image": lambda t: t["parameters"]["uiImage"].update(defaultValue="ui:latest"),
}


def _first(template: Template) -> dict[str, Any]:
    return service_app(template)["template"]["containers"][0]


def _environment(template: Template) -> list[dict[str, str]]:
    return _first(template)["env"]


SCALED: dict[str, Callable[[Template], Any]] = {
    "replicas": lambda t: service_app(t)["template"]["scale"].update(minReplicas=0),
    "requests": lambda t: service_app(t)["template"]["scale"]["rules"][0]["http"]["metadata"].update(
        concurrentRequests="80"
    ),
    "pages": lambda t: app(t, "multimodal-sentiment-ui")["template"]["scale"].update(minReplicas=1),
}


@pytest.mark.parametrize("name", SCALED)
def test_other_scaling_is_noticed(name: str):
    broken = copy.deepcopy(loaded("container-apps"))
    SCALED[name](broken)
    assert [finding.partition(":")[0] for finding in wrongly_scaled(broken)] == [name]


@pytest.mark.parametrize("name", DIFFERENT)
def test_a_template_that_differs_is_noticed(name: str):
    broken = copy.deepcopy(loaded("container-apps"))
    DIFFERENT[name](broken)
    assert problems(broken)
