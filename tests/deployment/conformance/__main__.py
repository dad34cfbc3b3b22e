"""Asks a service all that it must do, and prints what it did.

python -m tests.deployment.conformance ADDRESS [--without NAME …] [--key KEY] [--ca FILE] [--stop COMMAND]
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import time
from pathlib import Path

from tests.deployment.conformance import ABILITIES, CHECKS, Missed, NotAsked, Target, stops_without_dropping


def main(words: list[str] | None = None) -> int:
    """The command line; 0 if nothing was missed."""
    given = _parser().parse_args(words)
    target = Target(
        given.address.rstrip("/"),
        abilities=ABILITIES - set(given.without),
        headers={"Authorization": f"Bearer {given.key}"} if given.key else {},
        ca=given.ca,
    )
    missed = [name for name in map(str, CHECKS) if not _passes(name, target)]
    if given.stop:
        missed += [] if _stops(target, given.stop) else ["stop"]
    print(f"{len(missed)} missed: {', '.join(missed)}" if missed else "conforms")
    return 1 if missed else 0


def _passes(name: str, target: Target) -> bool:
    (one,) = (check for check in CHECKS if check.name == name)
    return _told(name, lambda: one(target))


def _stops(target: Target, command: str) -> bool:
    return _told("stop", lambda: stops_without_dropping(target, lambda: subprocess.Popen(shlex.split(command))))


def _told(name: str, ask) -> bool:  # type: ignore[no-untyped-def]
    """Whether it passed; prints how it went."""
    started, words = time.monotonic(), name.replace("_", " ")
    try:
        ask()
    except NotAsked as why:
        print(f"-       {words} ({why})", flush=True)
        return True
    except Exception as why:  # whatever goes wrong on the way: it did not answer as it must
        kind = "" if isinstance(why, Missed) else f"{type(why).__name__}: "
        print(f"MISSED  {words}: {kind}{why}", flush=True)
        return False
    print(f"ok      {words} ({time.monotonic() - started:.1f} s)", flush=True)
    return True


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.deployment.conformance")
    parser.add_argument("address", help="http://127.0.0.1:8000")
    parser.add_argument(
        "--without", nargs="*", default=[], choices=sorted(ABILITIES), help="what the target does not claim to do"
    )
    parser.add_argument("--key", help="API key or token")
    parser.add_argument("--ca", type=Path, help="file of a certificate authority to trust")
    parser.add_argument("--stop", help="command that tells the service to stop; the last check")
    return parser


if __name__ == "__main__":
    sys.exit(main())
