"""The server that BentoML's workers run, as ours: kept, recycled, and ended without dropping a request.

BentoML starts `uvicorn.Server` at the end of its worker program and has no switch for any of that; `install` puts
another class in its place, in worker processes alone.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import uvicorn
from bentoml._internal.context import server_context
from uvicorn.config import STARTUP_FAILURE

from service.heads import TimelyHeads, any_unheard, look_at
from service.keeper import Keeper, Line, close
from service.lifecycle import TICK_SECONDS, Lifecycle
from service.lifeline import Presence, die_with_parent
from service.observability import logs, metrics, tracing
from service.porter import Answering, plainly
from service.runners import ModelUnavailable
from service.settings import Settings

LOOK_EVERY_TICKS = 10
"""Uvicorn ticks ten times a second; age, requests and memory are looked at once a second."""
ASK_AGAIN_SECONDS = 30.0
LAST_ANSWERS_SECONDS = 2
"""What uvicorn waits, after our own waiting, for answers to leave and connections to close."""
LOADING_SECONDS = 30.0

log = logging.getLogger("service.server")

Stop = Callable[[Lifecycle, Settings, Callable[[], bool]], Awaitable[None]]


WAITING_FRAMES = 4
"""Frames of a stream that may wait to be read, which is memory that a sender decides on."""


class KeptServer(uvicorn.Server):
    """Uvicorn's server, under a keeper."""

    def __init__(
        self, config: uvicorn.Config, lifecycle: Lifecycle, settings: Settings, stop: Stop, answering: Answering
    ) -> None:
        config.timeout_keep_alive = settings.keep_alive_seconds
        config.timeout_graceful_shutdown = LAST_ANSWERS_SECONDS
        # Ours refuses a frame over its limit with a Problem; the protocol's own limits are there for what is far over.
        config.ws_max_size = 2 * settings.stream_frame_bytes
        config.ws_max_queue = WAITING_FRAMES
        config.http = partial(TimelyHeads, answering=answering)  # type: ignore[assignment]
        super().__init__(config)
        self._lifecycle = lifecycle
        self._settings = settings
        self._stop = stop
        self._answering = answering
        self._leaves = False
        self._serving: Presence | None = None
        self._began = self._asked = float("-inf")
        self._limit = _jittered(settings)
        self._age = settings.min_process_seconds * random.uniform(1.0, 1.2)

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve; on Linux in a child of this process, which becomes its keeper and ends with it."""
        die_with_parent()
        if sys.platform != "linux" or sockets is None:  # elsewhere libraries do not bear a fork
            super().run(sockets)
            return
        logs.configure(self._settings.log_level)
        patience = self._settings.drain_delay_seconds + self._settings.graceful_seconds
        work: Callable[[Line], None] = lambda line: self._work(line, sockets)  # noqa: E731
        Keeper(
            work,
            sockets,
            patience,
            clean_up=metrics.forget_the_dead,
            others_serve=_serving().anybody,
            answering=self._answering,
        ).run()
        if not gateways().anybody():  # the last one turns off the light
            close(sockets, self._answering)
        os._exit(0)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer, and tell the keeper."""
        tracing.start(self._settings, str(server_context.service_name))
        await super().startup(sockets)
        self._began = time.monotonic()
        line = current_line()
        if line is not None and self.started:
            self._serving = _serving()
            self._serving.enter()
            asyncio.get_running_loop().add_reader(line.socket, self._on_word, line)
            line.say_ready()

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: whether to end."""
        if counter % LOOK_EVERY_TICKS == 0:
            self._consider_leaving()
            now = asyncio.get_running_loop().time()
            settings = self._settings
            look_at(self.server_state.connections, now, settings.head_seconds, settings.request_timeout_seconds)
        return await super().on_tick(counter) or self._leaves

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the way that the phase asks for."""
        if self._leaves and not self.should_exit:
            for server in self.servers:
                server.close()
            if self._serving is not None:
                self._serving.leave()
            longest = max(self._settings.request_timeout_seconds, self._settings.stream_total_seconds)
            connections = self.server_state.connections
            await self._race(self._lifecycle.leave(connections, self._settings.graceful_seconds, longest))
        if self.should_exit:
            await self._stop(self._lifecycle, self._settings, lambda: self.force_exit)
            await self._hear_newcomers()
        await super().shutdown(sockets)
        await asyncio.to_thread(tracing.stop)

    async def _hear_newcomers(self) -> None:
        """Take no new connections, and wait a while for the first request of those that were taken.

        Who is still in the queue hears from the keeper.
        """
        for server in self.servers:
            server.close()
        deadline = time.monotonic() + LAST_ANSWERS_SECONDS
        await asyncio.sleep(TICK_SECONDS)  # what was accepted already becomes a connection
        while any_unheard(self.server_state.connections) and not self.force_exit and time.monotonic() < deadline:
            await asyncio.sleep(TICK_SECONDS)

    async def _race(self, leaving: Any) -> None:
        """Leave, unless the whole service is told to stop meanwhile."""
        task = asyncio.ensure_future(leaving)
        while not task.done() and not self.should_exit:
            await asyncio.wait([task], timeout=TICK_SECONDS)
        task.cancel()

    def _work(self, line: Line, sockets: list[socket.socket]) -> None:
        global _line  # noqa: PLW0603 (a process has one keeper)
        _line = line
        super().run(sockets)
        if not self.started:
            raise SystemExit(STARTUP_FAILURE)

    def _on_word(self, line: Line) -> None:
        if not line.socket.recv(16):
            asyncio.get_running_loop().remove_reader(line.socket)  # the keeper is gone; the kernel tells us to stop
            return
        self._leaves = True

    def _consider_leaving(self) -> None:
        now, line = time.monotonic(), current_line()
        if line is None or now - self._began < self._age or now - self._asked < ASK_AGAIN_SECONDS:
            return
        reason = self._reason_to_leave()
        if reason is not None:
            self._asked = now
            log.info("asks for a successor: %s", reason)
            line.ask_for_successor()

    def _reason_to_leave(self) -> str | None:
        answered, held = self._lifecycle.answered, psutil.Process().memory_info().rss
        if self._limit and answered >= self._limit:
            return f"{answered} requests answered"
        if self._settings.worker_memory_bytes and held > self._settings.worker_memory_bytes:
            return f"{held / 1e6:.0f} MB held"
        return None


