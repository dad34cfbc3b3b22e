"""The Kubernetes files: what kustomize renders is held against the facts, the schemas, and what runs here."""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path

import pytest
import yaml

from deployment.facts import facts
from tests.deployment import manifest_checks as checks
from tests.deployment.broken_manifests import BROKEN
from tests.deployment.conftest import Program, run
from tests.deployment.containers import built
from tests.deployment.manifest_checks import Check
from tests.deployment.manifests import (
    CHECKOUT,
    CUSTOM_KINDS,
    GATEWAY,
    KUBERNETES,
    Change,
    Object,
    Pod,
    copy_with,
    kustomize,
    of_kind,
    pods,
)
from tests.deployment.pods_played import Played, container_of, here, inspected, played, without_a_cluster

HERE = Path(__file__).parent
TARGETS = ("dev", "production", "gateway", "distributed")
"""The overlays, and production behind a Gateway, which its README says how to get."""
VERSIONS = ("1.33.0", "1.36.0")
"""Of Kubernetes: the oldest that the files are for, and the newest with schemas."""
CHECKED = [(check, target) for check in checks.EVERYWHERE for target in TARGETS]
CHECKED += [(check, target) for check in checks.IN_PRODUCTION for target in TARGETS if target != "dev"]
CHECKED += [(checks.runners_are_apart, "distributed")]


@pytest.fixture(scope="module")
def rendered(program: Program, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Object]]:
    """The objects of each target."""
    kubectl = program("kubectl")
    return {target: render(kubectl, target, tmp_path_factory.mktemp("kubernetes")) for target in TARGETS}


def render(kubectl: Path, target: str, scratch: Path, *changes: Change) -> list[Object]:
    """The objects of a target, in a copy that may be changed."""
    if target == "gateway":
        return render(kubectl, "production", scratch, GATEWAY, *changes)
    return kustomize(kubectl, copy_with(KUBERNETES, scratch / "kubernetes", *changes) / "overlays" / target)


@pytest.mark.parametrize(("check", "target"), CHECKED, ids=lambda one: getattr(one, "__name__", one))
def test_every_object_keeps(rendered: dict[str, list[Object]], check: Check, target: str) -> None:
    assert check(rendered[target]) == []


@pytest.mark.parametrize(
    ("check", "target", "change", "said"), BROKEN, ids=[f"{case[0].__name__}-{case[2].new}" for case in BROKEN]
)
def test_a_check_sees_a_broken_copy(  # noqa: PLR0917 (a case of the table)
    program: Program, tmp_path: Path, check: Check, target: str, change: Change, said: str
) -> None:
    findings = check(render(program("kubectl"), target, tmp_path, change))
    assert any(said in finding for finding in findings), findings


def test_every_check_was_seen_to_fail() -> None:
    used = {check for check, _ in CHECKED}
    assert used == {case[0] for case in BROKEN}


def test_the_facts_leave_time_for_everything_before_a_pod_is_killed() -> None:
    service = facts()["service"]
    assert service["stop_seconds"] >= service["drain_seconds"] + service["graceful_seconds"] + 10


def test_dev_is_one_of_each_without_secrets(rendered: dict[str, list[Object]]) -> None:
    assert {pod.role: pod.owner["spec"]["replicas"] for pod in pods(rendered["dev"])} == {
        "service": 1,
        "worker": 1,
        "ui": 1,
    }
    assert not of_kind(rendered["dev"], "Secret", "Ingress", *CUSTOM_KINDS)


def test_without_autoscaling_there_are_the_replicas_of_the_facts(program: Program) -> None:
    base = kustomize(program("kubectl"), KUBERNETES / "base")
    replicas = {pod.role: pod.owner["spec"]["replicas"] for pod in pods(base, "service", "ui")}
    assert replicas == {"service": facts()["service"]["replicas"], "ui": facts()["ui"]["replicas"]}


def test_no_secret_is_in_the_files() -> None:
    for file in KUBERNETES.glob("components/data/*.env"):
        for line in file.read_text().splitlines():
            _, value = line.split("=", maxsplit=1)
            assert "CHANGE-ME" in value or value == "[]", line


def test_the_adapter_of_prometheus_gives_what_the_autoscaler_asks_for(rendered: dict[str, list[Object]]) -> None:
    adapter = yaml.safe_load((KUBERNETES / "prometheus-adapter.yaml").read_text())
    given = {rule["name"]["as"] for rule in adapter["rules"]["custom"]}
    asked = {
        metric["pods"]["metric"]["name"]
        for scaler in of_kind(rendered["production"], "HorizontalPodAutoscaler")
        for metric in scaler["spec"]["metrics"]
        if metric["type"] == "Pods"
    }
    assert asked == given
    assert {checks.series(rule["seriesQuery"]) for rule in adapter["rules"]["custom"]} <= checks.exported()


