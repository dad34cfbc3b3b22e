from __future__ import annotations

import asyncio
import json

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from service.api import application
from service.api.edge import Edge
from service.api.routes import Routes, allowance
from service.settings import Settings
from tests.api.conftest import client_of


async def fail(request):
    raise ZeroDivisionError("a secret")


async def wait(request):
    await asyncio.Event().wait()


async def read(request):
    return JSONResponse({"bytes": len(await request.body())})


async def measured(request):
    request.scope["timings"] = {"decode": 0.5, "odd step": 0.25, "total": 9.0}
    return Response()


async def unhealthy(request):
    return JSONResponse({"status": "unhealthy"}, 503)


async def refuse(request):
    return PlainTextResponse("Service is dead", 503)


@pytest.fixture
def edge(settings) -> Edge:
    return edge_of(settings)


def edge_of(settings: Settings) -> Edge:
    endpoints = {"/fail": fail, "/wait": wait, "/read": read, "/measured": measured, "/unhealthy": unhealthy}
    ours = Starlette(routes=[Route(path, endpoint, methods=["GET", "POST"]) for path, endpoint in endpoints.items()])
    # Without the layers that answer errors, as our application is.
    ours.build_middleware_stack = lambda: ours.router
    rest = Starlette(routes=[Route("/theirs", refuse), Route("/healthz", lambda _: PlainTextResponse("ok"))])
    return Edge(Routes(ours, {}), rest, settings)


@pytest.fixture
def speak(edge) -> httpx.AsyncClient:
    return client_of(edge)


def problem(response: httpx.Response) -> dict:
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["x-request-id"] == response.json()["request_id"]
    return response.json()


async def test_an_error_inside_says_nothing_but_the_request_id(speak):
    response = await speak.get("/fail")
    assert response.status_code == 500
    assert problem(response)["code"] == "internal"
    assert "secret" not in response.text


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/read/", 404, "not_found"),
        ("POST", "/theirs", 405, "method_not_allowed"),
        ("GET", "/theirs", 503, "not_ready"),
    ],
)
async def test_an_error_of_the_framework_becomes_a_problem(speak, method, path, status, code):
    response = await speak.request(method, path)
    assert (response.status_code, problem(response)["code"]) == (status, code)


async def test_the_wrong_method_names_the_right_ones(speak):
    response = await speak.delete("/read")
    assert problem(response)["code"] == "method_not_allowed"
    assert set(response.headers["allow"].split(", ")) == {"GET", "HEAD", "POST"}


async def test_our_own_error_answers_stay_as_they_are(speak):
    response = await speak.get("/unhealthy")
    assert (response.status_code, response.json()) == (503, {"status": "unhealthy"})


async def test_the_framework_answers_what_is_not_ours(speak):
    assert (await speak.get("/healthz")).text == "ok"


async def test_a_well_formed_request_id_is_kept_and_any_other_replaced(speak):
    kept = await speak.get("/measured", headers={"X-Request-ID": "abc-1.2:3_4"})
    assert kept.headers["x-request-id"] == "abc-1.2:3_4"
    for odd in ("a b", "x" * 129, "{}", ""):
        replaced = await speak.get("/measured", headers={"X-Request-ID": odd})
        assert len(replaced.headers["x-request-id"]) == 32


async def test_no_answer_is_to_be_stored(speak):
    for path in ("/measured", "/nothing"):
        assert (await speak.get(path)).headers["cache-control"] == "no-store"


async def test_the_time_of_each_step_is_told_and_the_total_is_measured(speak):
    timing = (await speak.get("/measured")).headers["server-timing"]
    assert timing.startswith("decode;dur=500.00, odd_step;dur=250.00, total;dur=")
    assert timing.rsplit("=", 1)[1] != "9000.00"


async def test_a_request_that_takes_too_long_is_stopped(settings):
    hasty = settings.model_copy(update={"request_timeout_seconds": 0.2})
    async with client_of(edge_of(hasty)) as speak:
        response = await speak.get("/wait")
    assert response.status_code == 504
    assert problem(response)["code"] == "timed_out"


