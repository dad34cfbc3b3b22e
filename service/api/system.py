"""How the service is: `/health` for people, `/livez` and `/readyz` for probes, `/metrics` for Prometheus."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import psutil
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from service import __version__
from service.api.backend import Backend, backend_of
from service.api.documented import problem_responses, routes_about
from service.api.problems import ProblemError
from service.api.schemas import About, Dependencies, Health, Status, System, json_response
from service.observability import metrics
from service.pipelines.media import Tools
from service.runners import State

ASK_AT_MOST_EVERY_SECONDS = 1.0
TIME_LIMIT_SECONDS = 2.0
NEEDED = ("text", "speech", "face", "detector")
"""Without one of these the service is not ready; without a transcript it answers all the same."""

Answer = TypeVar("Answer")

router = routes_about("system")


class Probe:
    """Asks the dependencies, at most once a second whoever wants to know."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = asyncio.Lock()
        self._asked = float("-inf")
        self._found: Dependencies | None = None

    async def dependencies(self, backend: Backend) -> Dependencies:
        """What each dependency answered last, no longer ago than a second."""
        async with self._lock:
            if self._found is None or self._clock() - self._asked >= ASK_AT_MOST_EVERY_SECONDS:
                self._found = await _ask(backend)
                self._asked = self._clock()
            return self._found


@router.get("/health", response_model=Health, responses={503: {"model": Health, "description": "Unhealthy."}})
async def get_health(request: Request) -> Response:
    """How the service and everything that it stands on is."""
    backend = backend_of(request)
    health = _health(backend, await request.app.state.probe.dependencies(backend))
    return json_response(health, 503 if health.status == "unhealthy" else 200)


@router.get("/livez", response_class=Response, responses={200: {"description": "The process lives."}})
async def get_livez() -> Response:
    """Whether the process lives."""
    return Response()


@router.get(
    "/readyz",
    response_class=Response,
    responses={200: {"description": "Every model answers."}, **problem_responses("not_ready")},
)
async def get_readyz(request: Request) -> Response:
    """Whether requests may be sent here."""
    backend = backend_of(request)
    backend.require_tools()
    found = await request.app.state.probe.dependencies(backend)
    waiting = [name for name in NEEDED if found.runners.get(name) != "healthy"]
    waiting += ["decoder"] if found.decoder != "healthy" else []
    if waiting:
        raise ProblemError("not_ready", f"These do not answer yet: {', '.join(waiting)}.")
    return Response()


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"description": "Prometheus text.", "content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def get_metrics() -> Response:
    """Metrics of all processes, for Prometheus."""
    return Response(await run_in_threadpool(metrics.scrape), headers={"Content-Type": metrics.CONTENT_TYPE})


async def _ask(backend: Backend) -> Dependencies:
    tools = backend.tools
    if tools is None:
        return Dependencies(models="unhealthy", decoder="unhealthy", runners=dict.fromkeys(NEEDED, "starting"))
    runners, decoder = await asyncio.gather(_runners(tools), _decoder(tools))
    return Dependencies(models=_together(runners, tools), decoder=decoder, runners=runners)


async def _runners(tools: Tools) -> dict[str, State]:
    silent: dict[str, State] = dict.fromkeys(tools.models.info, "unhealthy")
    return await _within_limit(tools.models.health(), silent)


async def _decoder(tools: Tools) -> Status:
    return "healthy" if await _within_limit(tools.decoder.healthy(), False) else "unhealthy"


async def _within_limit(answer: Awaitable[Answer], otherwise: Answer) -> Answer:
    try:
        return await asyncio.wait_for(answer, TIME_LIMIT_SECONDS)
    except (asyncio.TimeoutError, TimeoutError):
        return otherwise


def _together(runners: dict[str, State], tools: Tools) -> Status:
    wanted = {*NEEDED, *runners, *(["transcript"] if tools.settings.transcript_model != "off" else [])}
    well = [name for name in wanted if runners.get(name) == "healthy"]
    if len(well) == len(wanted):
        return "healthy"
    return "degraded" if well else "unhealthy"


def _health(backend: Backend, dependencies: Dependencies) -> Health:
    states: set[Status] = {dependencies.models, dependencies.decoder}
    status: Status = "healthy" if states == {"healthy"} else "degraded"
    if dependencies.models == "unhealthy":
        status = "unhealthy"
    return Health(
        status=status,
        timestamp=time.time(),
        uptime_seconds=round(time.time() - backend.started, 3),
        system=System(
            cpu_percent=psutil.cpu_percent(),
            memory_percent=psutil.virtual_memory().percent,
            disk_percent=psutil.disk_usage(str(backend.folder.path.parent)).percent,
        ),
        api=About(version=__version__, environment=backend.settings.environment),
        dependencies=dependencies,
    )
