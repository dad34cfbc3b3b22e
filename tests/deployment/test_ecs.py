"""ECS on Fargate: the template by cfn-lint, the definitions by boto3 and moto, all of it by the facts."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deployment.aws.ecs.task_definitions import FILES, FOLDER, TEMPLATE, definition, template
from deployment.facts import facts, image
from tests.deployment.conftest import Program, run
from tests.deployment.environments import differences, unequal

Stack = dict[str, Any]
DUMMY = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "eu-west-1"}
MOTO = Path(__file__).with_name("ecs_through_moto.py")
PROGRAMS = {"ServiceTask": "service", "WorkerTask": "service", "MigrateTask": "service", "UiTask": "ui"}


@pytest.fixture
def stack() -> Stack:
    return copy.deepcopy(template())


def containers(stack: Stack, task: str) -> list[dict[str, Any]]:
    return stack["Resources"][task]["Properties"]["ContainerDefinitions"]


def main_container(stack: Stack, task: str) -> dict[str, Any]:
    (found,) = [one for one in containers(stack, task) if one["Essential"]]
    return found


def problems(stack: Stack) -> list[str]:
    """Where the template differs from the facts."""
    found = []
    for task, program in PROGRAMS.items():
        one = main_container(stack, task)
        environment = {
            pair["Name"]: pair["Value"] if isinstance(pair["Value"], str) else "" for pair in one["Environment"]
        }
        secrets = frozenset(pair["Name"] for pair in one.get("Secrets", ()))
        found += [f"{task}: {problem}" for problem in differences(program, environment, secrets)]
        found += [f"{task}: {problem}" for problem in unguarded(one)]
    return found + wrong_numbers(stack)


def unguarded(container: dict[str, Any]) -> list[str]:
    user = facts()["image"]["user"]
    wanted = {
        "User": f"{user}:{user}",
        "ReadonlyRootFilesystem": True,
        "LinuxParameters": {"Capabilities": {"Drop": ["ALL"]}},
        "StopTimeout": facts()["service"]["stop_seconds"],
    }
    return [f"{key} is {container.get(key)}" for key, value in wanted.items() if container.get(key) != value]


def wrong_numbers(stack: Stack) -> list[str]:
    resources, service, ui = stack["Resources"], facts()["service"], facts()["ui"]

    def of(name: str, *keys: Any) -> Any:
        value = resources[name]["Properties"]
        for key in keys:
            value = value[key]
        return value

    drain = service["drain_seconds"] + service["graceful_seconds"]
    attributes = {pair["Key"]: pair["Value"] for pair in of("Balancer", "LoadBalancerAttributes")}
    waiting = {pair["Key"]: pair["Value"] for pair in of("ServiceTargets", "TargetGroupAttributes")}
    lasting = next(
        pair["Value"]
        for pair in main_container(stack, "ServiceTask")["Environment"]
        if pair["Name"] == "SENTIMENT_KEEP_ALIVE_SECONDS"
    )
    pairs = {
        "service cpu": (of("ServiceTask", "Cpu"), "1024"),
        "service memory": (of("ServiceTask", "Memory"), "2048"),
        "service image": (stack["Parameters"]["ServiceImage"]["Default"], image("service")),
        "ui image": (stack["Parameters"]["UiImage"]["Default"], image("ui")),
        "service port": (main_container(stack, "ServiceTask")["PortMappings"][0]["ContainerPort"], service["port"]),
        "ui port": (main_container(stack, "UiTask")["PortMappings"][0]["ContainerPort"], ui["port"]),
        "balanced port": (of("Service", "LoadBalancers", 0, "ContainerPort"), service["port"]),
        "balanced ui port": (of("Ui", "LoadBalancers", 0, "ContainerPort"), ui["port"]),
        "worker command": (main_container(stack, "WorkerTask")["Command"], facts()["worker"]["command"]),
        "ready path": (of("ServiceTargets", "HealthCheckPath"), service["ready"]),
        "ui path": (of("UiTargets", "HealthCheckPath"), ui["health"]),
        "replicas": (of("Service", "DesiredCount"), service["replicas"]),
        "least": (of("ServiceScaling", "MinCapacity"), service["replicas"]),
        "most": (of("ServiceScaling", "MaxCapacity"), service["max_replicas"]),
        "ui replicas": (of("Ui", "DesiredCount"), ui["replicas"]),
        "cpu target": (target(resources, "ServiceByCpu"), service["target_cpu_percent"]),
        "memory target": (target(resources, "ServiceByMemory"), service["target_memory_percent"]),
        "patience": (attributes["idle_timeout.timeout_seconds"], str(service["timeout_seconds"])),
        "draining": (waiting["deregistration_delay.timeout_seconds"], str(drain)),
        "connections outlast the balancer's": (int(lasting) > service["timeout_seconds"], True),
        "errors": (of("ErrorsAlarm", "Threshold"), facts()["targets"]["error_ratio"]),
        "latency": (of("LatencyAlarm", "Threshold"), facts()["targets"]["latency_p95_seconds"]),
        "cpu alarm": (of("CpuAlarm", "Threshold"), 100 * facts()["targets"]["cpu_ratio"]),
        "memory alarm": (of("MemoryAlarm", "Threshold"), 100 * facts()["targets"]["memory_ratio"]),
        "tls": (of("Secure", "SslPolicy"), "ELBSecurityPolicy-TLS13-1-3-2021-06"),
    }
    return unequal(pairs)


def target(resources: Stack, policy: str) -> float:
    return resources[policy]["Properties"]["TargetTrackingScalingPolicyConfiguration"]["TargetValue"]


def statements(stack: Stack) -> list[dict[str, Any]]:
    roles = [one["Properties"] for one in stack["Resources"].values() if one["Type"] == "AWS::IAM::Role"]
    return [line for role in roles for policy in role["Policies"] for line in policy["PolicyDocument"]["Statement"]]


def too_much(stack: Stack) -> list[Any]:
    """Permissions for any action, or for any resource where AWS knows resources."""
    found = []
    for line in statements(stack):
        actions = line["Action"] if isinstance(line["Action"], list) else [line["Action"]]
        everything = line["Resource"] == "*" and actions != ["ecr:GetAuthorizationToken"]
        found += [line] if everything or any("*" in action for action in actions) else []
    return found


def test_the_template_agrees_with_the_facts(stack: Stack):
    assert problems(stack) == []


def set_environment(stack: Stack, name: str, value: str) -> None:
    main_container(stack, "ServiceTask")["Environment"].append({"Name": name, "Value": value})


BREAKS: dict[str, Callable[[Stack], Any]] = {
    "a setting that does not exist": lambda stack: set_environment(stack, "SENTIMENT_LOGLEVEL", "info"),
    "another value": lambda stack: set_environment(stack, "LOG_LEVEL", "debug"),
    "another port": lambda stack: main_container(stack, "UiTask")["PortMappings"][0].update(ContainerPort=7861),
    "root": lambda stack: main_container(stack, "WorkerTask").update(User="0"),
    "a root that can be written": lambda stack: main_container(stack, "UiTask").pop("ReadonlyRootFilesystem"),
    "old tls": lambda stack: stack["Resources"]["Secure"]["Properties"].update(SslPolicy="ELBSecurityPolicy-2016-08"),
    "a probe elsewhere": lambda stack: stack["Resources"]["ServiceTargets"]["Properties"].update(HealthCheckPath="/"),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_template_that_differs_is_noticed(stack: Stack, name: str):
    BREAKS[name](stack)
    assert problems(stack)


def test_nobody_may_more_than_they_need(stack: Stack):
    assert too_much(stack) == []
    statements(stack)[0]["Action"] = "ecr:*"
    statements(stack)[1]["Resource"] = "*"
    assert len(too_much(stack)) == 2


def secrets_read_and_readable(stack: Stack) -> tuple[set[str], set[str]]:
    """The secrets that tasks read, and those that starting a task may read."""
    used = {
        pair["ValueFrom"]["Ref"]
        for task in PROGRAMS
        for container in containers(stack, task)
        for pair in container.get("Secrets", ())
    }
    (line,) = [line for line in statements(stack) if line["Action"] == "secretsmanager:GetSecretValue"]
    return used, {one["Ref"] for one in line["Resource"]}


def test_each_secret_that_a_task_reads_may_be_read_to_start_it_and_no_other(stack: Stack):
    used, readable = secrets_read_and_readable(stack)
    assert used == readable
    main_container(stack, "ServiceTask")["Secrets"].append({"Name": "MORE", "ValueFrom": {"Ref": "MoreSecret"}})
    used, readable = secrets_read_and_readable(stack)
    assert used - readable == {"MoreSecret"}


def test_folders_that_belong_to_root_are_opened_before_a_container_starts(stack: Stack):
    for task in PROGRAMS:
        before = containers(stack, task)[0]
        mounted = {
            mount["SourceVolume"]: mount["ContainerPath"] for mount in main_container(stack, task)["MountPoints"]
        }
        own = {path for volume, path in mounted.items() if volume != "jobs"}  # that one has an access point
        assert set(before["Command"][3:]) == {mount["ContainerPath"] for mount in before["MountPoints"]} == own
        assert main_container(stack, task)["DependsOn"] == [{"ContainerName": "folders", "Condition": "SUCCESS"}]


def not_made_again(stack: Stack) -> set[str]:
    """The plain definitions that are not those of the template."""
    return {task for task, file in FILES.items() if json.loads((FOLDER / file).read_text()) != definition(stack, task)}


def test_plain_definitions_are_those_of_the_template(stack: Stack):
    assert not_made_again(stack) == set()
    set_environment(stack, "LOG_LEVEL", "debug")
    assert not_made_again(stack) == {"ServiceTask"}


@pytest.mark.long
def test_cfn_lint_takes_the_template_and_no_impossible_task(program: Program, tmp_path: Path):
    lint, environment = program("cfn-lint"), {**os.environ, **DUMMY}
    done = run(lint, TEMPLATE, env=environment)
    assert done.returncode == 0, done.stdout
    broken = tmp_path / "template.yaml"
    text = TEMPLATE.read_text()
    assert 'Memory: "2048"' in text
    broken.write_text(text.replace('Memory: "2048"', 'Memory: "1000"', 1).replace("SslPolicy:", "SslPolicies:", 1))
    said = run(lint, broken, env=environment).stdout
    assert "E3047" in said and "SslPolicies" in said


def through_moto(program: Program, *files: Path) -> tuple[int, str]:
    python = program("moto_server").with_name("python")
    done = run(python, MOTO, *files, env={**os.environ, **DUMMY})
    return done.returncode, done.stdout if done.returncode == 0 else done.stderr


@pytest.mark.long
def test_definitions_can_be_registered_updated_and_taken_back(program: Program):
    code, said = through_moto(program, *(FOLDER / file for file in FILES.values()))
    assert code == 0, said
    assert json.loads(said) == {
        "registered": [
            "multimodal-sentiment:1",
            "multimodal-sentiment-worker:1",
            "multimodal-sentiment-migrate:1",
            "multimodal-sentiment-ui:1",
        ],
        "targets": 1,
        "next": "multimodal-sentiment:2",
        "runs": "multimodal-sentiment:1",
    }


@pytest.mark.long
def test_a_definition_with_a_misspelt_key_or_a_wrong_type_is_refused(program: Program, tmp_path: Path):
    content = json.loads((FOLDER / FILES["ServiceTask"]).read_text())
    content["containerDefinitions"][1]["readOnlyRootFilesystem"] = True
    content["containerDefinitions"][1]["stopTimeout"] = "50"
    file = tmp_path / "broken.json"
    file.write_text(json.dumps(content))
    code, said = through_moto(program, file)
    assert code != 0 and "readOnlyRootFilesystem" in said and "stopTimeout" in said
