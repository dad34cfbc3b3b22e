"""A Docker engine of a test's own: in a network of its own, with its own folders, gone at the end."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from deployment.facts import image
from deployment.tools import HOME
from tests.deployment.containers import built
from tests.serving import CHECKOUT

STANDINS = Path(__file__).parent / "standins"
BUILT = HOME / "built"
"""Where what stands for images of others is kept between runs."""
START_SECONDS = 60.0


@dataclass(frozen=True)
class Engine:
    """Docker, spoken to by `docker`; what it publishes is reached from inside its network alone."""

    folder: Path
    pid: int

    @property
    def environment(self) -> dict[str, str]:
        """Makes `docker` speak to this engine, with `docker compose`."""
        return {**os.environ, "DOCKER_HOST": f"unix://{self.folder}/docker.sock", "DOCKER_CONFIG": f"{self.folder}/cli"}

    def docker(self, *words: object, check: bool = True, **options: object) -> str:
        """What a command prints. Raises `AssertionError` with what it said if it fails."""
        return self.run("docker", *words, check=check, **options)

    def run(self, *words: object, check: bool = True, **options: object) -> str:
        """The same for any program."""
        plain = [str(word) for word in words]
        done: subprocess.CompletedProcess[str] = subprocess.run(
            plain,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            **options,  # type: ignore[call-overload]
        )
        assert not check or done.returncode == 0, f"{words}: {done.stdout[-3000:]}{done.stderr[-6000:]}"
        return done.stdout

    def inside(self, *words: object) -> list[str]:
        """The command that runs another one inside of its network."""
        return ["nsenter", "-t", str(self.pid), "-n", "--", *map(str, words)]

    def status(self, address: str, *options: str) -> int:
        """The status of what is answered at an address inside; 0 for no answer."""
        ask = self.inside("curl", "-sk", "-o", "/dev/null", "-w", "%{http_code}", "-m", "30", *options, address)
        return int(self.run(*ask, check=False) or 0)


@contextmanager
def docker_engine(compose: Path | None = None) -> Iterator[Engine]:
    """A running engine; `compose` becomes its `docker compose`. Needs root."""
    for program in ("dockerd", "docker", "nsenter", "unshare", "curl"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not here: install Debian's packages `docker.io`, `util-linux` and `curl`")
    if os.getuid():
        pytest.skip("an engine in a network of its own needs root")
    folder = Path(tempfile.mkdtemp(prefix="engine-"))
    plugins = folder / "cli" / "cli-plugins"
    plugins.mkdir(parents=True)
    (folder / "cli" / "config.json").write_text("{}")
    if compose is not None:
        (plugins / "docker-compose").symlink_to(compose)
    process = _start(folder)
    engine = Engine(folder, process.pid)
    try:
        wait(lambda: "Server" in engine.docker("version", check=False), START_SECONDS)
        yield engine
    finally:
        _stop(process)
        _remove(folder)


def service_image(engine: Engine) -> None:
    """Load the service's image, as it is built here, under its public name."""
    _load(engine, built("service"), image("service"))


def ui_image(engine: Engine) -> None:
    """The same for the UI's."""
    _load(engine, built("ui"), image("ui"))


def standins(engine: Engine) -> None:
    """Load what stands for the images of others, PostgreSQL's and so on; build it if it is not there."""
    said = b"".join((STANDINS / name).read_bytes() for name in ("build.sh", "postgres.sh"))
    folder = BUILT / f"standins-{hashlib.sha256(said).hexdigest()[:12]}"
    archive = folder / "standins.tar"
    if not archive.exists():
        for program in ("buildah", "mmdebstrap"):
            if shutil.which(program) is None:
                pytest.skip(f"{program} is not here: install Debian's package `{program}`")
        engine.run("bash", STANDINS / "build.sh", folder)
    engine.run("sh", STANDINS / "tag.sh", archive)


def _load(engine: Engine, tag: str, name: str) -> None:
    archive = engine.folder / "image.tar"
    engine.run("buildah", "push", "-q", tag, f"docker-archive:{archive}:{name}")
    engine.docker("load", "-q", "-i", archive)
    archive.unlink()


def _start(folder: Path) -> subprocess.Popen[bytes]:
    limits = ("nofile=4096:4096", "nproc=4096:4096")
    words = [
        *(
            "dockerd",
            "--data-root",
            folder / "data",
            "--exec-root",
            folder / "exec",
            "-H",
            f"unix://{folder}/docker.sock",
        ),
        *("--pidfile", folder / "docker.pid", "--storage-driver", "overlay2"),
        *(word for limit in limits for word in ("--default-ulimit", limit)),
        *("--exec-opt", "native.cgroupdriver=cgroupfs"),
    ]
    command = 'ip link set lo up; exec "$@"'
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            ["unshare", "-n", "sh", "-c", command, "sh", *map(str, words)], stdout=log, stderr=subprocess.STDOUT
        )


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End it with all that it runs: containers outlive a killed engine."""
    family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(90)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for left in family:
        if left.is_running():
            left.kill()


def _remove(folder: Path) -> None:
    mounted = re.findall(rf" ({re.escape(str(folder))}\S*) ", Path("/proc/self/mounts").read_text())
    for path in sorted(mounted, reverse=True):
        subprocess.run(["umount", "-l", path], check=False)
    shutil.rmtree(folder, ignore_errors=True)


def wait(condition: Callable[[], bool], seconds: float) -> None:
    """A bound that a slow machine keeps."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s"
        time.sleep(0.2)


@contextmanager
def steady(engine: Engine, address: str = "https://127.0.0.1") -> Iterator[Counter[str]]:
    """Ask for a text's verdict all the while; how often came what is known after the block."""
    seen: Counter[str] = Counter()
    words = engine.inside(sys.executable, "-m", "tests.deployment.steady", address)
    with subprocess.Popen(words, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as asking:
        assert asking.stdin is not None and asking.stdout is not None
        try:
            assert asking.stdout.readline() == "started\n"
            yield seen
        finally:
            asking.stdin.close()
            seen.update(json.loads(asking.stdout.read()))


def light_image(engine: Engine, name: str) -> None:
    """Make an image of this name that stands for service, worker and page: `standins/light.py` on the service's own."""
    container = engine.docker("create", "--entrypoint", "", image("service"), "true").strip()
    folder = engine.folder / "light"
    (folder / "service").mkdir(parents=True, exist_ok=True)
    for file in (folder / "light.py", folder / "service" / "worker.py"):
        shutil.copy(STANDINS / "light.py", file)
    engine.docker("cp", folder, f"{container}:/light")
    changes = ("WORKDIR /light", 'CMD ["python", "light.py"]')
    engine.docker("commit", *(word for change in changes for word in ("--change", change)), container, name)
    engine.docker("rm", container)


def copied(folder: Path) -> Path:
    """The Compose folder with what it mounts, in a folder of a test's own."""
    for name in ("compose", "nginx", "monitoring"):
        shutil.copytree(CHECKOUT / "deployment" / name, folder / name, ignore=shutil.ignore_patterns("secrets", ".env"))
    return folder / "compose"
