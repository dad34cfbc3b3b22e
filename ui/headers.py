"""What browsers are told: load nothing from elsewhere, show the page in no foreign frame, keep what never changes."""

from __future__ import annotations

import re

from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'self'",
        # Gradio boots from inline scripts, compiles templates, and loads parts of itself as blobs.
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "media-src 'self' data: blob:",
        "font-src 'self' data:",
        "worker-src 'self' blob:",
        "connect-src 'self' blob: data:",
        "frame-ancestors 'self'",
        "form-action 'self'",
        "base-uri 'self'",
        "object-src 'none'",
    )
)

HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(self), microphone=(self), geolocation=()",
}

_HASHED = re.compile(r"/assets/[\w.\-]+-[\w\-]{8,9}\.[a-z0-9]+")
"""Gradio's scripts, styles and fonts have a digest of their content in their names."""
FOR_EVER = "public, max-age=31536000, immutable"
NOT_KEPT = "no-store"

FETCHING_ROUTES = ("/gradio_api/proxy=", "/gradio_api/file=http:", "/gradio_api/file=https:")
"""Routes of Gradio by which a visitor could make this process fetch an address of their choice."""


class Shielded:
    """Adds `HEADERS` to every answer, and does not offer `FETCHING_ROUTES`."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def answered(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers.setdefault("Cache-Control", _how_long(scope, message["status"]))
            await send(message)

        if scope["type"] == "http" and scope["path"].lower().startswith(FETCHING_ROUTES):
            await PlainTextResponse("Not found.", 404)(scope, receive, answered)
        else:
            await self.app(scope, receive, answered)


def _how_long(scope: Scope, status: int) -> str:
    """How long an answer may be kept: what can't change for a year, what people sent or were told not at all."""
    return FOR_EVER if status in (200, 206, 304) and _HASHED.fullmatch(scope["path"]) else NOT_KEPT
