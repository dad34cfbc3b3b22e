"""A stand-in for the service over real HTTP, in the contract's shape: for what the page and the client do with answers.

What the real service answers is asserted in tests/browser and tests/contract.
"""

from __future__ import annotations

from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.ui import answers_made_up as made_up


def service_made_up() -> Starlette:
    """Answers every route of the contract that the client knows; `app.state.seen` lists what was asked."""
    app = Starlette(
        routes=[
            Route("/v1/text", _text, methods=["POST"]),
            Route("/v1/audio", _file(made_up.of_audio), methods=["POST"]),
            Route("/v1/image", _file(made_up.of_image), methods=["POST"]),
            Route("/v1/video", _video, methods=["POST"]),
            Route("/v1/analyze", _file(made_up.of_video), methods=["POST"]),
            Route("/v1/models", _models),
            Route("/health", _health),
        ]
    )
    app.state.seen = []
    return app


def problem(code: str, status: int, detail: str, **headers: str) -> Response:
    """A Problem as the contract shapes it."""
    body = {"type": f"/problems/{code}", "title": code, "status": status, "detail": detail, "code": code}
    return JSONResponse(
        {**body, "instance": "/", "request_id": "req-7"}, status, headers, media_type="application/problem+json"
    )


async def _text(request: Request) -> Response:
    asked: dict[str, Any] = await request.json()
    request.app.state.seen.append(asked)
    if "texts" in asked:
        bad = {"code": "too_long", "detail": "Too long.", "status": 422}
        return JSONResponse({"results": [made_up.of_text(one) if one else bad for one in asked["texts"]]})
    if asked["text"] == "too many":
        return problem("rate_limited", 429, "Wait a little.", **{"retry-after": "7"})
    return JSONResponse(made_up.of_text(asked["text"]))


def _file(answer: Any) -> Any:
    async def endpoint(request: Request) -> Response:
        await _remember(request)
        return JSONResponse(answer())

    return endpoint


async def _video(request: Request) -> Response:
    seen = await _remember(request)
    if seen["file"].endswith(".txt") or b"just words" in seen["bytes"]:
        return problem("unsupported_media", 415, "This looks like text, not like a video.")
    return JSONResponse(made_up.of_video())


async def _remember(request: Request) -> dict[str, Any]:
    seen: dict[str, Any] = {"content-type": request.headers["content-type"].split(";")[0]}
    async with request.form() as form:
        for name, value in form.multi_items():
            if isinstance(value, str):
                seen.setdefault(name, []).append(value)
            else:
                seen |= {name: value.filename, "bytes": await value.read()}
    request.app.state.seen.append(seen)
    return seen


async def _models(_request: Request) -> Response:
    return JSONResponse({"models": [{"name": "text-minilm", "version": "1.0.0", "task": "text", "licence": None}]})


async def _health(_request: Request) -> Response:
    return JSONResponse({"status": "unhealthy", "uptime_seconds": 3.0}, 503)
