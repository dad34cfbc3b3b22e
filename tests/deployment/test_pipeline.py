"""The pipeline's stages and its workflows; each check also fails on what is broken."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import yaml

from deployment.facts import VERSION
from tests.deployment.conftest import Program, run
from tests.deployment.containers import built, wait_until_ready
from tests.serving import CHECKOUT, free_port

PIPELINE = CHECKOUT / "deployment" / "release" / "pipeline.sh"
WORKFLOWS = CHECKOUT / ".github" / "workflows"


def test_the_workflows_are_understood_and_safe(program: Program) -> None:
    actionlint, zizmor = program("actionlint"), program("zizmor")
    linted = run(actionlint, *sorted(WORKFLOWS.glob("*.yml")))
    assert linted.returncode == 0, linted.stdout
    audited = run(zizmor, "--offline", "--quiet", WORKFLOWS)
    assert audited.returncode == 0, audited.stdout


@pytest.mark.parametrize(
    ("right", "wrong", "name"),
    [
        ("runs-on: ubuntu-24.04\n    timeout", "runs-on: ubuntu-24.4\n    timeout", "actionlint"),
        ("@11bd71901bbe5b1630ceea73d27597364c9af683 # v4.2.2", "@v4", "zizmor"),
        ("run: deployment/release/pipeline.sh scan", 'run: echo "${{ github.event.pull_request.title }}"', "zizmor"),
    ],
    ids=["no such machine", "an action that may change", "words of strangers in a shell"],
)
def test_a_broken_workflow_is_found(program: Program, tmp_path: Path, right: str, wrong: str, name: str) -> None:
    found, file = program(name), tmp_path / ".github" / "workflows" / "ci.yml"
    file.parent.mkdir(parents=True)
    text = (WORKFLOWS / "ci.yml").read_text()
    assert right in text
    file.write_text(text.replace(right, wrong))
    options = ("--offline", "--quiet") if name == "zizmor" else ()
    assert run(found, *options, file).returncode != 0


@contextmanager
def registry(program: Path, folder: Path) -> Iterator[str]:
    """The address of a registry of images with nothing in it."""
    address, file = f"127.0.0.1:{free_port()}", folder / "registry.yml"
    settings = {"storage": {"filesystem": {"rootdirectory": str(folder / "pushed")}}, "http": {"addr": address}}
    file.write_text(yaml.safe_dump({"version": 0.1, **settings}))
    with (folder / "registry.log").open("wb") as log:
        process = subprocess.Popen((program, "serve", file), stdout=log, stderr=log)
    try:
        wait_until_ready(f"http://{address}", "/v2/")
        yield address
    finally:
        process.terminate()
        process.wait()


@pytest.mark.long
def test_images_are_built_scanned_listed_signed_and_pushed(program: Program, tmp_path: Path) -> None:
    for name in ("bandit", "hadolint", "actionlint", "zizmor", "syft", "cyclonedx-py"):
        program(name)
    images = {built(name).removeprefix("localhost/").partition(":")[0] for name in ("service", "ui")}
    sign, dist = CHECKOUT / "deployment" / "images" / "sign.sh", tmp_path / "dist"
    assert run(sign, "key", tmp_path).returncode == 0
    with registry(program("docker-registry"), tmp_path) as address:
        options = {"ENGINE": "buildah", "BUILD_OPTIONS": "--pull-never", "PUSH_OPTIONS": "--tls-verify=false -q"}
        where = {"REGISTRY": address, "ARTIFACTS": str(dist), "SIGNING_KEY": str(tmp_path / "signing.key")}
        told = {"PYTHON": sys.executable, "NOTIFY": f"tee {tmp_path / 'told'}"}
        stages = ("containerize", "scan", "sbom", "sign", "push", "notify")
        done = run(PIPELINE, *stages, env={**os.environ, **options, **where, **told})
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        for name in images:
            assert httpx.get(f"http://{address}/v2/{name}/tags/list").json() == {"name": name, "tags": [VERSION]}
    assert "the pipeline passed" in (tmp_path / "told").read_text()
    lists = [json.loads(file.read_text()) for file in sorted(dist.glob("*.cyclonedx.json"))]
    assert len(lists) == 3 and all(one["components"] for one in lists)  # two images, and what they were built in
    for statement in ("weights", "images"):
        assert run(sign, "verify", tmp_path / "signing.pub", dist / f"{statement}.statement").returncode == 0
    (dist / "ui.tar").write_bytes(b"another image")
    assert run(sign, "verify", tmp_path / "signing.pub", dist / "images.statement").returncode != 0
    shutil.rmtree(dist)
    shutil.rmtree(tmp_path / "pushed")


def test_workflows_and_pipeline_know_the_same_stages() -> None:
    stages = set(re.findall(r"^    (?:test|([a-z |]+))\) ", PIPELINE.read_text(), re.MULTILINE)[-1].split(" | ")) | {
        "test"
    }
    used = re.findall(r"pipeline\.sh ([a-z ]+)$", "".join(f.read_text() for f in WORKFLOWS.glob("*.yml")), re.MULTILINE)
    assert {stage for line in used for stage in line.split()} == stages


def test_a_stage_that_is_not_there_is_refused() -> None:
    done = run(PIPELINE, "celebrate")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (2, "there is no stage celebrate")


def test_our_own_code_and_containerfiles_pass_the_scanners(program: Program) -> None:
    bandit, hadolint = program("bandit"), program("hadolint")
    scanned = run(
        bandit, "-q", "-r", "service", "ui", "models/registry.py", "deployment", "-c", "pyproject.toml", cwd=CHECKOUT
    )
    assert scanned.returncode == 0, scanned.stdout
    files = sorted((CHECKOUT / "deployment").rglob("Containerfile"))
    linted = run(hadolint, "--config", CHECKOUT / "deployment" / "release" / "hadolint.yaml", *files)
    assert files
    assert linted.returncode == 0, linted.stdout


def test_the_scanners_find_what_is_wrong(program: Program, tmp_path: Path) -> None:
    code, image = tmp_path / "code.py", tmp_path / "Containerfile"
    code.write_text("import pickle\npickle.loads(input().encode())\n")
    image.write_text("FROM debian\nRUN sudo apt-get install curl\n")
    assert run(program("bandit"), "-q", "-c", CHECKOUT / "pyproject.toml", code).returncode != 0
    assert run(program("hadolint"), image).returncode != 0
