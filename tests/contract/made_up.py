"""Requests made up from the OpenAPI document, many thousands: no server error, and no answer that it does not list.

    python -m tests.contract.made_up [--cases 10000] [--minutes 10] [--write docs/benchmarks/schemathesis.md]

Half of them are as the document allows, half are not. It ends when all are sent or the time is up.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import platform
import sys
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import SkipTest

import httpx
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi import checks

from tests.serving import running_service

CHECKS: list[Any] = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]
MODES = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)


class TimeUp(BaseException):
    """Ends the making up of requests; no error, so that Hypothesis does not look for a smaller one."""


@dataclass
class Seen:
    """What came of all requests."""

    cases: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    failures: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """By operation and kind: how to send each again."""
    seconds: float = 0.0

    @property
    def count(self) -> int:
        return sum(self.cases.values())


def ask_everything(address: str, count: int, seconds: float, number: int) -> Seen:
    """Make up about `count` requests for the service at `address`, evenly over its operations."""
    document = httpx.get(f"{address}/openapi.json", timeout=30).json()
    schema = schemathesis.openapi.from_dict(document)
    paths = document["paths"]
    operations = [(path, method) for path, item in paths.items() for method in item]
    # First those with nothing to vary, which are asked once; the others share what is left.
    operations.sort(key=lambda place: bool(paths[place[0]][place[1]].keys() & {"parameters", "requestBody"}))
    started, seen = time.monotonic(), Seen()
    rounds = [(path, method, mode) for path, method in operations for mode in MODES]
    for place, (path, method, mode) in enumerate(rounds):
        rest = len(rounds) - place
        until = time.monotonic() + (started + seconds - time.monotonic()) / rest
        asked = Round(address, mode, max(1, (count - seen.count) // rest), until, number)
        asked.ask(schema[path][method], seen)
    seen.seconds = time.monotonic() - started
    return seen


@dataclass(frozen=True)
class Round:
    """Some requests of one sort to one operation."""

    address: str
    mode: GenerationMode
    count: int
    until: float
    """By `time.monotonic`."""
    seed: int

    def ask(self, operation: Any, seen: Seen) -> None:
        """Send them, and note what came."""

        @seed(self.seed)
        @given(case=operation.as_strategy(generation_mode=self.mode))
        @settings(
            max_examples=self.count,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def ask(case: Any) -> None:
            if time.monotonic() > self.until:
                raise TimeUp
            self._send(case, f"{operation.method.upper()} {operation.path}", seen)

        try:
            ask()
        except (TimeUp, Unsatisfiable, SkipTest):  # an operation that forbids nothing can't be asked wrongly
            return

    def _send(self, case: Any, name: str, seen: Seen) -> None:
        seen.cases[name] += 1
        response = case.call(base_url=self.address)
        seen.statuses[response.status_code] += 1
        try:
            case.validate_response(response, checks=CHECKS)
        except FailureGroup as group:
            again = case.as_curl_command()[:500]
            for failure in group.exceptions:
                seen.failures[f"{name}: {type(failure).__name__}"].append(f"{failure}\n{again}")


def page(seen: Seen, number: int) -> str:
    """The run as a page."""
    lines = [
        "# Requests made up from the OpenAPI document\n",
        f"{time.strftime('%Y-%m-%d')}, {platform.machine()}, Python {platform.python_version()}, Schemathesis "
        f"{importlib.metadata.version('schemathesis')}. `make made-up`; seed {number}.\n",
        f"- {seen.count:,} requests to {len(seen.cases)} operations in {seen.seconds:,.0f} s",
        "- looked at: no server error; status, content type and body as the document says",
        f"- failures: {sum(map(len, seen.failures.values()))}\n",
        "| status | answers |\n|---|---|",
        *(f"| {status} | {count:,} |" for status, count in sorted(seen.statuses.items())),
        "\n| operation | requests |\n|---|---|",
        *(f"| {name} | {count:,} |" for name, count in seen.cases.items()),
    ]
    for kind, found in seen.failures.items():
        lines += [f"\n## {kind} ({len(found)})\n", "```", found[0], "```"]
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    """Ask, print the page; 1 if anything failed."""
    parser = argparse.ArgumentParser(description="Ask a real service what its OpenAPI document allows.")
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", type=Path, help="write the page there too")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="sentiment-") as name:
        folder = Path(name)
        own = {"state_folder": folder / "state", "max_queued_jobs": 1_000_000}
        with running_service(folder, **own) as service:
            seen = ask_everything(service.address, asked.cases, 60 * asked.minutes, asked.seed)
    text = page(seen, asked.seed)
    print(text)
    if asked.write:
        asked.write.write_text(text)
    return int(bool(seen.failures))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
