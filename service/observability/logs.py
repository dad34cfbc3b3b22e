"""Log lines: one JSON object each, on standard error. Bodies, texts, file names and addresses are never written."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

import orjson

QUIET = frozenset({"/livez", "/readyz", "/metrics", "/health"})
"""Asked every few seconds by probes and scrapers: logged at debug level unless something fails."""

_access = logging.getLogger("service.access")


class JsonFormatter(logging.Formatter):
    """A record as one JSON object; what is passed as `extra={"fields": {...}}` becomes members."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        entry: dict[str, Any] = {
            "time": _rfc3339(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(entry, default=str).decode()


def configure(level: str) -> None:
    """Send the service's log lines of at least this level to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logger = logging.getLogger("service")
    logger.handlers = [handler]
    logger.setLevel(level.upper())
    logger.propagate = False


def accessed(endpoint: str, status: int, caller: str, fields: dict[str, Any]) -> None:
    """Write one line about an answered request or a WebSocket that ended.

    Of the caller it has the key's id or a digest of the token's subject; of the path its template alone. Bodies, query
    values, headers and addresses are in no line.
    """
    level = logging.DEBUG if endpoint in QUIET and status in (200, 503) else logging.INFO
    if _access.isEnabledFor(level):
        known = {"caller": caller} if caller else {}
        _access.log(level, "request", extra={"fields": {"endpoint": endpoint, "status": status, **known, **fields}})


def _rfc3339(seconds: float) -> str:
    """A Unix time as RFC 3339 in UTC, to the millisecond."""
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds % 1 * 1000):03d}Z"
