"""What a release replaces: the instances, what stands in front of them, and the gates that a new one must pass."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


class ReleaseFailed(RuntimeError):
    """A step did not do what it must; what was changed before it has been undone."""


@dataclass(frozen=True)
class Instance:
    """One place where a version may run."""

    name: str
    address: str
    start: str
    stop: str

    @property
    def host(self) -> str:
        """`10.0.0.11:8000`, as nginx names it."""
        return self.address.split("://", maxsplit=1)[-1].rstrip("/")


@dataclass(frozen=True)
class Front:
    """The nginx in front; `upstreams` is its file with the upstream `service`."""

    upstreams: Path
    check: str
    reload: str


@dataclass(frozen=True)
class Gates:
    """Seconds, and a share of requests in [0, 1]."""

    ready_seconds: float = 120.0
    watch_seconds: float = 60.0
    max_error_ratio: float = 0.001


@dataclass(frozen=True)
class Plan:
    """All that `plan.example.toml` shows."""

    instances: tuple[Instance, ...]
    front: Front
    gates: Gates
    migrate: str = ""
    notify: str = ""

    def named(self, name: str) -> Instance:
        """The instance of this name. Raises `KeyError`."""
        return {one.name: one for one in self.instances}[name]


def read_plan(path: Path) -> Plan:
    """The plan in a file. Raises `ReleaseFailed` where something is missing or unknown."""
    table: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    try:
        front = table.pop("front")
        return Plan(
            instances=tuple(Instance(**one) for one in table.pop("instances")),
            front=Front(**{**front, "upstreams": Path(front["upstreams"])}),
            gates=Gates(**table.pop("gates", {})),
            **table,
        )
    except (KeyError, TypeError) as error:
        raise ReleaseFailed(f"{path} is not a plan: {error}.") from error


def run(command: str, version: str, address: str = "", said: str | None = None) -> None:
    """A command of the plan. Raises `ReleaseFailed` with the last line that it wrote."""
    environment = {**os.environ, "VERSION": version, "ADDRESS": address}
    done = subprocess.run(
        command,
        shell=True,
        env=environment,
        input=said,
        capture_output=True,
        text=True,
        check=False,  # nosec B602
    )  # the operator's own words, from the operator's own file
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise ReleaseFailed(f"`{command}` ended with {done.returncode}: {''.join(last)}")
