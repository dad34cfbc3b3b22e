"""The images: what their files say, and, where there is time, that they are built, small, locked up and answer."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from deployment.facts import facts
from deployment.images import context, lock
from tests.deployment.conftest import Program, run
from tests.serving import CHECKOUT

IMAGES = CHECKOUT / "deployment" / "images"
CONTAINERFILES = {
    "service": IMAGES / "service" / "Containerfile",
    "ui": IMAGES / "ui" / "Containerfile",
    "lambda": CHECKOUT / "deployment" / "aws" / "lambda" / "Containerfile",
}
COMPILERS = ("gcc", "g++", "build-essential", "clang", "make", "git")
Changed = Callable[[str], str]


def stages(text: str) -> list[str]:
    """The stages of a Containerfile, the last of which is the image."""
    return re.split(r"(?m)^FROM ", text)[1:]


def environment(text: str) -> dict[str, str]:
    """What the image sets."""
    block = re.search(r"(?ms)^ENV (.*?[^\\])$", stages(text)[-1])
    assert block is not None
    return dict(word.split("=", maxsplit=1) for word in block[1].replace("\\\n", " ").split())


def wrong(image: str, text: str) -> list[str]:
    """What a Containerfile says that it should not, or does not say."""
    found, last = [], stages(text)[-1]
    names = {"service": facts()["service"], "ui": facts()["ui"]}
    wanted: dict[str, str] = dict(names[image]["environment"]) if image in names else {}
    if image == "service":
        wanted |= facts()["image"]["environment"]
        wanted |= {"ORT_DISABLE_TELEMETRY": "1"}
    given = environment(text)
    found += [f"{name} is {given.get(name)}, not {value}" for name, value in wanted.items() if given.get(name) != value]
    user = facts()["image"]["user"]
    found += [] if f"\nUSER {user}:{user}\n" in last else ["it runs as root"]
    found += [] if f"ARG BASE={facts()['image']['base']}\n" in text else ["another base"]
    found += [] if last.startswith("scratch\n") else ["what was removed is still below"]
    found += [f"{one} is installed" for one in COMPILERS if re.search(rf"install[^&]*\s{re.escape(one)}\s", text)]
    found += [] if "--require-hashes" in text else ["packages without digests"]
    for label in ("title", "description", "licenses", "version", "revision", "created", "base.name"):
        found += [] if f"org.opencontainers.image.{label}=" in last else [f"no label {label}"]
    if image in names:
        port = facts()[image]["port"]
        found += [] if f"\nEXPOSE {port}\n" in last else [f"port {port} is not exposed"]
        found += [] if "\nHEALTHCHECK " in last else ["no health check"]
    return found


@pytest.mark.parametrize("image", CONTAINERFILES)
def test_a_containerfile_says_what_the_facts_say(image: str):
    assert wrong(image, CONTAINERFILES[image].read_text()) == []


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda text: text.replace("PORT=8000", "PORT=3000"), "PORT is 3000, not 8000"),
        (lambda text: text.replace("USER 10001:10001\n", ""), "it runs as root"),
        (
            lambda text: text.replace("FROM scratch\nCOPY --from=root / /", "FROM root"),
            "what was removed is still below",
        ),
        (lambda text: text.replace("recommends binutils", "recommends gcc binutils"), "gcc is installed"),
        (lambda text: text.replace("--require-hashes ", ""), "packages without digests"),
        (lambda text: text.replace("HEALTHCHECK ", "# "), "no health check"),
        (lambda text: text.replace("image.revision", "image.rev"), "no label revision"),
        (lambda text: text.replace("BASE=python:3.11", "BASE=python:3.12"), "another base"),
    ],
)
def test_a_broken_containerfile_is_noticed(change: Changed, complaint: str):
    assert complaint in wrong("service", change(CONTAINERFILES["service"].read_text()))


@pytest.mark.parametrize("image", CONTAINERFILES)
def test_hadolint_finds_no_mistake(image: str, program: Program, tmp_path):
    hadolint, file = program("hadolint"), CONTAINERFILES[image]
    assert run(hadolint, *IGNORED, file).stdout == ""
    broken = tmp_path / "Containerfile"
    broken.write_text(file.read_text().replace("WORKDIR /app/src", "WORKDIR app"))
    assert "DL3000" in run(hadolint, *IGNORED, broken).stdout


IGNORED = tuple(word for code in ("DL3008", "DL3003", "DL3006", "DL3067") for word in ("--ignore", code))
"""Versions of Debian's packages in a stage that is thrown away; `cd` for one command; a base that is an argument; and a
last stage that is a copy of the one before it, so that what was removed is gone."""


def test_the_scripts_are_scripts():
    for script in IMAGES.glob("*.sh"):
        assert os.access(script, os.X_OK), script
        assert run("bash", "-n", script).stderr == ""


PLATFORM = {"python_version": lock.PYTHON, "python_full_version": f"{lock.PYTHON}.0"}


def locked(text: str) -> dict[str, str]:
    """Versions by package, for the Python of the base."""
    entries = [Requirement(line.rstrip(" \\")) for line in re.findall(r"(?m)^[A-Za-z0-9].*==.*", text)]
    meant = [entry for entry in entries if entry.marker is None or entry.marker.evaluate(PLATFORM)]
    return {entry.name: str(entry.specifier).removeprefix("==") for entry in meant}


def not_locked(image: str, text: str) -> list[str]:
    """What an image asks for that its lock does not hold in this range, or holds without a digest."""
    versions, found = locked(text), []
    for line in lock.wanted()[image]:
        asked = Requirement(line)
        if asked.marker is not None and not asked.marker.evaluate(PLATFORM):
            continue
        version = versions.get(asked.name.lower())
        if version is None or not asked.specifier.contains(version, prereleases=True):
            found.append(f"{line} is locked as {version}")
    entries = re.split(r"(?m)^(?=[A-Za-z0-9])", text)[1:]
    return found + [entry.split("==")[0] for entry in entries if "--hash=sha256:" not in entry]


@pytest.mark.parametrize("image", CONTAINERFILES)
def test_everything_that_is_asked_for_is_locked(image: str):
    assert not_locked(image, lock.file_of(image).read_text()) == []


def test_an_old_lock_is_noticed():
    text = lock.file_of("service").read_text()
    assert not_locked("service", re.sub(r"(?m)^numpy==.*", "numpy==1.0 \\\\", text)) == [
        "numpy>=1.26,<3 is locked as 1.0"
    ]
    assert not_locked("service", text + "stray==1.0\n") == ["stray"]
    assert any("gradio" in problem for problem in not_locked("ui", text))


def test_no_index_is_named_in_a_lock():
    for image in CONTAINERFILES:
        assert "://" not in lock.file_of(image).read_text()


def test_the_page_is_built_of_nothing_of_the_service(tmp_path):
    context.ui(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"ui", "healthcheck.py"}
    assert not list(tmp_path.rglob("*.pyc"))


@pytest.fixture
def keys(tmp_path) -> Path:
    """A folder with a pair of keys."""
    if not shutil.which("openssl"):
        pytest.skip("openssl is not here")
    signed("key", tmp_path)
    return tmp_path


def signed(*words: object) -> subprocess.CompletedProcess[str]:
    return run(IMAGES / "sign.sh", *words)


def test_signed_weights_verify_and_changed_ones_do_not(keys: Path):
    statement = keys / "weights"
    assert signed("weights", keys / "signing.key", statement).returncode == 0
    names = [line.split()[1] for line in statement.read_text().splitlines()]
    assert "models/registry.toml" in names
    assert "models/weights/text-minilm.int8.onnx" in names
    assert signed("verify", keys / "signing.pub", statement).returncode == 0
    statement.write_text(statement.read_text().replace("a", "b", 1))
    assert signed("verify", keys / "signing.pub", statement).returncode == 1


def test_a_signed_file_that_changes_is_noticed(keys: Path):
    file, statement = keys / "file", keys / "files"
    file.write_text("as it was")
    signed("files", keys / "signing.key", statement, file)
    assert signed("verify", keys / "signing.pub", statement).returncode == 0
    file.write_text("as it is now")
    assert signed("verify", keys / "signing.pub", statement).returncode != 0


def test_an_image_is_signed_by_its_digest_alone(keys: Path):
    image = f"registry.example.org/multimodal-sentiment@sha256:{'a' * 64}"
    signed("image", keys / "signing.key", keys / "image", image)
    assert signed("verify", keys / "signing.pub", keys / "image").stdout.strip() == image
    refused = signed("image", keys / "signing.key", keys / "other", "registry.example.org/multimodal-sentiment:1")
    assert refused.returncode != 0
    assert "no digest" in refused.stderr