def test_prometheus_understands_what_workers_are_scaled_by(
    program: Program, rendered: dict[str, list[Object]], tmp_path: Path
) -> None:
    (scaler,) = of_kind(rendered["production"], "ScaledObject")
    query = scaler["spec"]["triggers"][0]["metadata"]["query"]
    for expression, code in ((query, 0), (query.replace("}", ""), 1)):
        rules = {"groups": [{"name": "scaling", "rules": [{"record": "job:scaling", "expr": expression}]}]}
        (tmp_path / "rules.yml").write_text(yaml.safe_dump(rules))
        assert run(program("promtool"), "check", "rules", tmp_path / "rules.yml").returncode == code


def written(objects: list[Object], path: Path) -> Path:
    """A file of these objects."""
    path.write_text(yaml.safe_dump_all(objects))
    return path


@pytest.mark.parametrize("version", VERSIONS)
def test_the_schemas_of_kubernetes_know_every_field(
    program: Program, rendered: dict[str, list[Object]], tmp_path: Path, version: str
) -> None:
    # What production has is in both of the others.
    files = [written(rendered[target], tmp_path / target) for target in ("dev", "gateway", "distributed")]
    done = run(program("kubernetes-validate"), "-k", version, "--strict", *files)
    assert done.returncode == 0, done.stdout + done.stderr
    # A kind without a schema is a warning only: just the custom resources may be among them.
    unknown = set(re.findall(r"find schema for kind (\w+)", done.stdout + done.stderr))
    assert unknown == CUSTOM_KINDS


@pytest.mark.parametrize(
    "change",
    [
        Change("base/service.yaml", "minReadySeconds", "minReadySecond"),
        Change("base/service.yaml", "maxUnavailable: 1", "maxUnavailable: [1]"),
        Change("base/ui.yaml", "sessionAffinity: ClientIP", "sessionAffinity: true"),
    ],
)
def test_the_schemas_of_kubernetes_see_a_broken_copy(program: Program, tmp_path: Path, change: Change) -> None:
    file = written(render(program("kubectl"), "dev", tmp_path, change), tmp_path / "objects.yaml")
    assert run(program("kubernetes-validate"), "-k", VERSIONS[0], "--strict", file).returncode == 1


def custom_resource_findings(program: Program, objects: list[Object]) -> list[str]:
    """What their models have against custom resources."""
    modules = program("kubernetes-models")
    done = run("node", HERE / "custom_resources.mjs", modules, input=json.dumps(objects))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.long
def test_custom_resources_are_as_their_definitions_want_them(
    program: Program, rendered: dict[str, list[Object]]
) -> None:
    objects = [*of_kind(rendered["distributed"], *CUSTOM_KINDS), *of_kind(rendered["gateway"], *CUSTOM_KINDS)]
    assert {one["kind"] for one in objects} == CUSTOM_KINDS
    assert custom_resource_findings(program, objects) == []


@pytest.mark.long
def test_the_models_of_custom_resources_see_wrong_values_and_misspelt_fields(program: Program, tmp_path: Path) -> None:
    broken = (
        ("production", Change("components/monitoring/monitors.yaml", "scrapeTimeout", "scrapeTimout")),
        ("production", Change("components/monitoring/monitors.yaml", "interval: 15s", "interval: soon")),
        ("production", Change("components/monitoring/rules.yaml", "severity: page", "severity: [page]")),
        ("production", Change("components/autoscaling/worker.yaml", "cooldownPeriod", "coolDownPeriod")),
        ("production", Change("components/autoscaling/recommendations.yaml", '"Off"', "Never")),
        ("production", Change("components/ingress/tls.yaml", "sniStrict", "sniStrickt")),
        ("gateway", Change("components/gateway/tls.yaml", "minVersion", "minimumVersion")),
        ("gateway", Change("components/gateway/gateway.yaml", "mode: Terminate", "mode: Terminated")),
        ("gateway", Change("components/gateway/routes.yaml", "sessionPersistence", "sessionPersistance")),
    )
    kubectl, objects = program("kubectl"), []
    for number, (target, change) in enumerate(broken):
        before = render(kubectl, target, tmp_path / str(number) / "before")
        after = render(kubectl, target, tmp_path / str(number) / "after", change)
        (changed,) = (one for one in after if one not in before)
        objects.append({**changed, "metadata": {**changed["metadata"], "name": f"broken-{number}"}})
    findings = custom_resource_findings(program, objects)
    seen = set(re.findall(r"broken-\d+", " ".join(findings)))
    assert seen == {f"broken-{number}" for number in range(len(broken))}, findings


SKIPPED_POLICIES = {
    "CKV_K8S_15": "a tag of a release is not pushed again, so pulling it once is enough",
    "CKV_K8S_43": "a release of yours names digests; the files name the tag that a release replaces",
}
"""Policies of checkov that do not hold here, each with its reason; unused ones are found."""


