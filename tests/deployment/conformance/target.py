"""What is asked: an address, how to reach it, and what it claims to do."""

from __future__ import annotations

import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

ABILITIES = frozenset(
    {"text", "image", "audio", "video", "stream", "jobs", "history", "operations", "pages", "sockets", "alone"}
)
"""`operations`: /health and /metrics can be seen; `pages`: the documentation; `jobs`: a worker is there; `history`: a
database is, and the caller may use it; `sockets`: it listens at its address, so that a request can be sent in pieces;
`alone`: no page of the UI is beside it."""
EXAMPLES = Path(__file__).parents[3] / "ui" / "examples"
PATIENCE_SECONDS = 120.0
"""Of one request; machines that prove things are busy."""
TURNED_AWAY = 429


@dataclass(frozen=True)
class Target:
    """A service at an address. `headers` go with each request; `ca` is a file of whom to trust beside the usual."""

    address: str
    abilities: frozenset[str] = ABILITIES
    headers: Mapping[str, str] = field(default_factory=dict)
    ca: Path | None = None
    transport: httpx.BaseTransport | None = None

    @cached_property
    def http(self) -> httpx.Client:
        """A client; whoever is told to come back later does."""
        return httpx.Client(
            base_url=self.address,
            headers=dict(self.headers),
            timeout=PATIENCE_SECONDS,
            transport=Patient(self.transport or httpx.HTTPTransport(verify=self.tls, retries=1)),
        )

    @property
    def tls(self) -> ssl.SSLContext:
        """Whom to trust."""
        context = ssl.create_default_context()
        if self.ca is not None:
            context.load_verify_locations(self.ca)
        return context

    @property
    def secure(self) -> bool:
        """Whether it is reached by TLS."""
        return urlsplit(self.address).scheme == "https"

    def send(self, route: str, name: str, **options: Any) -> httpx.Response:
        """Send one of the examples to a route."""
        return self.http.post(route, files={"file": (name, (EXAMPLES / name).read_bytes())}, **options)

    def close(self) -> None:
        """Let go of its connections."""
        self.http.close()


class Patient(httpx.BaseTransport):
    """Waits as long as a 429 says, and sends again, so that a rate limit on the way does not fail other checks."""

    def __init__(self, inner: httpx.BaseTransport, attempts: int = 5) -> None:
        self._inner = inner
        self._attempts = attempts

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The first answer that is not a 429, or the last."""
        request.read()
        for _ in range(self._attempts - 1):
            response = self._inner.handle_request(request)
            if response.status_code != TURNED_AWAY:
                return response
            response.close()
            time.sleep(min(float(response.headers.get("retry-after", "1")), 61.0))
        return self._inner.handle_request(request)

    def close(self) -> None:
        """Close what is inside."""
        self._inner.close()
