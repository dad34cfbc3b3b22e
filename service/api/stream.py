"""`WS /v1/stream`: a webcam, a microphone or typed words as they happen, and verdicts as they come.

One conversation is one WebSocket. Whatever ends it ends its session, its decoding process and its place at once.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

import anyio
import orjson
from anyio.abc import TaskGroup
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from service.access import use
from service.access.door import client_of
from service.api.backend import Backend
from service.api.documented import problem_responses, routes_about
from service.api.history import check_store, keep
from service.api.json_in import json_object
from service.api.messages import (
    PICTURE,
    SOUND,
    TIMESTAMP_BYTES,
    StreamError,
    StreamLimits,
    StreamReady,
    StreamStart,
    StreamStop,
    StreamSummary,
    StreamText,
    StreamWarning,
    message_names,
    read_message,
    start_of,
)
from service.api.problems import ProblemError, invalid, problem_of
from service.api.sockets import REFUSED
from service.api.text import check_length
from service.domain.analysis import Analysis
from service.domain.labels import Modality
from service.media import TooLarge
from service.observability import metrics
from service.pipelines.analyze import check_language
from service.pipelines.live import Event, Frame, Result, Session, Start, Trouble
from service.pipelines.media import Tools
from service.pipelines.sets import check_coverage
from service.settings import Settings

PATH = "/v1/stream"
BURST_SECONDS = 2.0
GOOD_BYE_SECONDS = 5.0
"""A client that does not take the last words within this does not want them."""

MAX_MILLISECONDS = 1 << 53
"""Timestamps up to here; more is not a clock."""

log = logging.getLogger(__name__)

router = routes_about("stream")

DESCRIPTION = """\
A WebSocket. The client sends `StreamStart` as a text message, then frames: binary messages whose first byte is 1 for a
JPEG or WebP picture and 2 for 16-bit little-endian mono PCM, and text messages `StreamText`; at the end `StreamStop`.
The service sends `StreamReady`, then `StreamResult`, `StreamTranscript` and `StreamWarning` as things happen, and
`StreamSummary` at the end; `StreamError` before it closes for a reason of its own, with the code 4000 plus the status
of the problem. The newest picture wins: one that waits is replaced by the next and counted in `dropped`. Sound is never
dropped: who sends it faster than it is heard has to wait. A handshake that is refused is answered with a Problem."""


def _documented() -> dict[str, Any]:
    heard, told = message_names()
    return {
        "x-websocket": {
            "client": [{"$ref": f"#/components/schemas/{name}"} for name in heard],
            "service": [{"$ref": f"#/components/schemas/{name}"} for name in told],
        }
    }


@router.get(
    PATH,
    response_class=Response,
    status_code=426,
    responses={
        101: {"description": "The WebSocket is open; messages as under `x-websocket`."},
        **problem_responses("upgrade_required", "overloaded", "rate_limited", "not_ready", "shutting_down"),
    },
    openapi_extra=_documented(),
)
async def get_stream(request: Request) -> Response:
    """A live stream of pictures, sound and texts, by WebSocket."""
    headers = {"Upgrade": "websocket", "Connection": "Upgrade"}
    raise ProblemError("upgrade_required", "This route speaks WebSocket: connect with a client of it.", headers=headers)


async def stream(websocket: WebSocket) -> None:
    """Hold one conversation. Raises `ProblemError` as long as the handshake is not answered."""
    backend: Backend = websocket.app.state.backend
    tools = backend.require_tools()
    with backend.streams.of(client_of(websocket.scope)):
        await websocket.accept()
        await Conversation(websocket, backend, tools).run()


router.routes.append(WebSocketRoute(PATH, stream))


_SHUTTING_DOWN = ProblemError("shutting_down", "The service is shutting down; connect again.")


class Closed(Exception):
    """The client is gone."""


@dataclass
class Rate:
    """A token bucket: so many frames a second, averaged over `BURST_SECONDS`."""

    per_second: float
    tokens: float = 0.0
    since: float = float("-inf")

    def take(self, now: float) -> bool:
        """Whether one more frame may come now (monotonic seconds)."""
        full = self.per_second * BURST_SECONDS
        self.tokens = min(full, self.tokens + (now - self.since) * self.per_second)
        self.since = now
        self.tokens -= 1
        return self.tokens >= 0


class Conversation:
    """One open WebSocket and its session."""

    def __init__(self, websocket: WebSocket, backend: Backend, tools: Tools) -> None:
        self._websocket = websocket
        self._asker = cast("Request", websocket)  # application and caller are found the same way
        self._settings: Settings = backend.settings
        self._lifecycle = backend.lifecycle
        self._tools = tools
        self._request_id: str = websocket.scope.get("request_id", "")
        self._rate = Rate(self._settings.stream_frames_per_second)
        self._sending = asyncio.Lock()
        self._ends_at = time.monotonic() + self._settings.stream_total_seconds
        self._ending = asyncio.ensure_future(backend.lifecycle.ending.wait())
        self._group: TaskGroup | None = None

    def stop(self) -> None:
        """The service can't wait any longer: end without a summary."""
        if self._group is not None:
            self._group.cancel_scope.cancel()

    async def run(self) -> None:
        """Talk until one of the two sides ends it."""
        self._lifecycle.enter(self)
        try:
            await self._close(1000, await self._converse())
        except BaseException as error:
            cause = _cause(error)
            if not isinstance(cause, Exception):
                raise
            if not isinstance(cause, Closed):
                await self._refuse(cause)
        finally:
            self._ending.cancel()
            self._lifecycle.exit(self)

    async def _converse(self) -> ProblemError | None:
        """From `start` to `summary`; the reason of an end that the client did not ask for."""
        start = await self._read_start()
        session = Session(start, self._tools, self._tell)
        try:
            await self._send(self._ready())
            reason: ProblemError | None = _SHUTTING_DOWN
            async with anyio.create_task_group() as group:
                self._group = group
                reason = await self._through(session, group)
                group.cancel_scope.cancel()
            return reason
        finally:
            self._group = None
            metrics.stream_pictures("dropped", session.dropped)
            await session.close()

    async def _through(self, session: Session, group: TaskGroup) -> ProblemError | None:
        workers = [asyncio.Event() for _ in range(3)]
        for work, done in zip((session.watch, session.listen, session.read), workers, strict=True):
            group.start_soon(_run, work, done)
        reason = await self._listen(session)
        if reason is not None:
            await self._send(StreamError(self._problem(reason)))
        group.start_soon(self._await_leaving)
        summary = await self._finish(session, workers)
        if self._start.options.store:
            (summary,) = await keep([summary], self._asker)
        metrics.predicted(summary)
        await self._send(StreamSummary(summary, session.dropped))
        return reason

    async def _finish(self, session: Session, workers: list[asyncio.Event]) -> Analysis:
        """What waits is still worked on, for as long as that may take."""
        limit = self._settings.stream_summary_seconds
        try:
            with anyio.fail_after(limit):
                await session.end_input()
                for done in workers:
                    await done.wait()
                return await session.finish()
        except TimeoutError:
            raise ProblemError("timed_out", f"The summary took longer than {limit:g} s.") from None

    async def _listen(self, session: Session) -> ProblemError | None:
        """Take what comes until `stop`; or why it ends without, with what came so far."""
        while True:
            message = await self._receive()
            if isinstance(message, ProblemError):
                return message
            try:
                if isinstance(message, bytes):
                    await self._take(message, session)
                elif await self._hear(message, session):
                    return None
            except TooLarge as error:
                return problem_of(error)

    async def _hear(self, message: dict[str, Any], session: Session) -> bool:
        """Take a text in; whether the message says instead that nothing more comes."""
        said = read_message(message)
        if isinstance(said, StreamStart):
            raise invalid("/type", "The stream has started already.")
        if isinstance(said, StreamText):
            check_length(said.text, self._settings)
            await session.text(said.text, Frame(b"", said.captured, time.monotonic()))
        return isinstance(said, StreamStop)

    async def _take(self, data: bytes, session: Session) -> None:
        frame = self._frame(data)
        if data[0] == PICTURE and "face" in self._start.modalities:
            session.picture(frame)
        elif data[0] == SOUND and "speech" in self._start.modalities:
            await session.sound(frame)
        elif data[0] in (PICTURE, SOUND):
            raise invalid("/modalities", "`start` did not name the modality of this frame.")
        else:
            raise invalid("", f"A frame begins with {PICTURE} (picture) or {SOUND} (sound), not with {data[0]}.")

    def _frame(self, data: bytes) -> Frame:
        head = 1 + (TIMESTAMP_BYTES if self._start.timestamps else 0)
        if len(data) <= head:
            raise invalid("", "The frame is empty.")
        captured = int.from_bytes(data[1:head], "big") if self._start.timestamps else None
        if captured is not None and captured > MAX_MILLISECONDS:
            raise invalid("", "The timestamp of a frame is not a time in milliseconds.")
        return Frame(data[head:], captured, time.monotonic())

    async def _read_start(self) -> Start:
        message = await self._receive()
        if isinstance(message, ProblemError):
            raise message
        said = read_message(message) if isinstance(message, dict) else None
        if not isinstance(said, StreamStart):
            raise invalid("/type", "The first message must be a `start`.")
        assert isinstance(message, dict)
        self._start = start_of(said, message)
        use.check(self._start.modalities, self._settings.use)
        check_store(self._start.options, self._asker)
        spoken = ("speech", "transcript") if "speech" in self._start.modalities else ("text",)
        check_language(self._start.options, self._tools.models, spoken)
        words: tuple[Modality, ...] = ("text",) if "speech" in self._start.modalities else ()
        check_coverage(self._start.options, self._tools.models, {*self._start.modalities, *words})
        return self._start

    async def _receive(self) -> dict[str, Any] | bytes | ProblemError:
        """The next message; or why there is none, when time is up or the service stops. Raises `Closed`."""
        left = self._ends_at - time.monotonic()
        received = asyncio.ensure_future(self._websocket.receive())
        try:
            timeout = max(0.0, min(left, self._settings.stream_idle_seconds))
            await asyncio.wait([received, self._ending], timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            if received.done() and not self._ending.done() and left > 0:
                return self._read(received.result())
            return self._why_over(total=left <= self._settings.stream_idle_seconds)
        finally:
            received.cancel()

    def _why_over(self, *, total: bool) -> ProblemError:
        settings = self._settings
        if self._ending.done():
            return _SHUTTING_DOWN
        if total:
            return ProblemError("timed_out", f"A stream lasts {settings.stream_total_seconds:g} s; start another.")
        return ProblemError("timed_out", f"Nothing was sent for {settings.stream_idle_seconds:g} s.")

    def _read(self, message: Any) -> dict[str, Any] | bytes:
        if message["type"] == "websocket.disconnect":
            raise Closed
        if not self._rate.take(time.monotonic()):
            rate = self._settings.stream_frames_per_second
            raise ProblemError("rate_limited", f"A stream may send {rate:g} frames a second; gather sound into fewer.")
        data, text = message.get("bytes"), message.get("text")
        if len(data or text or "") > self._settings.stream_frame_bytes:
            limit = self._settings.stream_frame_bytes / 1e6
            raise ProblemError("too_large", f"A frame has at most {limit:g} MB.")
        return data or b"" if text is None else json_object(text, "message")

    async def _await_leaving(self) -> None:
        """What comes after the end is ignored, but a client that leaves is noticed."""
        while (await self._websocket.receive())["type"] != "websocket.disconnect":
            pass
        raise Closed

    async def _tell(self, event: Event) -> None:
        if isinstance(event, Trouble):
            problem = problem_of(event.error)
            metrics.stream_pictures("refused", 1)
            await self._send(StreamWarning(problem.kind.code, problem.detail))
            return
        if isinstance(event, Result):
            metrics.stream_answered(event.source, event.latency)
        await self._send(event)

    async def _send(self, message: Any) -> None:
        """Send one message; a client that is slow to read holds up the session, and one that stops reading ends it."""
        text = orjson.dumps(message, option=orjson.OPT_SERIALIZE_NUMPY).decode()
        try:
            async with self._sending:
                await asyncio.wait_for(self._websocket.send_text(text), self._settings.stream_idle_seconds)
        except (OSError, WebSocketDisconnect, RuntimeError, asyncio.TimeoutError) as error:
            raise Closed from error

    async def _refuse(self, error: Exception) -> None:
        """Say why, if somebody still hears it, and close."""
        problem = problem_of(error)
        if problem.kind.code == "internal":
            log.error("unforeseen error", exc_info=error, extra={"fields": {"request_id": self._request_id}})
        with suppress(Closed, asyncio.TimeoutError):
            await asyncio.wait_for(self._send(StreamError(self._problem(problem))), GOOD_BYE_SECONDS)
        await self._close(1011, problem)

    async def _close(self, code: int, problem: ProblemError | None) -> None:
        reason = ""
        if problem is not None:
            code, reason = REFUSED + problem.kind.status, problem.kind.code
        with suppress(OSError, RuntimeError, WebSocketDisconnect, asyncio.TimeoutError):
            await asyncio.wait_for(self._websocket.close(code, reason), GOOD_BYE_SECONDS)

    def _problem(self, problem: ProblemError) -> Any:
        return problem.body(PATH, self._request_id)

    def _ready(self) -> StreamReady:
        settings = self._settings
        limits = StreamLimits(
            frames_per_second=settings.stream_frames_per_second,
            frame_bytes=settings.stream_frame_bytes,
            pictures_per_second=settings.stream_pictures_per_second,
            text_characters=settings.stream_text_characters,
            idle_seconds=settings.stream_idle_seconds,
            total_seconds=settings.stream_total_seconds,
        )
        names = {name: info.identifier for name, info in self._tools.models.info.items()}
        return StreamReady(self._request_id, limits, names)


async def _run(work: Callable[[], Awaitable[None]], done: asyncio.Event) -> None:
    await work()
    done.set()


def _cause(error: BaseException) -> BaseException:
    """What ended a group of tasks: that the client is gone, if it is, else what was raised first."""
    inner = getattr(error, "exceptions", None)
    if not inner:
        return error
    causes = [_cause(one) for one in inner]
    return next((cause for cause in causes if isinstance(cause, Closed)), causes[0])
