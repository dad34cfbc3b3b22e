"""Requests made up from the OpenAPI document, many thousands: no server error, and no answer that it does not list.

    python -m tests.contract.made_up [--cases 10000] [--minutes 10] [--write docs/benchmarks/schemathesis.md]

Half of them are as the document allows, half are not; where one names a job, an analysis or a page, every second one
names what there is. A third as many again go to a service with access control, most of them with a key, some with one
that lacks a scope, and some with none. It ends when all are sent or the time is up.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import itertools
import platform
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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

from service.access.key_ring import KeyFile, new_key
from tests.contract.things import Things, things_in
from tests.serving import running_service

CHECKS: list[Any] = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]
ANSWER_SECONDS = 60.0
"""More than an answer takes on any machine."""
MODES = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)


class TimeUp(BaseException):
    """Ends the making up of requests; no error, so that Hypothesis does not look for a smaller one."""


@dataclass
class Seen:
    """What came of all requests."""

    cases: Counter[str] = field(default_factory=Counter)
    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    """How often each operation answered with each status."""
    failures: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """By operation and kind: how to send each again."""
    seconds: float = 0.0

    @property
    def count(self) -> int:
        return sum(self.cases.values())


@dataclass(frozen=True)
class Asked:
    """A service, what there is in it, and the headers to ask it with, in turns; None for what was made up."""

    address: str
    things: Things
    headers: Sequence[dict[str, str] | None] = ({},)


def ask_everything(asked: Asked, count: int, seconds: float, number: int) -> Seen:
    """Make up about `count` requests for a service, evenly over its operations."""
    document = httpx.get(f"{asked.address}/openapi.json", timeout=30).json()
    schema = schemathesis.openapi.from_dict(document)
    paths = document["paths"]
    operations = [(path, method) for path, item in paths.items() for method in item]
    # First those with nothing to vary, which are asked once; the others share what is left. Last what removes things.
    operations.sort(
        key=lambda place: (
            place[1] == "delete",
            bool(paths[place[0]][place[1]].keys() & {"parameters", "requestBody"}),
        )
    )
    turns = itertools.cycle(asked.headers)
    started, seen = time.monotonic(), Seen()
    rounds = [(path, method, mode) for path, method in operations for mode in MODES]
    for place, (path, method, mode) in enumerate(rounds):
        rest = len(rounds) - place
        until = time.monotonic() + (started + seconds - time.monotonic()) / rest
        Round(asked, turns, mode, max(1, (count - seen.count) // rest), until, number).ask(schema[path][method], seen)
    seen.seconds = time.monotonic() - started
    return seen


@dataclass(frozen=True)
class Round:
    """Some requests of one sort to one operation."""

    asked: Asked
    turns: Iterator[dict[str, str] | None]
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
        self.asked.things.put_into(case)
        headers = next(self.turns)
        if headers is not None:
            for own in ("Authorization", "X-API-Key"):
                case.headers.pop(own, None)
        response = case.call(base_url=self.asked.address, headers=headers, timeout=ANSWER_SECONDS)
        seen.answers[name, response.status_code] += 1
        try:
            case.validate_response(response, checks=CHECKS)
        except FailureGroup as group:
            again = case.as_curl_command()[:500]
            for failure in group.exceptions:
                seen.failures[f"{name}: {type(failure).__name__}"].append(f"{failure}\n{again}")


def page(runs: dict[str, Seen], number: int) -> str:
    """The runs as a page."""
    lines = [
        "# Requests made up from the OpenAPI document\n",
        f"{time.strftime('%Y-%m-%d')}, {platform.machine()}, Python {platform.python_version()}, Schemathesis "
        f"{importlib.metadata.version('schemathesis')}. `make made-up`; seed {number}. Looked at: no server error; "
        "status, content type and body as the document says.\n",
    ]
    for name, seen in runs.items():
        lines += section(name, seen)
    return "\n".join(lines) + "\n"


def section(name: str, seen: Seen) -> list[str]:
    """One run, as lines."""
    statuses = sorted({status for _, status in seen.answers})
    lines = [
        f"## {name}\n",
        f"{seen.count:,} requests to {len(seen.cases)} operations in {seen.seconds:,.0f} s; "
        f"failures: {sum(map(len, seen.failures.values()))}\n",
        f"| operation | {' | '.join(map(str, statuses))} |\n|---|{'---|' * len(statuses)}",
    ]
    for operation in seen.cases:
        counts = [seen.answers[operation, status] for status in statuses]
        lines.append(f"| {operation} | {' | '.join(f'{count:,}' if count else '' for count in counts)} |")
    for kind, found in seen.failures.items():
        lines += [f"\n### {kind} ({len(found)})\n", "```", found[0], "```"]
    return [*lines, ""]


@contextmanager
def open_to_all(folder: Path, **settings: object) -> Iterator[Asked]:
    """A service that lets in everybody, with things in it."""
    own = {"state_folder": folder / "state", "max_queued_jobs": 1_000_000, **settings}
    with (
        running_service(folder, **own) as service,
        httpx.Client(base_url=service.address, timeout=60) as client,
        things_in(client, folder, **own) as things,
    ):
        yield Asked(service.address, things)


@contextmanager
def behind_a_door(folder: Path, **settings: object) -> Iterator[Asked]:
    """A service that wants keys, with things in it that belong to the one that is sent most often."""
    file = KeyFile(folder / "keys.json")
    good, record = new_key("operator", ["admin"])
    narrow, narrow_record = new_key("reader", ["history"])
    file.add(record)
    file.add(narrow_record)
    own = {"state_folder": folder / "state", "auth": "api_key", "api_keys_file": file.path, "protect_metrics": True}
    own |= {"max_queued_jobs": 1_000_000, **settings}
    with (
        running_service(folder, **own) as service,
        httpx.Client(base_url=service.address, timeout=60, headers={"X-API-Key": good}) as client,
        things_in(client, folder, **own) as things,
    ):
        known = {"X-API-Key": good}
        yield Asked(service.address, things, [known, known, {"X-API-Key": narrow}, known, {}, known, None])


def main(arguments: list[str]) -> int:
    """Ask, print the page; 1 if anything failed."""
    parser = argparse.ArgumentParser(description="Ask a real service what its OpenAPI document allows.")
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", type=Path, help="write the page there too")
    wanted = parser.parse_args(arguments)
    runs = {}
    for name, service, part in (("Open to all", open_to_all, 1), ("With access control", behind_a_door, 3)):
        with tempfile.TemporaryDirectory(prefix="sentiment-") as folder, service(Path(folder)) as asked:
            runs[name] = ask_everything(asked, wanted.cases // part, 60 * wanted.minutes / part, wanted.seed)
    text = page(runs, wanted.seed)
    print(text)
    if wanted.write:
        wanted.write.write_text(text)
    return int(any(seen.failures for seen in runs.values()))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