def failed_policies(program: Program, folder: Path, *options: str) -> dict[str, set[str]]:
    """The policies that failed, and for which objects."""
    words = ("--framework", "kubernetes", "--skip-download", "--quiet", "--compact", "--output", "json")
    done = run(
        program("checkov"), "--directory", folder, *words, *options, env={"LOG_LEVEL": "ERROR", "PATH": "/usr/bin:/bin"}
    )
    report = json.loads(done.stdout)
    failed: dict[str, set[str]] = {}
    for finding in report["results"]["failed_checks"]:
        failed.setdefault(finding["check_id"], set()).add(finding["resource"])
    return failed


@pytest.mark.long
def test_policies_hold_but_for_those_that_are_named(
    program: Program, rendered: dict[str, list[Object]], tmp_path: Path
) -> None:
    written(rendered["distributed"], tmp_path / "distributed.yaml")
    written(rendered["gateway"], tmp_path / "gateway.yaml")
    failed = failed_policies(program, tmp_path)
    assert set(failed) == set(SKIPPED_POLICIES), failed


@pytest.mark.long
def test_policies_see_a_broken_copy(program: Program, tmp_path: Path) -> None:
    change = Change("base/ui.yaml", "allowPrivilegeEscalation: false", "privileged: true")
    objects = render(program("kubectl"), "dev", tmp_path, change)
    (tmp_path / "rendered").mkdir()
    written(objects, tmp_path / "rendered" / "objects.yaml")
    assert "CKV_K8S_16" in failed_policies(program, tmp_path / "rendered")


@pytest.mark.long
def test_the_rendered_pods_conform(rendered: dict[str, list[Object]]) -> None:
    found = list(pods(rendered["dev"], "service", "ui"))
    _need_images(found)
    with played(rendered["dev"]) as running:
        for pod in found:
            _runs_as_it_says(inspected(running, container_of(pod)), pod)
            _becomes_ready(running, pod)
        _conforms(running, next(pods(rendered["dev"], "service")))


@pytest.mark.long
def test_the_rendered_gateway_and_runners_conform(rendered: dict[str, list[Object]]) -> None:
    objects = without_a_cluster(rendered["distributed"])
    found = list(pods(objects, "service", "runner"))
    _need_images(found)
    with played(objects) as running:
        for pod in found:
            _runs_as_it_says(inspected(running, container_of(pod)), pod)
        gateway = next(pods(objects, "service"))
        _becomes_ready(running, gateway)
        _needs(running, gateway, next(pods(objects, "runner")))
        _conforms(running, gateway, "--without", "jobs")
        for pod in pods(objects, "runner"):
            assert inspected(running, container_of(pod))["State"]["Running"] is True


def _needs(running: Played, gateway: Pod, runner: Pod) -> None:
    """Without a runner the gateway is not ready, and with it again it is."""
    running.podman("stop", container_of(runner))
    path = facts()["service"]["ready"]
    ask = running.inside("curl", "-s", "-w", "%{http_code}", f"http://127.0.0.1:{facts()['service']['port']}{path}")
    answers = (run(*ask).stdout for _ in range(600) if not time.sleep(0.5))
    told = next((answer for answer in answers if answer.endswith("503")), "it was ready all the time")
    assert runner.component.removesuffix("-runner") in told
    running.podman("start", container_of(runner))
    _becomes_ready(running, gateway)


def _need_images(found: list[Pod]) -> None:
    """Those that pods name, as they are built here."""
    images = {built("ui" if pod.role == "ui" else "service") for pod in found}
    assert images == {here(pod.container["image"]) for pod in found}


def _conforms(running: Played, service: Pod, *options: str) -> None:
    """It answers as it must, and ends as it must within the time that its pod is given."""
    address = f"http://127.0.0.1:{facts()['service']['port']}"
    stop = f"podman stop --time {service.spec['terminationGracePeriodSeconds']} {container_of(service)}"
    words = (sys.executable, "-m", "tests.deployment.conformance", address, "--stop", stop, *options)
    done = run(*running.inside(*words), cwd=CHECKOUT, env=running.environment)
    assert done.returncode == 0, done.stdout + done.stderr
    stopped = inspected(running, container_of(service))
    assert stopped["State"]["ExitCode"] == 0, stopped["State"]


def _runs_as_it_says(container: Object, pod: Pod) -> None:
    host, limits = container["HostConfig"], pod.container["resources"]["limits"]
    assert host["Memory"] == checks.cores(limits["memory"])
    assert host["NanoCpus"] == checks.cores(limits["cpu"]) * 1e9
    assert host["ReadonlyRootfs"] is True
    assert not container["EffectiveCaps"]
    assert container["Config"]["User"].startswith(str(facts()["image"]["user"]))


def _becomes_ready(running: Played, pod: Pod) -> None:
    """Within ten minutes, since the machine may be busy with other things; how fast it is the images' tests say."""
    path, (port,) = pod.container["readinessProbe"]["httpGet"]["path"], pod.container["ports"]
    words = ("curl", "-sf", "-o", "/dev/null", "--retry", "600", "--retry-delay", "1", "--retry-all-errors")
    address = f"http://127.0.0.1:{port['containerPort']}{path}"
    assert run(*running.inside(*words, "--retry-max-time", "600", address)).returncode == 0
