"""Kubernetes objects, as kustomize and Helm render them, and copies of their files that may be broken."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.deployment.conftest import run

CHECKOUT = Path(__file__).parents[2]
KUBERNETES = CHECKOUT / "deployment" / "kubernetes"
CHART = CHECKOUT / "deployment" / "helm" / "multimodal-sentiment"
NAME = "app.kubernetes.io/name"
INSTANCE = "app.kubernetes.io/instance"
COMPONENT = "app.kubernetes.io/component"
CUSTOM_KINDS = frozenset(
    {
        "VerticalPodAutoscaler",
        "ScaledObject",
        "ServiceMonitor",
        "PodMonitor",
        "PrometheusRule",
        "TLSOption",
        "Gateway",
        "HTTPRoute",
        "ClientTrafficPolicy",
    }
)

Object = dict[str, Any]


class NotRendered(Exception):
    """What kustomize or Helm had against the files."""


def kustomize(kubectl: Path, overlay: Path) -> list[Object]:
    """The objects of an overlay. Raises `NotRendered`."""
    return _objects(run(kubectl, "kustomize", overlay))


def template(helm: Path, chart: Path, *options: str) -> list[Object]:
    """The objects of a release of the chart, named as kustomize names them. Raises `NotRendered`."""
    words = ("multimodal-sentiment", chart, "--namespace", "multimodal-sentiment", "--kube-version", "1.36.0")
    return _objects(run(helm, "template", *words, *options))


def _objects(done: Any) -> list[Object]:
    if done.returncode:
        raise NotRendered(done.stderr)
    return [document for document in yaml.safe_load_all(done.stdout) if document]


@dataclass(frozen=True)
class Change:
    """Of one file in a copy of a folder."""

    file: str
    old: str
    new: str

    def make(self, copy: Path) -> None:
        """Change it, once; a change of what is not there is a mistake in the test."""
        text = (copy / self.file).read_text()
        assert self.old in text, f"{self.file} holds no {self.old!r}"
        (copy / self.file).write_text(text.replace(self.old, self.new, 1))


GATEWAY = Change("overlays/production/kustomization.yaml", "components/ingress", "components/gateway")
"""What the README says to do for the Gateway API."""


def copy_with(folder: Path, copy: Path, *changes: Change) -> Path:
    """A copy of a folder, changed."""
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for change in changes:
        change.make(copy)
    return copy


def of_kind(objects: list[Object], *kinds: str) -> list[Object]:
    """Those of these kinds."""
    return [one for one in objects if one["kind"] in kinds]


def called(one: Object) -> str:
    """`Kind/name`."""
    return f"{one['kind']}/{one['metadata']['name']}"


@dataclass(frozen=True)
class Pod:
    """What a Deployment or a Job starts; each has one container."""

    owner: Object

    @property
    def called(self) -> str:
        """Of whoever starts it."""
        return called(self.owner)

    @property
    def spec(self) -> Object:
        """Of the pod."""
        return self.owner["spec"]["template"]["spec"]

    @property
    def labels(self) -> dict[str, str]:
        """Of the pod."""
        return self.owner["spec"]["template"]["metadata"]["labels"]

    @property
    def component(self) -> str:
        """`service`, `worker`, `ui`, `migrate`, or `speech-runner` and the like."""
        return self.labels[COMPONENT]

    @property
    def role(self) -> str:
        """The component, or `runner` for each runner."""
        return "runner" if self.component.endswith("-runner") else self.component

    @property
    def container(self) -> Object:
        """The one container."""
        (container,) = self.spec["containers"]
        return container

    def environment(self, objects: list[Object]) -> dict[str, str]:
        """What the container finds in its environment, but for its secrets."""
        found: dict[str, str] = {}
        for source in self.container.get("envFrom", []):
            found |= _named(objects, "ConfigMap", source["configMapRef"]["name"])["data"]
        for variable in self.container.get("env", []):
            if "value" in variable:
                found[variable["name"]] = variable["value"]
        return found

    @property
    def secrets(self) -> dict[str, dict[str, str]]:
        """The Secrets that it gets as files in /run/secrets: which keys of them, and the names of the files."""
        mounted = {mount["name"] for mount in self.container["volumeMounts"] if mount["mountPath"] == "/run/secrets"}
        return {
            volume["secret"]["secretName"]: {item["key"]: item["path"] for item in volume["secret"]["items"]}
            for volume in self.spec["volumes"]
            if volume["name"] in mounted
        }


def _named(objects: list[Object], kind: str, name: str) -> Object:
    return next(one for one in of_kind(objects, kind) if one["metadata"]["name"] == name)


def pods(objects: list[Object], *roles: str) -> Iterator[Pod]:
    """Every pod, or those of these roles."""
    for one in of_kind(objects, "Deployment", "Job"):
        pod = Pod(one)
        if not roles or pod.role in roles:
            yield pod


def selects(selector: Object, labels: dict[str, str]) -> bool:
    """Whether a label selector matches."""
    wanted = selector.get("matchLabels", {})
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    for term in selector.get("matchExpressions", []):
        assert term["operator"] == "In", "other operators are not used here"
        if labels.get(term["key"]) not in term["values"]:
            return False
    return True
