"""The README's examples do what they show."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from models.registry import load_registry
from tests.conftest import CHECKOUT
from tests.serving import RunningService
from ui.client.command import main

README = (CHECKOUT / "README.md").read_text(encoding="utf-8")
LINES = [line for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) for line in block.splitlines()]
CURLS = [line for line in LINES if "curl" in line]
SHELL = [line for line in LINES if "ui.client" in line]
PROGRAMS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def at(service: RunningService, example: str) -> str:
    """The example, asking the service that runs."""
    return example.replace("http://localhost:8000", service.address).replace("localhost:8000", service.address)


@pytest.mark.parametrize("command", CURLS)
def test_every_command_gets_an_answer(service: RunningService, command: str) -> None:
    done = subprocess.run(at(service, command), shell=True, cwd=CHECKOUT, capture_output=True, timeout=300, check=True)
    answer = json.loads(done.stdout)
    assert "code" not in answer, answer


@pytest.mark.parametrize("command", SHELL)
def test_every_line_of_the_shell_prints_an_answer(
    service: RunningService, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(CHECKOUT)
    monkeypatch.setenv("SENTIMENT_API_URL", service.address)
    assert main(shlex.split(command)[3:]) == 0
    assert capsys.readouterr().out.strip()


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_program_prints_an_answer(
    service: RunningService, program: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(CHECKOUT)
    exec(compile(at(service, program), "README.md", "exec"), {})
    assert capsys.readouterr().out.strip()


def test_the_readme_shows_a_command_and_a_program_for_every_route() -> None:
    for route in ("/v1/text", "/v1/audio", "/v1/image", "/v1/video", "/v1/analyze", "/v1/models", "/health"):
        assert any(route in command for command in CURLS), route
    for method in (
        "text",
        "texts",
        "audio",
        "image",
        "video",
        "analyze",
        "models",
        "health",
        "jobs.submit",
        "history.list",
    ):
        assert any(f"client.{method}(" in program for program in PROGRAMS), method


def test_every_file_that_the_readme_names_is_there() -> None:
    for path in re.findall(r"(?:\]\(|@)((?:docs|ui|models|deployment)/[\w./-]+)", README):
        assert Path(CHECKOUT, path).exists(), path


def test_the_scores_in_the_readme_are_those_of_the_registry() -> None:
    scores = {name: entry.scores for name, entry in load_registry().items()}
    text, voice, face = scores["text-minilm"], scores["speech-whisper"], scores["face-emotion"]
    detector, words = scores["face-detector"], scores["whisper-tiny-en"]
    for row, numbers in {
        "TweetEval": (text["test_int8"]["macro_recall"], text["test_int8"]["ece"]),
        "RAVDESS, 3": (voice["ravdess_test"]["uar"], voice["ravdess_test"]["ece"]),
        "nEMO": (voice["nemo_test"]["uar_among_its_emotions"], voice["nemo_test"]["ece"]),
        "FER+": (face["accuracy"], face["ece_after"]),
        "street scenes": (
            detector["streets_640px_faces_from_0px_average_precision"],
            detector["yunet_streets_640px_faces_from_0px_average_precision"],
        ),
    }.items():
        (line,) = (line for line in README.splitlines() if line.startswith("|") and row in line)
        assert [float(number) for number in re.findall(r"\b0\.\d{3}\b", line)] == [round(n, 3) for n in numbers], row
    assert f"word error rate {words['word_errors_kept']:.2f}" in README
