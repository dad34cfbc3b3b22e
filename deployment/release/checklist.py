"""The checklist of a release: what must hold before, while and after it, each line checked and told.

python -m deployment.release.checklist before --backup FOLDER
python -m deployment.release.checklist during --address URL
python -m deployment.release.checklist after --address URL [--alerts URL] [--key KEY]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path

import httpx
from alembic.script import ScriptDirectory
from pydantic import ValidationError

from deployment.facts import FOLDER, VERSION
from deployment.release import acceptance, backup, gates
from deployment.release.plan import Gates, Instance, ReleaseFailed
from deployment.tools import tool
from models.registry import WeightsMismatch, load_calibration, load_registry, shipped
from service.settings import Settings
from ui.client import Client

CHECKOUT = FOLDER.parent
MIGRATIONS = CHECKOUT / "service" / "database" / "migrations"
BACKUP_HOURS = 24.0
PATIENCE_SECONDS = 10.0


class Open(AssertionError):
    """This line of the checklist does not hold; why, in one sentence."""


class Unasked(Exception):
    """It could not be looked at here; why."""


Line = Callable[[argparse.Namespace], None]


def clean_checkout(_given: argparse.Namespace) -> None:
    """What is released is what is committed"""
    changed = _git("status", "--porcelain")
    if changed:
        raise Open(f"{len(changed.splitlines())} files are not committed.")


def new_version(_given: argparse.Namespace) -> None:
    """The version has not been released before with other contents"""
    tag = f"v{VERSION}"
    if tag in _git("tag", "--list").split() and tag not in _git("tag", "--points-at", "HEAD").split():
        raise Open(f"{tag} is a tag of another commit; raise service/__init__.py.")


def weights(_given: argparse.Namespace) -> None:
    """Every weights file is the one that the registry names"""
    for entry in load_registry().values():
        if entry.file.startswith("weights/"):
            try:
                entry.path()
            except WeightsMismatch as error:
                raise Open(str(error)) from error


def calibration(_given: argparse.Namespace) -> None:
    """The published calibration was measured with these weights"""
    for name in (*load_registry(), "fusion"):
        record = load_calibration(name)
        if record is not None and not record["weights_sha256"].items() <= shipped().items():
            raise Open(f"{name} was measured with other weights; run `make evaluate`.")


def settings(_given: argparse.Namespace) -> None:
    """The settings of this environment are valid"""
    try:
        Settings()
    except ValidationError as error:
        raise Open(f"{error.errors()[0]['loc'][0]}: {error.errors()[0]['msg']}.") from error


def migrations(_given: argparse.Namespace) -> None:
    """The migrations have one head, so that there is one way forward"""
    heads = ScriptDirectory(str(MIGRATIONS)).get_heads()
    if len(heads) != 1:
        raise Open(f"There are {len(heads)} heads: {', '.join(heads)}.")


def alert_rules(_given: argparse.Namespace) -> None:
    """The alert rules are understood by Prometheus"""
    promtool = tool("promtool")
    if promtool.found is None:
        raise Unasked(promtool.advice)
    rules = sorted(str(path) for path in (FOLDER / "monitoring" / "rules").glob("*.yml"))
    done = subprocess.run([promtool.found, "check", "rules", *rules], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Open(done.stderr.strip().splitlines()[-1])


def fresh_backup(given: argparse.Namespace) -> None:
    """There is a backup of the last day, and it is whole"""
    if given.backup is None:
        raise Unasked("name its folder with --backup")
    try:
        manifest = backup.check(given.backup)
    except backup.BackupFailed as error:
        raise Open(str(error)) from error
    age = datetime.now(timezone.utc) - datetime.fromisoformat(manifest.made)
    if age > timedelta(hours=BACKUP_HOURS):
        raise Open(f"It is {age.days * 24 + age.seconds // 3600} hours old.")


def ready(given: argparse.Namespace) -> None:
    """The service is ready"""
    gates.wait_until_ready(Instance("the service", _address(given), "", ""), Gates(ready_seconds=120))


def reads(given: argparse.Namespace) -> None:
    """The service reads a text rightly and refuses half a document"""
    gates.smoke(_address(given))


def few_errors(given: argparse.Namespace) -> None:
    """Of its requests so far less than one in a thousand failed"""
    found = gates.counts(Instance("the service", _address(given), "", ""))
    if found["failed"] > Gates().max_error_ratio * found["all"]:
        raise Open(f"{found['failed']:g} of {found['all']:g} failed.")


def right_version(given: argparse.Namespace) -> None:
    """The version that answers is this one"""
    served = _health(given)["api"]["version"]
    if served != VERSION:
        raise Open(f"{served} answers, not {VERSION}.")


def healthy(given: argparse.Namespace) -> None:
    """Everything that the service depends on is healthy"""
    health = _health(given)
    if health["status"] != "healthy":
        raise Open(f"{health['status']}: {health.get('problems') or health['dependencies']}")


def accepted(given: argparse.Namespace) -> None:
    """What users try first works"""
    told: list[str] = []
    with Client(_address(given), api_key=given.key) as client:
        if acceptance.accept(client, told.append):
            raise Open("; ".join(line for line in told if not line.startswith("ok")))


def quiet_alerts(given: argparse.Namespace) -> None:
    """No alert fires"""
    if given.alerts is None:
        raise Unasked("name Alertmanager's address with --alerts")
    answer = httpx.get(f"{given.alerts}/api/v2/alerts", params={"active": "true"}, timeout=PATIENCE_SECONDS)
    firing = [alert["labels"]["alertname"] for alert in answer.raise_for_status().json()]
    if firing:
        raise Open(f"{', '.join(sorted(set(firing)))} fires.")


CHECKLISTS: Mapping[str, tuple[Line, ...]] = {
    "before": (
        clean_checkout,
        new_version,
        weights,
        calibration,
        settings,
        migrations,
        alert_rules,
        fresh_backup,
    ),
    "during": (ready, reads, few_errors),
    "after": (right_version, healthy, few_errors, accepted, quiet_alerts),
}


def go_through(lines: tuple[Line, ...], given: argparse.Namespace, say: Callable[[str], None] = print) -> int:
    """Look at each line; how many are open."""
    return sum(not _holds(line, partial(line, given), say) for line in lines)


def _holds(line: Line, look: Callable[[], None], say: Callable[[str], None]) -> bool:
    try:
        look()
    except Unasked as why:
        say(f"-       {line.__doc__} (not looked at: {why})")
    except (Open, ReleaseFailed, httpx.HTTPError) as why:
        say(f"OPEN    {line.__doc__}: {why}")
        return False
    else:
        say(f"ok      {line.__doc__}")
    return True


def _git(*words: str) -> str:
    try:
        return subprocess.run(
            ("git", "-C", str(CHECKOUT), *words), capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError) as error:
        raise Unasked("this is no checkout") from error


def _address(given: argparse.Namespace) -> str:
    if given.address is None:
        raise Unasked("name the service with --address")
    return given.address.rstrip("/")


def _health(given: argparse.Namespace) -> dict:
    headers = {"Authorization": f"Bearer {given.key}"} if given.key else {}
    return httpx.get(f"{_address(given)}/health", headers=headers, timeout=PATIENCE_SECONDS).json()


def main(words: list[str] | None = None) -> int:
    """The command line; 0 if nothing is open."""
    parser = argparse.ArgumentParser(prog="python -m deployment.release.checklist")
    parser.add_argument("when", choices=tuple(CHECKLISTS))
    parser.add_argument("--address", help="of the service")
    parser.add_argument("--alerts", help="address of Alertmanager")
    parser.add_argument("--backup", type=Path, help="folder of the newest backup")
    parser.add_argument("--key", default=os.environ.get("SENTIMENT_API_KEY"), help="API key or token")
    given = parser.parse_args(words)
    return 1 if go_through(CHECKLISTS[given.when], given) else 0


if __name__ == "__main__":
    sys.exit(main())
