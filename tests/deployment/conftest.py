"""What the proofs of the deployment files share: programs that may be absent, and a mark for what takes minutes."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from _pytest.terminal import TerminalReporter

from deployment.tools import tool

LONG = os.environ.get("DEPLOYMENT") == "long"
"""`make check-deployment` sets it: image builds, container engines, clusters of processes."""

Program = Callable[[str], Path]


@pytest.fixture(scope="session")
def program() -> Program:
    """The path of a program that `deployment/tools.toml` names; without it the test is skipped, visibly."""

    def find(name: str) -> Path:
        found = tool(name)
        if found.found is None:
            pytest.skip(found.advice)
        return found.found

    return find


def run(*command: object, **options: object) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; its output is text, and its code is for the caller to judge."""
    words = [str(word) for word in command]
    return subprocess.run(words, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what takes minutes unless it was asked for."""
    for item in items:
        if item.get_closest_marker("long") and not LONG:
            item.add_marker(pytest.mark.skip(reason="takes minutes: make check-deployment"))


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """With `make check-deployment`: how much was proven of each part, and why the rest was not looked at."""
    if not LONG:
        return
    proven: Counter[str] = Counter(report.nodeid.split("::")[0] for report in terminalreporter.stats.get("passed", []))
    terminalreporter.section("proven")
    for file, number in sorted(proven.items()):
        terminalreporter.write_line(f"{number:4} {Path(file).stem.removeprefix('test_').replace('_', ' ')}")
    why = Counter(str(report.longrepr[2]) for report in terminalreporter.stats.get("skipped", []))
    terminalreporter.section("not looked at")
    for reason, number in why.most_common():
        terminalreporter.write_line(f"{number:4} {reason.removeprefix('Skipped: ')}")
