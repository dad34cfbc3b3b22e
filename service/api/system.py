"""How the service is: `/health` for people, `/livez` and `/readyz` for probes, `/metrics` for Prometheus."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
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
from service.observability.readings import Disk, Readings
from service.pipelines.media import Tools
from service.runners import State

ASK_AT_MOST_EVERY_SECONDS = 1.0
TIME_LIMIT_SECONDS = 2.0
ROOM_FOR_UPLOADS = 2
"""A disk that does not hold so many uploads of the largest size is nearly full."""
NEEDED = ("text", "speech", "face", "detector")
"""Without one of these the service is not ready; without a transcript it answers all the same."""

Answer = TypeVar("Answer")

log = logging.getLogger(__name__)

router = routes_about("system")


@dataclass(frozen=True)
class Findings:
    """What each dependency answered, and what is wrong, in sentences."""

    dependencies: Dependencies
    problems: tuple[str, ...] = ()
    causes: Mapping[str, str] = field(default_factory=dict)
    """Those of the problems that say why a model or the decoder does not answer, by its name."""


class Probe:
    """Asks the dependencies, at most once a second whoever wants to know."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = asyncio.Lock()
        self._asked = float("-inf")
        self._found: Findings | None = None

    async def findings(self, backend: Backend) -> Findings:
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
    health = _health(backend, await request.app.state.probe.findings(backend))
    return json_response(health, 503 if health.status == "unhealthy" else 200)


@router.get("/livez", response_class=Response, responses={200: {"description": "The process lives."}})
async def get_livez() -> Response:
    """Whether the process lives."""
    return Response()


@router.get(
    "/readyz",
    response_class=Response,
    responses={200: {"description": "Every model answers."}, **problem_responses("not_ready", "shutting_down")},
)
async def get_readyz(request: Request) -> Response:
    """Whether requests may be sent here."""
    backend = backend_of(request)
    if backend.lifecycle.stops:
        raise ProblemError("shutting_down", "The service is shutting down.")
    backend.require_tools()
    found = await request.app.state.probe.findings(backend)
    waiting = _awaited(found.dependencies)
    if waiting:
        why = [found.causes[name] for name in waiting if name in found.causes]
        raise ProblemError("not_ready", " ".join([f"These do not answer yet: {', '.join(waiting)}.", *why]))
    return Response()


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"description": "Prometheus text.", "content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def get_metrics(request: Request) -> Response:
    """Metrics of all processes, for Prometheus."""
    backend = backend_of(request)
    found = await request.app.state.probe.findings(backend)
    now = Readings(
        ready=_is_ready(backend, found),
        dependencies=_answering(found.dependencies),
        disks=await run_in_threadpool(_disks, backend),
        jobs=await _within_limit(backend.jobs.waiting(), None),
    )
    return Response(await run_in_threadpool(metrics.scrape, now), headers={"Content-Type": metrics.CONTENT_TYPE})


def _awaited(dependencies: Dependencies) -> list[str]:
    """What has to answer before requests may come, and does not."""
    waiting = [name for name in NEEDED if dependencies.runners.get(name) != "healthy"]
    return waiting + (["decoder"] if dependencies.decoder != "healthy" else [])


def _is_ready(backend: Backend, found: Findings) -> bool:
    return not (backend.lifecycle.stops or backend.tools is None or _awaited(found.dependencies))


def _answering(dependencies: Dependencies) -> dict[str, bool]:
    """By name, whether each dependency in use is healthy."""
    named: dict[str, Status | State | None] = {
        "database": dependencies.database,
        "queue": dependencies.queue,
        "decoder": dependencies.decoder,
        "disk": dependencies.disk,
        **dependencies.runners,
    }
    return {name: status == "healthy" for name, status in named.items() if status is not None}


