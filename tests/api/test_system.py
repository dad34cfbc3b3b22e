from __future__ import annotations

import asyncio
from types import SimpleNamespace

import psutil
import pytest

from service.api import application, system
from service.api.edge import Edge
from service.api.system import NEEDED, Probe
from tests.api.conftest import client_of


class Tools:
    """Dependencies that answer as they are told, and count how often they are asked."""

    def __init__(
        self,
        states: dict[str, str],
        decoder: bool = True,
        delay: float = 0.0,
        problems: dict[str, str] | None = None,
    ) -> None:
        self.asked = 0
        self.settings = SimpleNamespace(transcript_model="auto")
        self.models = SimpleNamespace(info=dict.fromkeys(states), health=self._health, problems=problems or {})
        self.decoder = SimpleNamespace(healthy=self._decoder)
        self._states, self._well, self._delay = states, decoder, delay

    async def _health(self) -> dict[str, str]:
        self.asked += 1
        await asyncio.sleep(self._delay)
        return self._states

    async def _decoder(self) -> bool:
        return self._well


WELL = dict.fromkeys((*NEEDED, "transcript"), "healthy")


async def status(app, client, tools) -> tuple[int, str, int]:
    """The status of /health and its code, and the code of /readyz."""
    app.state.backend.tools = tools
    app.state.probe = Probe()
    health, ready = await client.get("/health"), await client.get("/readyz")
    return health.status_code, health.json()["status"], ready.status_code


@pytest.mark.parametrize(
    ("tools", "expected"),
    [
        (Tools(WELL), (200, "healthy", 200)),
        (Tools({name: WELL[name] for name in NEEDED}), (200, "degraded", 200)),
        (Tools({**WELL, "face": "unhealthy"}), (200, "degraded", 503)),
        (Tools({**WELL, "face": "starting"}), (200, "degraded", 503)),
        (Tools(WELL, decoder=False), (200, "degraded", 503)),
        (Tools(dict.fromkeys(WELL, "unhealthy")), (503, "unhealthy", 503)),
    ],
)
async def test_what_is_missing_decides_the_status(app, client, tools, expected):
    assert await status(app, client, tools) == expected


async def test_a_dependency_that_does_not_answer_is_unhealthy(app, client, monkeypatch):
    monkeypatch.setattr(system, "TIME_LIMIT_SECONDS", 0.05)
    assert await status(app, client, Tools(WELL, delay=60)) == (503, "unhealthy", 503)


async def test_while_the_models_load_it_is_not_ready_but_alive(client):
    assert (await client.get("/readyz")).json()["code"] == "not_ready"
    assert (await client.get("/health")).status_code == 503
    assert (await client.get("/livez")).status_code == 200


async def test_readiness_names_what_does_not_answer(app, client):
    broken = "The face model cannot be loaded: face.onnx is not the file that models/registry.toml names."
    app.state.backend.tools = Tools({**WELL, "face": "unhealthy"}, decoder=False, problems={"face": broken})
    detail = (await client.get("/readyz")).json()["detail"]
    assert detail == f"These do not answer yet: face, decoder. {broken} The decoder does not answer."
    assert (await client.get("/health")).json()["problems"] == [broken, "The decoder does not answer."]


async def test_readiness_tells_only_of_what_is_waited_for(app, client):
    absent = "The transcript model cannot be loaded: the face model and the decoder have nothing to do with it."
    app.state.backend.tools = Tools(WELL, decoder=False, problems={"transcript": absent})
    detail = (await client.get("/readyz")).json()["detail"]
    assert detail == "These do not answer yet: decoder. The decoder does not answer."
    assert absent in (await client.get("/health")).json()["problems"]


async def test_what_could_not_be_started_is_named(app, client):
    app.state.backend.start_problem = "The service cannot be started: vocab.json is missing."
    assert (await client.get("/readyz")).json()["detail"] == app.state.backend.start_problem
    assert app.state.backend.start_problem in (await client.get("/health")).json()["problems"]


async def test_a_database_that_fails_or_hangs_is_unhealthy_and_the_rest_is_not(app, client, monkeypatch):
    async def refuse():
        raise ConnectionRefusedError("postgres://user:secret@host")

    monkeypatch.setattr(system, "TIME_LIMIT_SECONDS", 0.05)
    app.state.backend.checks |= {"database": refuse, "queue": lambda: asyncio.sleep(60)}
    assert await status(app, client, Tools(WELL)) == (200, "degraded", 200)
    health = (await client.get("/health")).json()
    assert (health["dependencies"]["database"], health["dependencies"]["queue"]) == ("unhealthy", "unhealthy")
    assert health["dependencies"]["models"] == health["dependencies"]["decoder"] == "healthy"
    assert health["problems"] == [
        "The database does not answer: ConnectionRefusedError.",
        "The queue does not answer: no answer within 0.05 s.",
    ]
    app.state.backend.checks |= dict.fromkeys(("database", "queue"), lambda: asyncio.sleep(0))
    assert await status(app, client, Tools(WELL)) == (200, "healthy", 200)


async def test_a_disk_that_is_nearly_full_is_named(app, client, monkeypatch):
    real = psutil.disk_usage(str(app.state.backend.folder.path))
    full = real._replace(free=2 * app.state.backend.settings.max_body_bytes - 1)
    monkeypatch.setattr(system.psutil, "disk_usage", lambda _: full)
    assert await status(app, client, Tools(WELL)) == (200, "degraded", 200)
    health = (await client.get("/health")).json()
    assert health["dependencies"]["disk"] == "degraded"
    assert health["problems"][0] == "The disk of uploads is nearly full: 0 MB are free."


async def test_a_service_that_stops_is_alive_but_not_ready_and_takes_nothing_new(app, settings):
    backend = app.state.backend
    backend.tools = Tools(WELL)
    async with client_of(Edge(application.routes(app), app, settings, backend.lifecycle)) as client:
        backend.lifecycle.phase = "stopping"
        assert (await client.get("/readyz")).json()["code"] == "shutting_down"
        assert (await client.get("/docs.json")).status_code == 200
        backend.lifecycle.phase = "refusing"
        refused = await client.post("/v1/text", content=b"x" * 1000)
        assert (refused.status_code, refused.json()["code"]) == (503, "shutting_down")
        assert refused.headers["retry-after"] and refused.headers["connection"] == "close"
        assert (await client.get("/readyz")).json()["code"] == "shutting_down"
        assert (await client.get("/livez")).status_code == 200
        assert "The service is shutting down." in (await client.get("/health")).json()["problems"]


async def test_dependencies_are_asked_at_most_once_a_second(app):
    now = [0.0]
    probe = Probe(clock=lambda: now[0])
    backend, tools = app.state.backend, Tools(WELL)
    backend.tools = tools
    await asyncio.gather(*(probe.findings(backend) for _ in range(20)))
    assert tools.asked == 1
    now[0] = 0.9
    await probe.findings(backend)
    assert tools.asked == 1
    now[0] = 1.0
    await probe.findings(backend)
    assert tools.asked == 2
