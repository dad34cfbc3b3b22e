"""The Helm chart: it says what kustomize's production says, and refuses values that mean nothing."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployment.facts import VERSION, facts
from tests.deployment.conftest import Program, run
from tests.deployment.manifest_checks import EVERYWHERE, IN_PRODUCTION, Check, runners_are_apart
from tests.deployment.manifests import (
    CHART,
    GATEWAY,
    KUBERNETES,
    Change,
    NotRendered,
    Object,
    called,
    copy_with,
    kustomize,
    of_kind,
    pods,
    template,
)

BY_GATEWAY = ("--set", "gateway.enabled=true,ingress.enabled=false")
APART = ("--set", "runners.enabled=true")
FRONTS = ("ingress", "gateway", "distributed")
"""What stands in front of a release, and one with its runners apart."""
OF_HELM = ("helm.sh/", "checksum/", "app.kubernetes.io/managed-by")
"""Labels and annotations that only Helm has: its own, and the digest that starts new pods for a new configuration."""
OF_KUSTOMIZE = frozenset({"Namespace/multimodal-sentiment"})
"""Objects that only kustomize has: Helm installs into a namespace that is there."""


@pytest.fixture(scope="module")
def releases(program: Program) -> dict[str, list[Object]]:
    """The objects of a release as the chart has its values, and of one behind a Gateway."""
    helm = program("helm")
    options = {"ingress": (), "gateway": BY_GATEWAY, "distributed": APART}
    return {front: template(helm, CHART, *options[front]) for front in FRONTS}


def test_the_linter_has_nothing_against_the_chart(program: Program) -> None:
    done = run(program("helm"), "lint", "--strict", CHART)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_linter_sees_a_broken_template(program: Program, tmp_path: Path) -> None:
    broken = copy_with(CHART, tmp_path / "chart", Change("templates/ui.yaml", "| nindent 6 }}", "| indent"))
    assert run(program("helm"), "lint", "--strict", broken).returncode != 0


@pytest.mark.parametrize("check", (*EVERYWHERE, *IN_PRODUCTION), ids=lambda check: check.__name__)
@pytest.mark.parametrize("front", FRONTS)
def test_a_release_keeps_what_kustomize_keeps(releases: dict[str, list[Object]], front: str, check: Check) -> None:
    assert check(releases[front]) == []


def test_runners_apart_are_as_in_kustomize(releases: dict[str, list[Object]]) -> None:
    assert runners_are_apart(releases["distributed"]) == []


@pytest.mark.parametrize("front", FRONTS)
def test_a_release_is_that_of_kustomize(
    program: Program, releases: dict[str, list[Object]], front: str, tmp_path: Path
) -> None:
    files = copy_with(KUBERNETES, tmp_path / "kubernetes", *([GATEWAY] if front == "gateway" else []))
    overlay = "distributed" if front == "distributed" else "production"
    assert differences(releases[front], kustomize(program("kubectl"), files / "overlays" / overlay)) == []


def test_a_difference_to_kustomize_is_seen(program: Program, tmp_path: Path) -> None:
    broken = copy_with(CHART, tmp_path / "chart", Change("values.yaml", "maxReplicas: 20", "maxReplicas: 21"))
    expected = kustomize(program("kubectl"), KUBERNETES / "overlays" / "production")
    assert differences(template(program("helm"), broken), expected) == [
        "HorizontalPodAutoscaler/multimodal-sentiment: differs"
    ]


def test_a_difference_of_the_runners_is_seen(program: Program, tmp_path: Path) -> None:
    change = Change("templates/runners.yaml", "seconds: 5", "seconds: 6")
    found = template(program("helm"), copy_with(CHART, tmp_path / "chart", change), *APART)
    expected = kustomize(program("kubectl"), KUBERNETES / "overlays" / "distributed")
    names = facts()["runners"]["names"]
    assert differences(found, expected) == sorted(
        f"Deployment/multimodal-sentiment-{name}-runner: differs" for name in names
    )


def test_runners_without_network_policies_are_refused(program: Program) -> None:
    with pytest.raises(NotRendered, match="takes pickles"):
        template(program("helm"), CHART, *APART, "--set", "networkPolicies.enabled=false")


def test_another_release_is_named_by_its_own_name(program: Program) -> None:
    done = run(program("helm"), "template", "blue", CHART, "--namespace", "elsewhere")
    objects = [one for one in yaml.safe_load_all(done.stdout) if one]
    assert {one["metadata"]["namespace"] for one in objects} == {"elsewhere"}
    assert all(one["metadata"]["name"].startswith("blue-multimodal-sentiment") for one in objects)
    query = of_kind(objects, "ScaledObject")[0]["spec"]["triggers"][0]["metadata"]["query"]
    assert 'namespace="elsewhere"' in query


def test_a_port_is_said_once(program: Program) -> None:
    found = template(program("helm"), CHART, *APART, "--set", "service.port=9000,ui.port=9001")
    given = {pod.role: pod.environment(found) for pod in pods(found, "service", "ui")}
    assert (given["service"]["PORT"], given["ui"]["UI_PORT"]) == ("9000", "9001")
    assert given["ui"]["SENTIMENT_API_URL"] == "http://multimodal-sentiment:9000"
    ports = {service["spec"]["ports"][0]["port"] for service in of_kind(found, "Service")}
    assert ports == {9000, 9001}
    (gateway,) = pods(found, "service")
    assert ":8000" not in gateway.environment(found)["BENTOML_SERVE_DEPENDS"]


def test_what_a_cluster_does_not_have_can_be_left_out(program: Program) -> None:
    words = ("service.autoscaling", "worker.autoscaling", "ui.autoscaling", "recommendations", "monitoring", "ingress")
    options = ",".join(f"{word}.enabled=false" for word in words)
    found = template(program("helm"), CHART, "--set", options)
    assert {one["apiVersion"] for one in found} == {"v1", "apps/v1", "policy/v1", "batch/v1", "networking.k8s.io/v1"}
    assert {pod.role: pod.owner["spec"]["replicas"] for pod in pods(found, "service", "ui")} == {
        "service": facts()["service"]["replicas"],
        "ui": facts()["ui"]["replicas"],
    }


def test_a_secret_of_yours_is_used_instead(program: Program) -> None:
    found = template(program("helm"), CHART, "--set", "secrets.existing=mine,secrets.existingUi=mine-too")
    assert of_kind(found, "Secret") == []
    references = {name for pod in pods(found) for name in pod.secrets}
    assert references == {"mine", "mine-too"}


@pytest.mark.parametrize(
    ("option", "place"),
    [
        ("service.replica=5", "/service"),
        ("service.replicas=0", "/service/replicas"),
        ("service.resources.limits.memory=2GB", "/service/resources/limits/memory"),
        ("service.autoscaling.cpuPercent=700", "/service/autoscaling/cpuPercent"),
        ("worker.metricsPort=80", "/worker/metricsPort"),
        ("runners.memoryBytes=1Gi", "/runners/memoryBytes"),
        ("environment.SENTIMENT_AUTH=maybe", "/environment/SENTIMENT_AUTH"),
        ("environment.PATH=here", "'PATH'"),
        ("environment.PORT=9000", "'PORT'"),
        ("ui.environment.UI_PORT=9000", "'UI_PORT'"),
        ("secrets.service.SENTIMENT_DATABASE_URL=mysql://a", "/secrets/service/SENTIMENT_DATABASE_URL"),
        ("hosts.service=nowhere", "/hosts/service"),
        ("ingres.enabled=false", "'ingres'"),
        ("image.pullPolicy=Sometimes", "/image/pullPolicy"),
    ],
)
def test_values_that_mean_nothing_are_refused(program: Program, option: str, place: str) -> None:
    with pytest.raises(NotRendered, match=re.escape(place)):
        template(program("helm"), CHART, "--set", option)
    assert run(program("helm"), "lint", "--strict", CHART, "--set", option).returncode != 0


def test_every_value_is_described_by_the_schema(program: Program, tmp_path: Path) -> None:
    extended = copy_with(CHART, tmp_path / "chart", Change("values.yaml", "migration:\n", "migration:\n  more: 1\n"))
    with pytest.raises(NotRendered, match="'more' not allowed"):
        template(program("helm"), extended)


def test_the_chart_is_of_the_version_of_the_service() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (VERSION, VERSION)


def test_a_packed_chart_renders_the_same(program: Program, tmp_path: Path, releases: dict[str, list[Object]]) -> None:
    done = run(program("helm"), "package", CHART, "--destination", tmp_path)
    assert done.returncode == 0, done.stderr
    assert template(program("helm"), tmp_path / f"multimodal-sentiment-{VERSION}.tgz") == releases["ingress"]


def differences(found: list[Object], expected: list[Object]) -> list[str]:
    """What a release and an overlay do not have in common, besides what is listed above."""
    ours, theirs = _comparable(found), _comparable(expected)
    kinds = set(ours) ^ (set(theirs) - OF_KUSTOMIZE)
    return sorted(f"{name}: only one has it" for name in kinds) + sorted(
        f"{name}: differs" for name in set(ours) & set(theirs) if ours[name] != theirs[name]
    )


def _comparable(objects: list[Object]) -> dict[str, Any]:
    """By kind and name, without kustomize's digests and Helm's marks; variables and volumes have no order."""
    hashed = {
        one["metadata"]["name"]: re.sub(r"-[a-z0-9]{10}$", "", one["metadata"]["name"])
        for one in of_kind(objects, "ConfigMap", "Secret")
    }
    plain = [_plain(one, hashed) for one in objects]
    for secret in of_kind(plain, "Secret"):
        secret["data"] = {key: base64.b64decode(value) for key, value in secret["data"].items()}
    return {called(one): one for one in plain}


def _plain(value: Any, hashed: dict[str, str]) -> Any:
    if isinstance(value, dict):
        marks = {key: _plain(item, hashed) for key, item in value.items() if not key.startswith(OF_HELM)}
        return {key: item for key, item in marks.items() if not (key == "annotations" and item == {})}
    if isinstance(value, list):
        items = [_plain(item, hashed) for item in value]
        return sorted(items, key=lambda item: item["name"]) if _are_a_set(items) else items
    return hashed.get(value, value) if isinstance(value, str) else value


def _are_a_set(items: list[Any]) -> bool:
    """Whether these are variables, volumes or mounts, whose order says nothing."""
    kinds = {"value", "mountPath", "emptyDir", "secret", "persistentVolumeClaim"}
    return all(isinstance(item, dict) and "name" in item and item.keys() & kinds for item in items)
