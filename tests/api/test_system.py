from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from service.api import system
from service.api.system import NEEDED, Probe


class Tools:
    """Dependencies that answer as they are told, and count how often they are asked."""

    def __init__(self, states: dict[str, str], decoder: bool = True, delay: float = 0.0) -> None:
        self.asked = 0
        self.settings = SimpleNamespace(transcript_model="auto")
        self.models = SimpleNamespace(info=dict.fromkeys(states), health=self._health)
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
    app.state.backend.tools = Tools({**WELL, "face": "unhealthy"}, decoder=False)
    assert (await client.get("/readyz")).json()["detail"] == "These do not answer yet: face, decoder."


async def test_dependencies_are_asked_at_most_once_a_second(app):
    now = [0.0]
    probe = Probe(clock=lambda: now[0])
    backend, tools = app.state.backend, Tools(WELL)
    backend.tools = tools
    await asyncio.gather(*(probe.dependencies(backend) for _ in range(20)))
    assert tools.asked == 1
    now[0] = 0.9
    await probe.dependencies(backend)
    assert tools.asked == 1
    now[0] = 1.0
    await probe.dependencies(backend)
    assert tools.asked == 2
