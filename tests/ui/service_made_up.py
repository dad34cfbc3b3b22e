"""A stand-in for the service over real HTTP, in the contract's shape: for what the page and the client do with answers.

What the real service answers is asserted in tests/browser and tests/contract.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.ui import answers_made_up as made_up

TOTAL_ROWS = 4


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
            Route("/v1/jobs", _submit, methods=["POST"]),
            Route("/v1/jobs", _jobs),
            Route("/v1/jobs/{id}", _job),
            Route("/v1/jobs/{id}", _cancel, methods=["DELETE"]),
            Route("/v1/jobs/{id}/events", _events),
            Route("/v1/jobs/{id}/result", _result),
            Route("/v1/history", _history),
            Route("/v1/history", _clear, methods=["DELETE"]),
            Route("/v1/history/export", _export),
            Route("/v1/history/{id}", _kept),
            Route("/v1/history/{id}", _forget, methods=["DELETE"]),
        ]
    )
    app.state.seen = []
    app.state.jobs = {}
    app.state.kept = []
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
    if asked.get("store"):
        request.app.state.kept.append({**made_up.of_text(asked["text"]), "id": f"kept-{len(request.app.state.kept)}"})
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
    if b"very long" in seen["bytes"]:
        return problem("too_large", 413, "The video is longer than 5 minutes; send it as a job.")
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


async def _submit(request: Request) -> Response:
    """One job a key. A file whose bytes say `endless` is never done, one that says `broken` fails."""
    seen = await _remember(request)
    jobs: dict[str, Any] = request.app.state.jobs
    key = request.headers["idempotency-key"]
    seen["key"] = key
    known = next((job for job in jobs.values() if job["key"] == key), None)
    content = seen.get("bytes", b"")
    job = known or {
        **made_up.job(f"job-{len(jobs)}"),
        "kind": "texts" if "file" in seen else "video",
        "key": key,
        "mood": next((mood for mood in ("endless", "broken") if mood.encode() in content), "good"),
    }
    jobs[job["id"]] = job
    return JSONResponse(job, 202, {"location": f"/v1/jobs/{job['id']}"})


async def _jobs(request: Request) -> Response:
    """Two a page."""
    every = list(reversed(request.app.state.jobs.values()))
    return JSONResponse(_page(every, request, "jobs"))


async def _job(request: Request) -> Response:
    job = request.app.state.jobs.get(request.path_params["id"])
    return JSONResponse(job) if job else problem("not_found", 404, "There is no such job.")


async def _cancel(request: Request) -> Response:
    job = request.app.state.jobs[request.path_params["id"]]
    job["state"] = "cancelled"
    return Response(status_code=204)


async def _events(request: Request) -> Response:
    """The connection breaks off after the second event, and is told of with the number to go on from."""
    job = request.app.state.jobs[request.path_params["id"]]
    last = int(request.headers.get("last-event-id", "0"))
    request.app.state.seen.append({"events after": last})
    return StreamingResponse(_told(job, last), media_type="text/event-stream")


async def _told(job: dict[str, Any], last: int) -> AsyncIterator[str]:
    yield ": so that proxies see something\n\n"
    number = last
    for number in range(last + 1, TOTAL_ROWS + 1):
        yield _event(number, "progress", _progress(number))
        if number == 2 and last < 2:
            return
    while job["mood"] == "endless" and job["state"] != "cancelled":
        await asyncio.sleep(0.02)
    if job["state"] == "cancelled":
        yield _event(number + 1, "cancelled", {})
    elif job["mood"] == "broken":
        job["state"] = "failed"
        wrong = {"code": "undecodable", "detail": "The file is damaged.", "status": 422}
        yield _event(number + 1, "failed", {"problem": wrong})
    else:
        job["state"] = "done"
        yield _event(number + 1, "done", {"result": f"/v1/jobs/{job['id']}/result"})


def _progress(done: int) -> dict[str, Any]:
    fraction = min(done / TOTAL_ROWS, 0.999)
    return {"state": "running", "progress": {"fraction": fraction, "done": done, "total": TOTAL_ROWS, "unit": "rows"}}


def _event(number: int, name: str, data: dict[str, Any]) -> str:
    return f"id: {number}\nevent: {name}\ndata: {json.dumps(data)}\n\n"


async def _result(request: Request) -> Response:
    job = request.app.state.jobs[request.path_params["id"]]
    if job["state"] != "done":
        return problem("not_finished", 409, "The job is still running.")
    if job["kind"] != "texts":
        return JSONResponse(made_up.of_video())
    rows = [made_up.of_text("good"), {"row": 2, "code": "too_long", "detail": "Too long.", "status": 422}]
    wanted = request.headers["accept"]
    if wanted == "text/csv":
        return Response("row,label\r\n1,positive\r\n2,\r\n", media_type="text/csv")
    if wanted == "application/json":
        return JSONResponse({"results": rows})
    return Response("".join(json.dumps(row) + "\n" for row in rows), media_type="application/x-ndjson")


async def _history(request: Request) -> Response:
    request.app.state.seen.append(dict(request.query_params))
    return JSONResponse(_page(list(reversed(request.app.state.kept)), request, "items"))


def _page(every: list[dict[str, Any]], request: Request, key: str) -> dict[str, Any]:
    start = int(request.query_params.get("cursor", "0"))
    more = start + 2 < len(every)
    return {key: every[start : start + 2], "next": str(start + 2) if more else None}


async def _kept(request: Request) -> Response:
    found = [one for one in request.app.state.kept if one["id"] == request.path_params["id"]]
    return JSONResponse(found[0]) if found else problem("not_found", 404, "Nothing is kept under this id.")


async def _forget(request: Request) -> Response:
    kept = request.app.state.kept
    before = len(kept)
    kept[:] = [one for one in kept if one["id"] != request.path_params["id"]]
    return _receipt(before - len(kept))


async def _clear(request: Request) -> Response:
    removed = len(request.app.state.kept)
    request.app.state.kept.clear()
    return _receipt(removed)


def _receipt(removed: int) -> Response:
    return Response(status_code=204, headers={"Deletion-Receipt": f"removed={removed}; audit=17"})


async def _export(request: Request) -> Response:
    kept = request.app.state.kept
    if request.query_params["format"] == "csv":
        return Response("id\r\n" + "".join(f"{one['id']}\r\n" for one in kept), media_type="text/csv")
    return JSONResponse(kept)
