"""A live stream to the service: pictures, sound and texts go up as they happen, verdicts come down as they are ready.

>>> async with AsyncStream(modalities=["face"]) as stream:
...     await stream.picture(jpeg)
...     await stream.stop()
...     async for event in stream:
...         print(event)

`Stream` is the same without asyncio; read its events in one thread and send from another. The iteration ends after the
summary. If the service ended the stream for a reason of its own, it then raises that `Problem`.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Annotated, Any, Literal

import httpx
from pydantic import Field, TypeAdapter, ValidationError
from typing_extensions import Self
from websockets.asyncio.client import ClientConnection as AsyncConnection
from websockets.asyncio.client import connect as connect_async
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.sync.client import ClientConnection as Connection
from websockets.sync.client import connect

from ui import problems
from ui.answers import Analysis, Face, Modality, Sentiment, TranscriptSegment
from ui.client.address import CONNECT_SECONDS, LOOPBACK, Address, address
from ui.problems import ServiceError, UnexpectedAnswer, Unreachable

PATH = "/v1/stream"
PICTURE, SOUND = b"\x01", b"\x02"
MAX_MESSAGE_BYTES = 1 << 24
CLOSE_SECONDS = 2.0
"""A service that does not answer a close by then is not waited for."""


@dataclass(frozen=True)
class StreamReady:
    """The service listens; `limits` are what it allows a stream."""

    type: Literal["ready"]
    request_id: str = ""
    limits: Mapping[str, float] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class StreamResult:
    """What one picture, some seconds of sound or one text say, fused with what else happened in the last seconds."""

    type: Literal["result"]
    sequence: int
    source: Modality
    time: float
    """Seconds of the stream."""
    latency: float
    """Seconds from capture to this result, as the service measured it."""
    sentiment: Sentiment
    emotions: Mapping[str, float] = field(default_factory=dict)
    modalities: Mapping[str, Sentiment] = field(default_factory=dict)
    contributions: Mapping[str, float] = field(default_factory=dict)
    faces: tuple[Face, ...] = ()
    dropped: int = 0
    """Pictures so far that gave way to newer ones."""
    captured: int | None = None
    """The milliseconds that were sent with it."""


@dataclass(frozen=True)
class StreamTranscript:
    """What was said in a stretch of speech."""

    type: Literal["transcript"]
    language: str = "en"
    segments: tuple[TranscriptSegment, ...] = ()


@dataclass(frozen=True)
class StreamWarning:
    """Something of the stream is lost or uncertain, and it goes on."""

    type: Literal["warning"]
    code: str
    detail: str


@dataclass(frozen=True)
class StreamSummary:
    """The whole as one answer."""

    type: Literal["summary"]
    analysis: Analysis
    dropped: int = 0


@dataclass(frozen=True)
class _Error:
    type: Literal["error"]
    problem: Mapping[str, Any]


StreamEvent = StreamReady | StreamResult | StreamTranscript | StreamWarning | StreamSummary
_EVENT = TypeAdapter(Annotated[StreamEvent | _Error, Field(discriminator="type")])


@dataclass(frozen=True)
class Plan:
    """What a stream asks for."""

    modalities: Sequence[Modality]
    sample_rate: int = 16_000
    timestamps: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)

    def start(self) -> str:
        """The first message."""
        own = {"modalities": list(self.modalities), "sample_rate": self.sample_rate, "timestamps": self.timestamps}
        return json.dumps({"type": "start", **own, **self.options})

    def picture(self, data: bytes, captured: float | None) -> bytes:
        """A JPEG or WebP picture as a frame; `captured` is Unix time, now by default."""
        return PICTURE + self._timestamp(time.time() if captured is None else captured) + data

    def sound(self, samples: bytes, captured: float | None) -> bytes:
        """16-bit mono samples as a frame; `captured` is when the first was, by default as if the last were now."""
        lasted = len(samples) / 2 / self.sample_rate
        return SOUND + self._timestamp(time.time() - lasted if captured is None else captured) + samples

    def text(self, text: str, captured: float | None) -> str:
        """A text as a message."""
        when = {"captured": round(1000 * (time.time() if captured is None else captured))} if self.timestamps else {}
        return json.dumps({"type": "text", "text": text, **when})

    def _timestamp(self, seconds: float) -> bytes:
        return max(0, round(1000 * seconds)).to_bytes(8, "big") if self.timestamps else b""


STOP = json.dumps({"type": "stop"})


class AsyncStream:
    """One live stream, in an `async with`. Send from any task; iterate in one."""

    def __init__(
        self,
        base_url: str | Address | None = None,
        *,
        api_key: str | None = None,
        token: str | None = None,
        allow_plain_http: bool | None = None,
        modalities: Sequence[Modality] = ("face", "speech"),
        sample_rate: int = 16_000,
        timestamps: bool = True,
        **options: Any,
    ) -> None:
        """What is left out of address and key is read as by `AsyncClient`; `options` are those of every analysis.

        With `timestamps` each frame says when it was captured, so that latency counts from there.
        """
        self._where = _where(base_url, api_key, token, allow_plain_http)
        self._plan = Plan(modalities, sample_rate, timestamps, options)
        self._connection: AsyncConnection | None = None

    async def open(self) -> None:
        """Connect and say what will come. Raises `Problem` or `Unreachable`."""
        try:
            self._connection = await connect_async(_url(self._where), **_settings(self._where))
            await self._connection.send(self._plan.start())
        except (OSError, WebSocketException) as error:
            raise _failure(error, self._where) from error

    async def picture(self, data: bytes, captured: float | None = None) -> None:
        """Send a JPEG or WebP picture; if the last one still waits, this one takes its place."""
        await self._send(self._plan.picture(data, captured))

    async def sound(self, samples: bytes, captured: float | None = None) -> None:
        """Send 16-bit little-endian mono samples; waits while the service has too much to hear."""
        await self._send(self._plan.sound(samples, captured))

    async def text(self, text: str, captured: float | None = None) -> None:
        """Send a text."""
        await self._send(self._plan.text(text, captured))

    async def stop(self) -> None:
        """Say that nothing more comes; the summary follows."""
        await self._send(STOP)

    async def summary(self) -> Analysis:
        """Stop, and pass over everything up to the summary. Raises `Problem` if there is none."""
        await self.stop()
        found: Analysis | None = None
        async for event in self:
            found = event.analysis if isinstance(event, StreamSummary) else found
        return _there(found)

    async def aclose(self) -> None:
        """Be gone, with or without a summary."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def __aiter__(self) -> AsyncIterator[StreamEvent]:
        ending = _Ending()
        connection = self._opened()
        while True:
            try:
                message = await connection.recv()
            except ConnectionClosed as error:
                ending.judge(error)
                return
            event = ending.note(message)
            if event is not None:
                yield event

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.aclose()

    def _opened(self) -> AsyncConnection:
        if self._connection is None:
            raise RuntimeError("The stream is not open.")
        return self._connection

    async def _send(self, message: str | bytes) -> None:
        try:
            await self._opened().send(message)
        except ConnectionClosed as error:
            raise Unreachable("The stream is closed; its events say why.") from error


