"""A new version in the place of the old one, behind a real nginx under load, and the way back."""

from __future__ import annotations

import json
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from deployment.release.__main__ import main
from deployment.release.front import point, pointed, served
from deployment.release.plan import Front, ReleaseFailed, read_plan, run
from tests.deployment.conftest import Program
from tests.deployment.nginx_running import running_nginx
from tests.serving import CHECKOUT, free_port

EXAMPLE = CHECKOUT / "deployment" / "release" / "plan.example.toml"
STAND = "tests.deployment.release_stand"


@dataclass
class Load:
    """What callers got: status codes, and the versions that answered."""

    codes: Counter[int] = field(default_factory=Counter)
    versions: Counter[str] = field(default_factory=Counter)

    def ask(self, address: str, trust: object) -> None:
        """One request over a connection of its own."""
        answer = httpx.post(f"{address}/v1/text", json={"text": "I love it"}, verify=trust, timeout=30)  # type: ignore[arg-type]
        self.codes[answer.status_code] += 1
        if answer.is_success:
            self.versions[answer.json()["version"]] += 1


@dataclass(frozen=True)
class House:
    """Instances behind nginx, a plan for them, and callers who never stop."""

    plan: Path
    load: Load
    told: Path

    def release(self, way: str, *words: str) -> int:
        """What an operator types."""
        return main([way, str(self.plan), *words])

    @property
    def serving(self) -> tuple[str, ...]:
        """The hosts behind nginx."""
        return served(read_plan(self.plan).front)

    def settled(self, version: str) -> None:
        """Wait until this version answers everybody."""
        deadline = time.monotonic() + 30
        while True:
            before = self.load.versions.copy()
            time.sleep(0.3)
            now = self.load.versions - before
            if set(now) == {version}:
                return
            assert time.monotonic() < deadline, now


@contextmanager
def house(program: Path, folder: Path, ports: list[int], serving: int) -> Iterator[House]:
    """The first `serving` instances run version `old` behind nginx."""
    told = folder / "told"
    with running_nginx(program, folder, ports[:serving], free_port()) as front:
        plan = folder / "plan.toml"
        plan.write_text(_plan(folder, ports, told, front.process.pid, program))
        read = read_plan(plan)
        for one in read.instances[:serving]:
            run(one.start, "old")
            _wait(f"{one.address}/readyz")
        load, stopped = Load(), threading.Event()
        callers = [threading.Thread(target=_call, args=(front.address, front.trust, load, stopped)) for _ in range(2)]
        for caller in callers:
            caller.start()
        try:
            yield House(plan, load, told)
        finally:
            stopped.set()
            for caller in callers:
                caller.join()
            for one in read.instances:
                run(one.stop, "any")


def _plan(folder: Path, ports: list[int], told: Path, nginx: int, program: Path) -> str:
    instances = "".join(
        f"""
[[instances]]
name = "{name}"
address = "http://127.0.0.1:{port}"
start = '''cd {CHECKOUT}
nohup {sys.executable} -m {STAND} {port} $VERSION >/dev/null 2>&1 &
echo $! > {folder}/{name}.pid'''
stop = "test ! -f {folder}/{name}.pid || kill -TERM $(cat {folder}/{name}.pid) || true"
"""
        for name, port in zip(("blue", "green", "red"), ports, strict=False)
    )
    return f"""
migrate = "echo migrated $VERSION >> {told}"
notify = "cat >> {told}"
[front]
upstreams = "{folder}/upstreams.conf"
check = "{program} -t -q -c {folder}/nginx.conf"
reload = "kill -HUP {nginx}"
[gates]
ready_seconds = 10
watch_seconds = 1
max_error_ratio = 0.01
{instances}"""


def test_blue_green_moves_everybody_without_a_failed_request(program: Program, tmp_path: Path) -> None:
    ports = [free_port(), free_port()]
    with house(program("nginx"), tmp_path, ports, serving=1) as there:
        there.settled("old")
        assert there.release("blue-green", "--version", "new") == 0
        there.settled("new")
        assert there.serving == (f"127.0.0.1:{ports[1]}",)
        assert set(there.load.codes) <= {200, 429}
    assert there.told.read_text() == "migrated new\nnew serves"


