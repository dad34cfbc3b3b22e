"""Runs the faults in their long form, and writes down what held.

    python -m tests.faults.record [--short] [--write docs/benchmarks/faults.md]

Each line is one test: what it promises, whether that held, and how long it took with starting and stopping everything.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

FOLDER = Path(__file__).parent


@dataclass
class Outcome:
    """What became of one test."""

    result: str = "held"
    seconds: float = 0.0
    why: str = ""


@dataclass
class Recorder:
    """A plugin of pytest that remembers what became of each test, by its name."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Setting up, the test and tearing down count together; the worst of them is what it came to."""
        outcome = self.outcomes.setdefault(report.nodeid, Outcome())
        outcome.seconds += report.duration
        if report.failed:
            outcome.result = "FAILED"
        elif report.skipped and outcome.result == "held":
            outcome.result = "not tried"
            outcome.why = str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else ""


def page(outcomes: dict[str, Outcome], *, short: bool) -> str:
    """The page for `docs/benchmarks`."""
    held = sum(one.result == "held" for one in outcomes.values())
    lines = [
        "# Faults",
        "",
        f"{time.strftime('%Y-%m-%d')}, {platform.machine()}, {psutil.cpu_count()} cores, Python "
        f"{platform.python_version()}, load average {psutil.getloadavg()[0]:.1f} at the end. "
        f"`{'python -m tests.faults.record --short' if short else 'make faults'}`.",
        "",
        f"- {held} of {len(outcomes)} promises held",
        f"- {sum(one.seconds for one in outcomes.values()):.0f} s with starting and stopping everything",
        "",
        "| promise | outcome | took |",
        "|---|---|---|",
        *(_line(name, one) for name, one in outcomes.items()),
        "",
    ]
    return "\n".join(lines)


def _line(name: str, outcome: Outcome) -> str:
    file, _, test = name.partition("::")
    promise = test.removeprefix("test_").replace("_", " ")
    result = outcome.result + (f" ({outcome.why.removeprefix('Skipped: ')})" if outcome.why else "")
    return f"| {promise} ({Path(file).name}) | {result} | {outcome.seconds:.0f} s |"


def main(given: Sequence[str] | None = None) -> int:
    """Run, print, and write if asked; 0 if nothing failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="as in CI")
    parser.add_argument("--only", default="", help="tests whose names match, as pytest's -k")
    parser.add_argument("--write", type=Path, help="write the page there too")
    asked = parser.parse_args(given)
    if not asked.short:
        os.environ["FAULTS"] = "long"
    recorder = Recorder()
    code = pytest.main(["-q", str(FOLDER), "-k", asked.only], plugins=[recorder])
    text = page(recorder.outcomes, short=asked.short)
    print(text)
    if asked.write:
        asked.write.write_text(text)
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