class Stream:
    """`AsyncStream` without asyncio, in a `with`."""

    def __init__(
        self,
        base_url: str | Address | None = None,
        *,
        api_key: str | None = None,
        token: str | None = None,
        allow_plain_http: bool | None = None,
        modalities: Sequence[Modality] = ("face", "speech"),
        sample_rate: int = 16_000,
        timestamps: bool = True,
        **options: Any,
    ) -> None:
        """As `AsyncStream`."""
        self._where = _where(base_url, api_key, token, allow_plain_http)
        self._plan = Plan(modalities, sample_rate, timestamps, options)
        self._connection: Connection | None = None
        self._open_until = ExitStack()

    def open(self) -> None:
        """Connect and say what will come. Raises `Problem` or `Unreachable`."""
        try:
            self._connection = self._open_until.enter_context(connect(_url(self._where), **_settings(self._where)))
            self._opened().send(self._plan.start())
        except (OSError, WebSocketException) as error:
            raise _failure(error, self._where) from error

    def picture(self, data: bytes, captured: float | None = None) -> None:
        """Send a JPEG or WebP picture; if the last one still waits, this one takes its place."""
        self._send(self._plan.picture(data, captured))

    def sound(self, samples: bytes, captured: float | None = None) -> None:
        """Send 16-bit little-endian mono samples; waits while the service has too much to hear."""
        self._send(self._plan.sound(samples, captured))

    def text(self, text: str, captured: float | None = None) -> None:
        """Send a text."""
        self._send(self._plan.text(text, captured))

    def stop(self) -> None:
        """Say that nothing more comes; the summary follows."""
        self._send(STOP)

    def summary(self) -> Analysis:
        """Stop, and pass over everything up to the summary. Raises `Problem` if there is none."""
        self.stop()
        found = [event.analysis for event in self if isinstance(event, StreamSummary)]
        return _there(found[-1] if found else None)

    def close(self) -> None:
        """Be gone, with or without a summary."""
        self._connection = None
        self._open_until.close()

    def __iter__(self) -> Iterator[StreamEvent]:
        ending = _Ending()
        connection = self._opened()
        while True:
            try:
                message = connection.recv()
            except ConnectionClosed as error:
                ending.judge(error)
                return
            event = ending.note(message)
            if event is not None:
                yield event

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _opened(self) -> Connection:
        if self._connection is None:
            raise RuntimeError("The stream is not open.")
        return self._connection

    def _send(self, message: str | bytes) -> None:
        try:
            self._opened().send(message)
        except ConnectionClosed as error:
            raise Unreachable("The stream is closed; its events say why.") from error


