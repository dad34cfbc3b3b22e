"""The client whose answers are awaited."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace
from types import TracebackType
from typing import IO, Any, TypeVar

import httpx
from typing_extensions import Self

from ui.answers import Analysis, Job
from ui.client import calls, steps
from ui.client.address import address
from ui.client.calls import Call
from ui.client.events import JobEvent
from ui.client.methods import awaits
from ui.client.retries import Retries
from ui.client.sending import landing, opened
from ui.client.steps import Chunk, Give, Line, Manners, Open, Pause, Send, Step, Steps, proceed
from ui.client.stream import AsyncStream
from ui.problems import Problem

T = TypeVar("T")


class AsyncClient:
    """`Client` for asyncio. Close it with `await client.aclose()`, or use it in an `async with`."""

    def __init__(
        self,
        base_url: str | None = None,
        *,
        api_key: str | None = None,
        token: str | None = None,
        timeout_seconds: float = 300.0,
        retries: Retries | None = None,
        allow_plain_http: bool | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        auth: httpx.Auth | None = None,
    ) -> None:
        """What is left out is read from SENTIMENT_API_URL and SENTIMENT_API_KEY. Raises `UnsafeAddress`.

        `auth` may give each request a key of its own.
        """
        where = address(base_url, api_key, token, timeout_seconds, allow_plain_http)
        http = httpx.AsyncClient(transport=transport, auth=auth, **where.settings())
        self._line = _Line(http, Manners(where, retries or Retries()))
        self.jobs = AsyncJobs(self._line)
        self.history = AsyncHistory(self._line)

    text = awaits(calls.text)
    texts = awaits(calls.texts)
    audio = awaits(calls.audio)
    image = awaits(calls.image)
    video = awaits(calls.video)
    analyze = awaits(calls.analyze)
    models = awaits(calls.models)
    health = awaits(calls.health)
    use = awaits(calls.use)
    document = awaits(calls.document)

    def stream(self, *, api_key: str | None = None, **asked: Any) -> AsyncStream:
        """A live stream to the same service, to be opened by `async with`; `asked` as `AsyncStream` takes it."""
        where = self._line.manners.address
        return AsyncStream(replace(where, secret=api_key) if api_key else where, **asked)

    async def aclose(self) -> None:
        """Close its connections."""
        await self._line.http.aclose()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._line.manners.address)!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.aclose()


class AsyncJobs:
    """Work that outlives its request."""

    def __init__(self, line: _Line) -> None:
        self._line = line

    submit = awaits(calls.submit)
    get = awaits(calls.job)
    cancel = awaits(calls.cancel)
    result = awaits(calls.result)

    def list(self) -> AsyncIterator[Job]:
        """All of one's jobs, newest first; pages are asked for as they are wanted."""
        return self._line.each(steps.jobs(self._line.manners))

    def events(self, job: Job | str, after: str | None = None) -> AsyncIterator[JobEvent]:
        """What happens to a job until it is over, also across broken connections; from after an event's id on."""
        return self._line.each(steps.events(job, after, self._line.manners))

    async def wait(self, job: Job | str, on_event: Callable[[JobEvent], object] | None = None) -> Job:
        """Wait until it is done. Raises `Problem` if it failed, `JobCancelled` if it was called off."""
        event: JobEvent | None = None
        async for event in self.events(job):
            if on_event:
                on_event(event)
        steps.settled(event)
        return await self.get(job)

    def rows(self, job: Job | str) -> AsyncIterator[Analysis | Problem]:
        """What each text of a job of texts came to, in order, read as it arrives."""
        return self._line.each(steps.rows(job, self._line.manners))

    async def save(self, job: Job | str, to: str | os.PathLike[str] | IO[bytes], kind: str | None = None) -> int:
        """Write the result to a file: json, and of texts csv and jsonl, as its name ends. How many bytes it has."""
        call = calls.result_as(job, kind or calls.kind_of_target(to))
        return await self._line.save(call, to)


class AsyncHistory:
    """What was sent with `store=True`, until it is deleted or its time is over."""

    def __init__(self, line: _Line) -> None:
        self._line = line

    get = awaits(calls.kept)
    delete = awaits(calls.forget)
    clear = awaits(calls.forget_all)

    def list(
        self,
        *,
        label: str | None = None,
        modality: str | None = None,
        since: str | None = None,
        until: str | None = None,
        page_size: int = 100,
    ) -> AsyncIterator[Analysis]:
        """What was kept, newest first; pages are asked for as they are wanted. Times are RFC 3339."""
        query = {"label": label, "modality": modality, "since": since, "until": until, "limit": page_size}
        return self._line.each(steps.history(query, self._line.manners))

    async def export(
        self, to: str | os.PathLike[str] | IO[bytes], kind: str | None = None, **filters: str | None
    ) -> int:
        """Write all of it, or what the filters of `list` choose, to a file: csv or json. How many bytes it has."""
        call = calls.exported(kind or calls.kind_of_target(to, calls.EXPORTS), **filters)
        return await self._line.save(call, to)


class _Line:
    """A connection to the service, on which steps are carried out."""

    def __init__(self, http: httpx.AsyncClient, manners: Manners) -> None:
        self.http = http
        self.manners = manners

    async def ask(self, call: Call[T]) -> T:
        """The answer to a call."""
        return await self._first(steps.give(call, self.manners))

    async def save(self, call: Call[Any], to: str | os.PathLike[str] | IO[bytes]) -> int:
        """Write an answer to a file."""
        with landing(to) as file:
            return await self._first(steps.save(call, file, self.manners))

    async def each(self, conversation: Steps[None]) -> AsyncGenerator[Any, None]:
        """Everything that a conversation gives."""
        async with AsyncExitStack() as stack:
            hands = _Hands(self.http, stack)
            step = next(conversation, None)
            while step is not None:
                if isinstance(step, Give):
                    yield step.item
                    step = next(conversation, None)
                else:
                    step = proceed(conversation, await hands.outcome(step))

    async def _first(self, conversation: Steps[None]) -> Any:
        async with aclosing(self.each(conversation)) as items:
            return await anext(items)


class _Hands:
    """Carries out one conversation's steps; what they leave open is closed with the stack."""

    def __init__(self, http: httpx.AsyncClient, stack: AsyncExitStack) -> None:
        self._http = http
        self._stack = stack
        self._lines: AsyncIterator[str] | None = None
        self._chunks: AsyncIterator[bytes] | None = None

    async def outcome(self, step: Step) -> Any:
        """What came of a step: the connection's failure is an outcome too."""
        try:
            return await self._do(step)
        except httpx.TransportError as error:
            return error

    async def _do(self, step: Step) -> Any:
        if isinstance(step, Pause):
            return await asyncio.sleep(step.seconds)
        if isinstance(step, Line):
            return await anext(self._lines, None) if self._lines else None
        if isinstance(step, Chunk):
            return await anext(self._chunks, None) if self._chunks else None
        if isinstance(step, Open):
            return await self._open(step.call)
        if isinstance(step, Send):
            return await self._send(step.call, stream=False)
        raise TypeError(f"{step} is nothing to do")

    async def _send(self, call: Call[Any], *, stream: bool) -> httpx.Response:
        with opened(call.files) as files:
            return await self._http.send(calls.request(self._http, call, files), stream=stream)

    async def _open(self, call: Call[Any]) -> httpx.Response:
        await self._stack.aclose()
        response = await self._send(call, stream=True)
        self._stack.push_async_callback(response.aclose)
        if response.status_code not in call.expected:
            await response.aread()
        self._lines, self._chunks = response.aiter_lines(), response.aiter_bytes()
        return response
