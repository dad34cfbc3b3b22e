"""Make, list and revoke API keys.

    python -m service.access.keys create shop --scopes analyze,history --rate 60/minute --expires 2027-12-31
    python -m service.access.keys list
    python -m service.access.keys revoke shop

They are kept in the file that `SENTIMENT_API_KEYS_FILE` names; a running service follows within two seconds.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

from pydantic import TypeAdapter

from service.access.caller import SCOPES
from service.access.key_ring import KeyFile, KeyRecord, checked_rate, expired, new_key
from service.settings import load_settings


def main(arguments: Sequence[str]) -> int:
    """Do what the command line says; 1 if it can't be done."""
    asked = _parser().parse_args(arguments)
    path = asked.file or load_settings().api_keys_file
    if path is None and not (asked.command == "create" and asked.print):
        print("Name the file of keys: set SENTIMENT_API_KEYS_FILE, or give --file.", file=sys.stderr)
        return 1
    try:
        return asked.run(asked, KeyFile(path) if path else None)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1


def create(asked: argparse.Namespace, file: KeyFile | None) -> int:
    """Make a key, and show it this once."""
    key, record = new_key(asked.name, asked.scopes, asked.rate, asked.expires)
    if asked.print or file is None:
        print(f"For SENTIMENT_API_KEYS: {TypeAdapter(list[KeyRecord]).dump_json([record]).decode()}", file=sys.stderr)
    else:
        file.add(record)
    print("The key, which is shown this once and kept nowhere:", file=sys.stderr)
    print(key)
    return 0


def show(_asked: argparse.Namespace, file: KeyFile) -> int:
    """Print what is kept of each key."""
    now = datetime.now(timezone.utc)
    for record in file.read():
        until = f"{record.expires:%Y-%m-%d %H:%M}" if record.expires else "for good"
        until += " (over)" if expired(record, now) else ""
        scopes = ",".join(record.scopes)
        print(f"{record.id}  {record.name:20}  {scopes:24}  {record.rate or '-':12}  {until}")
    return 0


def revoke(asked: argparse.Namespace, file: KeyFile) -> int:
    """Drop keys by id or name."""
    gone = file.revoke(asked.name_or_id)
    if not gone:
        print(f"There is no key with the id or name {asked.name_or_id}.", file=sys.stderr)
        return 1
    for record in gone:
        print(f"Revoked {record.id} ({record.name}).")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m service.access.keys", description="API keys of the service.")
    parser.add_argument("--file", type=Path, help="file of keys; else SENTIMENT_API_KEYS_FILE")
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("create", help="make a key and show it once")
    make.add_argument("name", help="whose it is; keys of one name share jobs and history")
    make.add_argument("--scopes", type=_scopes, default=("analyze",), help=f"some of {','.join(SCOPES)} (analyze)")
    make.add_argument("--rate", type=checked_rate, help="how often it may ask, as 60/minute")
    make.add_argument("--expires", type=_time, help="a date, or a time with its zone, in ISO 8601; a date ends in UTC")
    make.add_argument("--print", action="store_true", help="print the record for SENTIMENT_API_KEYS, write no file")
    make.set_defaults(run=create)
    commands.add_parser("list", help="what is kept of each key").set_defaults(run=show)
    drop = commands.add_parser("revoke", help="drop the key of an id, or all keys of a name")
    drop.add_argument("name_or_id")
    drop.set_defaults(run=revoke)
    return parser


def _scopes(text: str) -> tuple[str, ...]:
    scopes = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not scopes or not set(scopes) <= set(SCOPES):
        raise argparse.ArgumentTypeError(f"the scopes are {', '.join(SCOPES)}")
    return scopes


def _time(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
