"""The pipeline's stages and its workflows; each check also fails on what is broken."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.deployment.conftest import Program, run
from tests.serving import CHECKOUT

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
