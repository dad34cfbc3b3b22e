"""Rendered Deployments as podman plays them: in a network of their own, under their limits, gone at the end."""

from __future__ import annotations

import copy
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployment.facts import facts
from tests.deployment.manifests import Object, Pod, of_kind, pods

CONTAINERS_CONF = """
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""
"""Not crun, which wants one kind of control groups alone; not systemd, which containers of tests don't have."""


@dataclass(frozen=True)
class Played:
    """Containers that run; what they listen on is reached from inside their network alone."""

    network: int
    environment: dict[str, str]

    def inside(self, *words: object) -> list[str]:
        """The command that runs another one inside of their network."""
        return ["nsenter", "-t", str(self.network), "-n", "--", *map(str, words)]

    def podman(self, *words: object) -> str:
        """What podman prints. Raises `AssertionError` with what it said if it fails."""
        done = subprocess.run(
            self.inside("podman", *words), env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@contextmanager
def played(objects: list[Object]) -> Iterator[Played]:
    """The pods of these objects, running. Skips where that can't be."""
    for program in ("podman", "runc", "catatonit", "nsenter", "unshare", "ip"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not here: install Debian's podman, runc, catatonit, util-linux and iproute2")
    if os.getuid():
        pytest.skip("a network of their own needs root")
    folder = Path(tempfile.mkdtemp(prefix="pods-"))
    (folder / "containers.conf").write_text(CONTAINERS_CONF)
    file = folder / "pods.yaml"
    file.write_text(yaml.safe_dump_all(playable(objects)))
    holder = subprocess.Popen(["unshare", "-n", "sh", "-c", "ip link set lo up && echo up && exec sleep infinity"],
                              stdout=subprocess.PIPE)  # fmt: skip
    assert holder.stdout is not None and holder.stdout.readline() == b"up\n"
    running = Played(holder.pid, {**os.environ, "CONTAINERS_CONF": str(folder / "containers.conf")})
    try:
        running.podman("play", "kube", "--log-driver", "k8s-file", file)
        yield running
    finally:
        subprocess.run(running.inside("podman", "play", "kube", "--down", file), env=running.environment, check=False)
        for name in volumes(objects):
            subprocess.run(["podman", "volume", "rm", "--force", name], env=running.environment, check=False)
        holder.kill()
        holder.wait()
        shutil.rmtree(folder, ignore_errors=True)


def playable(objects: list[Object]) -> list[Object]:
    """The objects as podman 4.3 takes them.

    It has no probes without systemd and no ports in the network of a host, shares volumes of one name between pods, and
    lets what comes from a ConfigMap outrank what a container says itself; images come from this machine.
    """
    found = copy.deepcopy(of_kind(objects, "ConfigMap", "PersistentVolumeClaim", "Deployment"))
    for pod in pods(found):
        pod.spec["hostNetwork"] = True
        pod.container["image"] = here(pod.container["image"])
        pod.container["env"] = [{"name": name, "value": value} for name, value in pod.environment(found).items()]
        pod.container.pop("envFrom")
        for key in ("ports", "startupProbe", "livenessProbe", "readinessProbe", "lifecycle"):
            pod.container.pop(key, None)
        for entry in (*pod.spec["volumes"], *pod.container["volumeMounts"]):
            entry["name"] = _own(pod, entry["name"])
    return found


def without_a_cluster(objects: list[Object]) -> list[Object]:
    """Gateway and runners of `distributed` where there is no PostgreSQL, no Redis, no keys, and one network for all.

    Each runner gets a port of its own, and the gateway depends on them there.
    """
    found = copy.deepcopy(of_kind(objects, "ConfigMap", "PersistentVolumeClaim"))
    for configuration in of_kind(found, "ConfigMap"):
        configuration["data"] |= {"SENTIMENT_AUTH": "off", "SENTIMENT_MIGRATE": "auto", "SENTIMENT_TRACES_URL": ""}
    ways = {}
    for number, runner in enumerate(pods(copy.deepcopy(objects), "runner"), start=1):
        port = facts()["runners"]["port"] + number
        ways[f"http://{runner.owner['metadata']['name']}:{facts()['runners']['port']}"] = f"http://127.0.0.1:{port}"
        runner.container["env"].append({"name": "PORT", "value": str(port)})
        found.append(runner.owner)
    (gateway,) = pods(copy.deepcopy(objects), "service")
    for entries in (gateway.spec["volumes"], gateway.container["volumeMounts"]):
        entries[:] = [entry for entry in entries if entry["name"] != "secrets"]
    for variable in gateway.container["env"]:
        for written, played_at in ways.items():
            variable["value"] = variable["value"].replace(written, played_at)
    return [*found, gateway.owner]


def here(image: str) -> str:
    """The name of an image on this machine."""
    return image.replace(facts()["image"]["registry"], "localhost", 1)


def volumes(objects: list[Object]) -> list[str]:
    """The names of what podman makes for pods, to remove it."""
    claims = [claim["metadata"]["name"] for claim in of_kind(objects, "PersistentVolumeClaim")]
    return claims + [_own(pod, volume["name"]) for pod in pods(objects) for volume in pod.spec["volumes"]]


def _own(pod: Pod, volume: str) -> str:
    return f"{pod.owner['metadata']['name']}-{volume}"


def container_of(pod: Pod) -> str:
    """How podman calls the one container of a pod."""
    return f"{pod.owner['metadata']['name']}-pod-0-{pod.container['name']}"


def inspected(running: Played, container: str) -> dict[str, Any]:
    """What podman knows of a container."""
    return yaml.safe_load(running.podman("inspect", container))[0]