async def test_a_body_that_says_it_is_too_large_is_not_read(speak):
    response = await speak.post("/read", content=b"x" * 200_001)
    assert response.status_code == 413
    assert "0.2 MB" in problem(response)["detail"]
    assert response.headers["connection"] == "close"


async def test_a_body_that_does_not_say_how_large_it_is_is_counted(speak):
    async def endless():
        while True:
            yield b"x" * 10_000

    response = await speak.post("/read", content=endless())
    assert problem(response)["code"] == "too_large"


async def test_a_body_at_the_limit_is_taken(speak):
    assert (await speak.post("/read", content=b"x" * 200_000)).json() == {"bytes": 200_000}


async def test_head_is_answered_as_get(speak):
    assert (await speak.head("/measured")).status_code == 200


async def test_work_stops_when_the_client_goes_away(edge):
    stopped = asyncio.Event()

    async def waiting(scope, receive, send):
        try:
            await receive()
            await asyncio.Event().wait()
        finally:
            stopped.set()

    edge._routes._hot["GET", "/wait"] = waiting
    messages = iter([{"type": "http.request", "body": b"", "more_body": False}, {"type": "http.disconnect"}])
    sent = []

    async def receive():
        return next(messages)

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/wait", "headers": [], "query_string": b""}
    await asyncio.wait_for(edge(scope, receive, send), 60)
    assert stopped.is_set()
    assert sent[0]["status"] == 499
    assert json.loads(sent[1]["body"])["code"] == "cancelled"


async def test_who_is_refused_while_sending_can_finish_before_the_answer_ends(app, settings):
    """A client that reads only when it has sent everything would find a closed socket instead of the answer."""
    edge = Edge(application.routes(app), app, settings)
    chunks = [{"type": "http.request", "body": b"x" * 90_000, "more_body": more} for more in (True, True, True, False)]
    sent: list[dict] = []

    async def receive() -> dict:
        if len(chunks) == 1:  # the last chunk comes after the answer
            assert sent and sent[-1].get("more_body")
        return chunks.pop(0)

    async def send(message: dict) -> None:
        sent.append(message)

    headers = [(b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/v1/text", "headers": headers, "query_string": b""}
    await edge({**scope, "http_version": "1.1", "scheme": "http", "server": ("test", 80)}, receive, send)
    assert [sent[0]["status"], chunks, sent[-1].get("more_body", False)] == [413, [], False]


def test_a_job_s_body_has_long_to_come_as_long_as_it_comes():
    settings = Settings(request_timeout_seconds=300.0, max_job_bytes=4_000_000_000)
    job = allowance("/v1/jobs", "POST", settings)
    assert job.seconds_after(0) == 300.0
    assert job.seconds_after(100_000_000) == 1300.0
    assert job.seconds_after(4_000_000_000) == job.seconds == 4000.0
    assert allowance("/v1/audio", "POST", settings).seconds_after(50_000_000) == 300.0
    assert allowance("/v1/history/export", "GET", settings).seconds_after(0) == float("inf")


async def test_who_drips_a_job_is_cut_off_and_who_sends_it_steadily_is_not(app, settings):
    patience = 2.0
    limited = settings.model_copy(update={"request_timeout_seconds": patience, "max_job_bytes": 10_000_000})

    async def reads(scope, receive, send):
        size, more = 0, True
        while more:
            message = await receive()
            size, more = size + len(message["body"]), message["more_body"]
        await JSONResponse({"bytes": size})(scope, receive, send)

    async def drops():
        while True:
            yield b"x"
            await asyncio.sleep(0.05)

    async def pieces():
        yield b"x" * 1_000_000  # buys more time than the wait takes
        await asyncio.sleep(1.1 * patience)
        yield b"x" * 1_000_000

    edge = Edge(Routes(app, {("POST", "/v1/jobs"): reads}), app, limited)
    async with client_of(edge) as client:
        dripped = await client.post("/v1/jobs", content=drops())
        assert (dripped.status_code, problem(dripped)["code"]) == (504, "timed_out")
        assert "faster connection" in dripped.json()["detail"]
        assert (await client.post("/v1/jobs", content=pieces())).json() == {"bytes": 2_000_000}
