"""Where the database is: what people write, as the drivers want it."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "postgres": "postgresql+asyncpg",
    "postgresql": "postgresql+asyncpg",
    "sqlite+aiosqlite": "sqlite+aiosqlite",
    "postgresql+asyncpg": "postgresql+asyncpg",
}


class WrongUrl(ValueError):
    """The URL names no database that is supported. The message holds nothing of the URL but its beginning."""


def async_url(written: str) -> URL:
    """A URL for the drivers that do not block. `sslmode`, as libpq knows it, is kept. Raises `WrongUrl`."""
    try:
        url = make_url(written)
    except ArgumentError as error:
        raise WrongUrl("SENTIMENT_DATABASE_URL is no URL; write sqlite:///path or postgresql://…") from error
    driver = DRIVERS.get(url.drivername)
    if driver is None:
        raise WrongUrl(f"{url.drivername}: this database is not supported; SQLite and PostgreSQL are.")
    url = url.set(drivername=driver)
    if "sslmode" in url.query:
        mode = url.query["sslmode"]
        url = url.difference_update_query(["sslmode"]).update_query_dict({"ssl": mode})
    return url


def file_url(path: Path) -> str:
    """The URL of an SQLite file."""
    return URL.create("sqlite+aiosqlite", database=str(path)).render_as_string()


def file_of(url: URL) -> Path | None:
    """The file of an SQLite database; None for a server, or for one in memory."""
    if not url.drivername.startswith("sqlite") or url.database in (None, "", ":memory:"):
        return None
    return Path(url.database)  # type: ignore[arg-type]
