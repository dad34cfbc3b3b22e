"""`history`: list, export and delete what was sent with `--store`."""

from __future__ import annotations

import argparse
import sys
from itertools import islice
from typing import Any

from ui.client.blocking import Client
from ui.client.calls import EXPORTS, kind_of_target
from ui.client.command.documents import head, line


def show_all(client: Client, given: argparse.Namespace) -> int:
    """The newest, a line each."""
    found = islice(client.history.list(page_size=min(given.limit, 100), **_filters(given)), given.limit)
    for number, analysis in enumerate(found):
        sys.stdout.write(
            ("" if number else head("table").replace("FILE", "ID  ")) + line("table", analysis.id, analysis)
        )
    return 0


def export(client: Client, given: argparse.Namespace) -> int:
    """Everything, or what was chosen, as one document."""
    to: Any = sys.stdout.buffer if given.file == "-" else given.file
    kind = given.format or ("json" if given.file == "-" else kind_of_target(to, EXPORTS))
    client.history.export(to, kind, **_filters(given))
    return 0


def delete(client: Client, given: argparse.Namespace) -> int:
    """Some or all, for good."""
    if bool(given.ids) == given.all:
        given.usage("give the ids to delete, or --all")
    if not given.yes and not _sure("everything" if given.all else f"{len(given.ids)} of what was kept"):
        return 1
    if given.all:
        client.history.clear()
    for identifier in given.ids:
        client.history.delete(identifier)
    return 0


def _sure(what: str) -> bool:
    """Ask, where somebody can answer; nobody there has not agreed."""
    if not sys.stdin.isatty():
        print("Nothing was deleted: say --yes.", file=sys.stderr)
        return False
    print(f"Delete {what} for good? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _filters(given: argparse.Namespace) -> dict[str, Any]:
    return {name: getattr(given, name) for name in ("label", "modality", "since", "until")}