@pytest.mark.parametrize("version", ["broken", "wrong", "failing"])
def test_a_version_that_does_not_hold_is_taken_back_by_itself(program: Program, tmp_path: Path, version: str) -> None:
    ports = [free_port(), free_port()]
    with house(program("nginx"), tmp_path, ports, serving=1) as there:
        _hasten(there.plan, "ready_seconds = 10", "ready_seconds = 2")
        assert there.release("blue-green", "--version", version) == 1
        there.settled("old")
        assert there.serving == (f"127.0.0.1:{ports[0]}",)
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"http://127.0.0.1:{ports[1]}/readyz")
        assert version == "failing" or set(there.load.codes) <= {200, 429}
    assert f"{version} was not released: " in there.told.read_text()


def test_rolling_replaces_one_after_the_other_without_a_failed_request(program: Program, tmp_path: Path) -> None:
    ports = [free_port(), free_port(), free_port()]
    with house(program("nginx"), tmp_path, ports, serving=3) as there:
        there.settled("old")
        assert there.release("rolling", "--version", "new") == 0
        there.settled("new")
        assert sorted(there.serving) == sorted(f"127.0.0.1:{port}" for port in ports)
        assert set(there.load.codes) <= {200, 429}


def test_a_rolling_release_that_fails_puts_the_previous_version_back(program: Program, tmp_path: Path) -> None:
    ports = [free_port(), free_port()]
    with house(program("nginx"), tmp_path, ports, serving=2) as there:
        _hasten(there.plan, "ready_seconds = 10", "ready_seconds = 2")
        assert there.release("rolling", "--version", "wrong", "--previous", "old") == 1
        there.settled("old")
        assert len(there.serving) == 2
        assert set(there.load.codes) <= {200, 429}


def test_the_example_is_a_plan_and_a_plan_with_a_wrong_name_is_refused(tmp_path: Path) -> None:
    plan = read_plan(EXAMPLE)
    assert [one.name for one in plan.instances] == ["blue", "green"]
    broken = tmp_path / "plan.toml"
    broken.write_text(EXAMPLE.read_text().replace("watch_seconds", "watch_second"))
    with pytest.raises(ReleaseFailed, match="watch_second"):
        read_plan(broken)


def test_the_public_upstreams_can_be_pointed_anywhere_and_keep_all_else() -> None:
    text = (CHECKOUT / "deployment" / "nginx" / "upstreams.conf").read_text()
    moved = pointed(text, ["10.1.1.1:8000"])
    service = re.findall(r"server (\S+) ", moved.split("upstream page")[0])
    assert service == ["10.1.1.1:8000"]
    assert [line for line in moved.splitlines() if " server " not in line] == [
        line for line in text.splitlines() if " server " not in line
    ]


def test_upstreams_that_nginx_refuses_are_put_back(tmp_path: Path) -> None:
    file = tmp_path / "upstreams.conf"
    file.write_text((CHECKOUT / "deployment" / "nginx" / "upstreams.conf").read_text())
    before = file.read_text()
    with pytest.raises(ReleaseFailed, match="not in this house"):
        point(Front(file, "echo not in this house >&2; false", "true"), ["10.1.1.1:8000"], "1")
    assert file.read_text() == before


def _hasten(plan: Path, old: str, new: str) -> None:
    text = plan.read_text()
    assert old in text
    plan.write_text(text.replace(old, new))


def _call(address: str, trust: object, load: Load, stopped: threading.Event) -> None:
    while not stopped.is_set():
        try:
            load.ask(address, trust)
        except (httpx.TransportError, json.JSONDecodeError):
            load.codes[0] += 1
        stopped.wait(0.15)


def _wait(address: str) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            if httpx.get(address).is_success:
                return
        except httpx.TransportError:
            pass
        assert time.monotonic() < deadline
        time.sleep(0.05)