class _Ending:
    """What is known of how a stream ends."""

    def __init__(self) -> None:
        self._problem: ServiceError | None = None
        self._has_summary = False

    def note(self, message: str | bytes) -> StreamEvent | None:
        """A message as an event; an error is kept until the end. Raises `UnexpectedAnswer`."""
        event = read_event(message)
        if isinstance(event, _Error):
            self._problem = problems.from_body(event.problem, 500)
            return None
        self._has_summary |= isinstance(event, StreamSummary)
        return event

    def judge(self, error: ConnectionClosed) -> None:
        """The connection is closed. Raises the service's reason, or `Unreachable` if it simply broke off."""
        if self._problem is not None:
            raise self._problem from error
        if not self._has_summary:
            raise Unreachable("The stream broke off before its summary; please start again.") from error


def read_event(message: str | bytes) -> StreamEvent | _Error:
    """A message of the service. Raises `UnexpectedAnswer`."""
    try:
        body = json.loads(message)
        if body.get("type") == "summary":
            body["analysis"] = {**body["analysis"], "raw": body["analysis"]}
        return _EVENT.validate_python(body)
    except (ValueError, ValidationError, AttributeError, KeyError, TypeError) as error:
        raise UnexpectedAnswer("The service answered in a form that this client does not understand.") from error


def _where(
    base_url: str | Address | None, api_key: str | None, token: str | None, allow_plain_http: bool | None
) -> Address:
    if isinstance(base_url, Address):
        return base_url
    return address(base_url, api_key, token, CONNECT_SECONDS, allow_plain_http)


def _url(where: Address) -> str:
    url = httpx.URL(where.url)
    return str(url.copy_with(scheme={"https": "wss"}.get(url.scheme, "ws"), path=url.path.rstrip("/") + PATH))


def _settings(where: Address) -> dict[str, Any]:
    """Pictures and sound do not get smaller by compression; a proxy can't reach this machine's loopback."""
    found: dict[str, Any] = {
        "additional_headers": {"Authorization": f"Bearer {where.secret}"} if where.secret else {},
        "compression": None,
        "max_size": MAX_MESSAGE_BYTES,
        "open_timeout": CONNECT_SECONDS,
        "close_timeout": CLOSE_SECONDS,
    }
    return found | ({"proxy": None} if httpx.URL(where.url).host in LOOPBACK else {})


def _failure(error: Exception, where: Address) -> ServiceError:
    """Why there is no stream."""
    if isinstance(error, InvalidStatus):
        try:
            body = json.loads(error.response.body or b"")
        except ValueError:
            return UnexpectedAnswer(f"{where} answered {error.response.status_code} without a reason.")
        return problems.from_body(body, error.response.status_code, error.response.headers.get("retry-after"))
    return Unreachable(f"The service at {where} is not reachable: is it running?")


def _there(found: Analysis | None) -> Analysis:
    if found is None:
        raise Unreachable("The stream ended without a summary.")
    return found
