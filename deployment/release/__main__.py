"""Replaces the version that serves.

python -m deployment.release blue-green PLAN --version 1.2.0
python -m deployment.release rolling PLAN --version 1.2.0
python -m deployment.release smoke ADDRESS
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from deployment.facts import VERSION
from deployment.release.gates import smoke
from deployment.release.plan import ReleaseFailed, read_plan
from deployment.release.replace import blue_green, rolling, tell

WAYS = ("blue-green", "rolling")


def main(words: list[str] | None = None) -> int:
    """The command line; 0 if the new version serves."""
    parser = argparse.ArgumentParser(prog="python -m deployment.release", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("way", choices=(*WAYS, "smoke"))
    parser.add_argument("what", help="a plan, or an address to smoke-test")
    parser.add_argument("--version", default=VERSION)
    parser.add_argument("--previous", help="put back where the new one does not hold (rolling)")
    given = parser.parse_args(words)
    try:
        if given.way == "smoke":
            smoke(given.what.rstrip("/"))
            print("ok      answers rightly")
            return 0
        return _replace(given.way, Path(given.what), given.version, given.previous)
    except ReleaseFailed as error:
        print(error, file=sys.stderr)
        return 1


def _replace(way: str, path: Path, version: str, previous: str | None) -> int:
    plan = read_plan(path)
    try:
        if way == "rolling":
            rolling(plan, version, previous=previous)
        else:
            blue_green(plan, version)
    except ReleaseFailed as error:
        tell(plan, f"{version} was not released: {error}", version)
        raise
    tell(plan, f"{version} serves", version)
    return 0


if __name__ == "__main__":
    sys.exit(main())