_line: Line | None = None


def current_line() -> Line | None:
    """This process's way to its keeper; None without one."""
    return _line


def is_successor() -> bool:
    """Whether another process answers until this one does."""
    return _line is not None and _line.birth == "successor"


def insist(problems: Mapping[str, str]) -> None:
    """In a successor nothing may be missing; else the one before it stays. Raises `ModelUnavailable`."""
    for model, problem in problems.items():
        if is_successor():
            raise ModelUnavailable(model, problem)


def install(lifecycle: Lifecycle, settings: Settings, stop: Stop, answering: Answering = plainly) -> None:
    """In a worker process of BentoML, have it run our server; elsewhere do nothing.

    `answering` makes what callers hear while no worker takes them.
    """
    if server_context.worker_index is None:
        return

    def make(config: uvicorn.Config) -> KeptServer:
        return KeptServer(config, lifecycle, settings, stop, answering)

    uvicorn.Server = make  # type: ignore[assignment,misc]


async def stop_gateway(lifecycle: Lifecycle, settings: Settings, hurry: Callable[[], bool]) -> None:
    """Drain: not ready, then refusing, then gone."""
    await lifecycle.stop(settings.drain_delay_seconds, settings.graceful_seconds, hurry)


async def stop_runner(lifecycle: Lifecycle, settings: Settings, hurry: Callable[[], bool]) -> None:
    """Go on as if nothing had happened until no gateway is left that might ask."""
    presence = gateways()
    deadline = time.monotonic() + settings.drain_delay_seconds + settings.graceful_seconds + LAST_ANSWERS_SECONDS
    while not hurry() and time.monotonic() < deadline and (presence.anybody() or lifecycle.busy):
        await asyncio.sleep(TICK_SECONDS)


def say_present() -> None:
    """Tell the runners of this server that a gateway is there, for as long as this process lives."""
    if metrics.MULTIPROCESS_FOLDER in os.environ:
        gateways().enter()


async def replacement(loading: asyncio.Task[None]) -> None:
    """In a process that takes another's place, wait for the models before the first connection is taken.

    A successor that cannot load raises what loading raised, and the one before it stays. After a crash there is nobody
    to stay: then the wait has an end, and callers hear what is missing.
    """
    line = current_line()
    if line is None or line.birth == "first":
        return
    if is_successor():
        await loading
    else:
        await asyncio.wait([loading], timeout=LOADING_SECONDS)


def _serving() -> Presence:
    """Where the workers of this service are present while they take connections, for keepers that have none."""
    return Presence(Path(os.environ[metrics.MULTIPROCESS_FOLDER]) / f"serving-{server_context.service_name}")


def gateways() -> Presence:
    """Where gateways are present, for the runners of the same server."""
    return Presence(Path(os.environ[metrics.MULTIPROCESS_FOLDER]) / "gateways")


def _jittered(settings: Settings) -> int:
    if not settings.max_requests:
        return 0
    return max(1, settings.max_requests + random.randint(-settings.max_requests_jitter, settings.max_requests_jitter))
