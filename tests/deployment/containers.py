"""Images that are really built, and containers that are really locked up, by buildah, podman and runc."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import httpx
import pytest

from deployment.facts import VERSION, facts
from tests.serving import CHECKOUT

READY_SECONDS = 300.0
"""However busy the machine is."""
LOCKED_UP = ("--read-only", "--cap-drop", "all", "--security-opt", "no-new-privileges")
SMALL = ("--memory", "1g", "--cpus", "1")
CONFIGURATION = """\
[containers]
default_ulimits=["nofile=4096:4096","nproc=4096:4096"]
netns="host"
[engine]
runtime="runc"
cgroup_manager="cgroupfs"
events_logger="file"
[network]
network_backend="netavark"
"""
BASE = f"localhost/{facts()['image']['base']}"


@dataclass(frozen=True)
class Engine:
    """podman, with a configuration of its own."""

    folder: Path

    def __call__(self, *words: object, check: bool = True) -> str:
        """What a command prints. Raises `CalledProcessError` if it fails."""
        file = self.folder / "containers.conf"
        file.write_text(CONFIGURATION)
        command = ["podman", *(str(word) for word in words)]
        environment = {**os.environ, "CONTAINERS_CONF": str(file)}
        # In the working folder a file is left when a container runs out of memory.
        where = {"env": environment, "cwd": self.folder}
        return subprocess.run(command, check=check, capture_output=True, text=True, **where).stdout.strip()

    @contextmanager
    def running(self, image: str, *words: object, command: tuple[str, ...] = ()) -> Iterator[str]:
        """A container, locked up and small; its name. It is gone afterwards."""
        options = ("--network", "host", "--no-healthcheck", "--tmpfs", "/tmp", *SMALL, *LOCKED_UP)
        name = self("run", "-d", *options, *words, image, *command)
        try:
            yield name
        finally:
            self("rm", "-f", "-t", 1, name, check=False)


@cache
def built(image: str) -> str:
    """The tag of an image of `deployment/images/build.sh`, built now unless DEPLOYMENT_BUILT says that it is there."""
    for program in ("buildah", "podman"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not here: install Debian's package `{program}`")
    name = facts()["image"]["service"] + ("" if image == "service" else f"-{image}")
    tag = f"localhost/{name}:{VERSION}"
    if not (os.environ.get("DEPLOYMENT_BUILT") and exists(tag)):
        _need_base()
        build(image, tag)
    return tag


def build(image: str, tag: str, *options: str, **environment: str) -> None:
    """Build it with more options of buildah's. Raises `RuntimeError` with what buildah said."""
    own = {"PYTHON": sys.executable, "ENGINE": "buildah", "BUILD_OPTIONS": " ".join(("--pull-never", *options))}
    script = CHECKOUT / "deployment" / "images" / "build.sh"
    command, both = (script, image, tag), {**os.environ, **own, **environment}
    done = subprocess.run(command, env=both, check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{image} could not be built: {(done.stdout + done.stderr)[-2000:]}")


def exists(tag: str) -> bool:
    """Whether the engine has an image."""
    return subprocess.run(("podman", "image", "exists", tag), check=False).returncode == 0


def wait_until_ready(address: str, path: str = "/readyz") -> None:
    """Raises `TimeoutError`."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{address}{path}", timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise TimeoutError(f"{address} is not ready after {READY_SECONDS:g} s")


def _need_base() -> None:
    """The base under its own name, or what stands in for it."""
    if not exists(BASE):
        if os.geteuid() != 0:
            pytest.skip("building the base takes root")
        subprocess.run((CHECKOUT / "deployment" / "images" / "base.sh", BASE), check=True, capture_output=True)
