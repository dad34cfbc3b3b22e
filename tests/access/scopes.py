"""ASGI scopes as a server makes them."""

from __future__ import annotations

from typing import Any


def scope_of(peer: str | None = "198.51.100.7", kind: str = "http", **headers: str) -> dict[str, Any]:
    """The scope of a request from `peer`; `x_api_key="…"` is a header."""
    raw = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    client = None if peer is None else (peer, 40000)
    return {"type": kind, "method": "GET", "path": "/", "headers": raw, "client": client, "scheme": "http"}