async def _ask(backend: Backend) -> Findings:
    """Everything at once, each with its time limit."""
    models, decoder, disk, others = await asyncio.gather(
        _models(backend), _decoder(backend.tools), run_in_threadpool(_full_disks, backend), _others(backend)
    )
    (together, runners, causes), problems = models, []
    if backend.lifecycle.stops:
        problems.append("The service is shutting down.")
    if decoder != "healthy" and backend.tools is not None:
        causes = {**causes, "decoder": "The decoder does not answer."}
    problems += [*causes.values(), *disk]
    problems += [f"The {name} does not answer: {error}." for name, error in others.items() if error]
    states: dict[str, Status] = {name: "unhealthy" if error else "healthy" for name, error in others.items()}
    dependencies = Dependencies(
        database=states.get("database"),
        queue=states.get("queue"),
        models=together,
        decoder=decoder,
        disk="degraded" if disk else "healthy",
        runners=runners,
    )
    return Findings(dependencies, tuple(problems), causes)


async def _models(backend: Backend) -> tuple[Status, dict[str, State], dict[str, str]]:
    """All models together, each by name, and what is wrong with which of them."""
    tools = backend.tools
    if tools is None:
        why = backend.start_problem or "The models are being loaded."
        return "unhealthy", dict.fromkeys(NEEDED, "starting"), {"models": why}
    silent: dict[str, State] = dict.fromkeys(tools.models.info, "unhealthy")
    runners = await _within_limit(tools.models.health(), silent)
    causes = dict(tools.models.problems)
    if "transcript" not in runners and tools.settings.transcript_model != "off":
        causes["transcript"] = "No transcription weights are installed, so nothing is transcribed."
    return _together(runners, tools), runners, causes


async def _decoder(tools: Tools | None) -> Status:
    return "healthy" if tools and await _within_limit(tools.decoder.healthy(), False) else "unhealthy"


async def _others(backend: Backend) -> dict[str, str | None]:
    """By name, how each of the `checks` failed; None for one that passed."""
    answers = await asyncio.gather(*(_failure(check) for check in backend.checks.values()))
    return dict(zip(backend.checks, answers, strict=True))


async def _failure(check: Callable[[], Awaitable[None]]) -> str | None:
    """How a check failed. The kind of the error alone: its text may name hosts and users."""
    try:
        await asyncio.wait_for(check(), TIME_LIMIT_SECONDS)
    except (asyncio.TimeoutError, TimeoutError):
        return f"no answer within {TIME_LIMIT_SECONDS:g} s"
    except Exception as error:  # a dependency fails in its own way
        log.warning("a dependency is unwell: %r", error)
        return type(error).__name__
    return None


def _folders(backend: Backend) -> dict[str, Path]:
    """Where something is written, each maybe a disk of its own."""
    settings = backend.settings
    return {
        "uploads": backend.folder.path.parent,
        "state": settings.state_folder,
        "jobs": settings.jobs_folder or settings.state_folder,
    }


def _disks(backend: Backend) -> dict[str, Disk]:
    usages = {name: psutil.disk_usage(str(_existing(folder))) for name, folder in _folders(backend).items()}
    return {name: Disk(usage.free, usage.total) for name, usage in usages.items()}


def _full_disks(backend: Backend) -> list[str]:
    """One sentence a disk on which the next uploads may not fit."""
    needed = ROOM_FOR_UPLOADS * backend.settings.max_body_bytes
    room = {"uploads": needed, "state": needed, "jobs": backend.settings.min_free_bytes}
    return [
        f"The disk of {'what is kept' if name == 'state' else name} is nearly full: {disk.free / 1e6:.0f} MB are free."
        for name, disk in _disks(backend).items()
        if disk.free < room[name]
    ]


def _existing(folder: Path) -> Path:
    """The folder, or the nearest above it that exists."""
    return folder if folder.exists() else _existing(folder.parent)


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


def _health(backend: Backend, found: Findings) -> Health:
    well = found.dependencies.models == "healthy" and not found.problems
    status: Status = "healthy" if well else "degraded"
    if found.dependencies.models == "unhealthy":
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
        dependencies=found.dependencies,
        problems=found.problems,
    )
