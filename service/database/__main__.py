"""Brings the tables up to date before instances start with `SENTIMENT_MIGRATE=never`.

python -m service.database upgrade
python -m service.database check
"""

from __future__ import annotations

import argparse
import asyncio
import sys

from service.database import Database, DatabaseError
from service.settings import load_settings


def main() -> int:
    """Run one command; 1 if the tables are not as they must be afterwards."""
    parser = argparse.ArgumentParser(prog="python -m service.database", description="The tables of the database.")
    parser.add_argument("command", choices=("upgrade", "check"), help="bring them up to date, or only look")
    wanted = parser.parse_args().command
    try:
        asyncio.run(_run(wanted))
    except DatabaseError as error:
        print(error, file=sys.stderr)
        return 1
    print("The tables are up to date.")
    return 0


async def _run(wanted: str) -> None:
    database = Database.of(load_settings().model_copy(update={"migrate": "auto" if wanted == "upgrade" else "never"}))
    try:
        await database.open()
    finally:
        await database.close()


if __name__ == "__main__":
    raise SystemExit(main())
