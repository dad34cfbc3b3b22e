"""What every target agrees on: `facts.toml` and the version of the service."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import Any

from service import __version__

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FOLDER = Path(__file__).parent
VERSION = __version__


@cache
def facts() -> dict[str, Any]:
    """The page, as tables."""
    return tomllib.loads((FOLDER / "facts.toml").read_text())


def image(name: str) -> str:
    """The full name of an image (`service` or `ui`), as every file has it."""
    named = facts()["image"]
    return f"{named['registry']}/{named[name]}:{VERSION}"
