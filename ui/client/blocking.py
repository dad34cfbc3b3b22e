"""The client that waits for its answers."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing
from types import TracebackType
from typing import IO, Any, TypeVar

import httpx
from typing_extensions import Self

from ui.answers import Analysis, Job
from ui.client import calls, steps
from ui.client.address import address
from ui.client.calls import Call
from ui.client.events import JobEvent
from ui.client.methods import asks
from ui.client.retries import Retries
from ui.client.sending import landing, opened
from ui.client.steps import Chunk, Give, Line, Manners, Open, Pause, Send, Step, Steps, proceed
from ui.client.stream import Stream
from ui.problems import Problem

T = TypeVar("T")


class Client:
    """Asks the service and waits for its answer. Close it, or use it in a `with`."""

    def __init__(
        self,
        base_url: str | None = None,
        *,
        api_key: str | None = None,
        token: str | None = None,
        timeout_seconds: float = 300.0,
        retries: Retries | None = None,
        allow_plain_http: bool | None = None,
        transport: httpx.BaseTransport | None = None,
        auth: httpx.Auth | None = None,
    ) -> None:
        """What is left out is read from SENTIMENT_API_URL and SENTIMENT_API_KEY. Raises `UnsafeAddress`.

        `auth` may give each request a key of its own.
        """
        where = address(base_url, api_key, token, timeout_seconds, allow_plain_http)
        http = httpx.Client(transport=transport, auth=auth, **where.settings())
        self._line = _Line(http, Manners(where, retries or Retries()))
        self.jobs = Jobs(self._line)
        self.history = History(self._line)

    text = asks(calls.text)
    texts = asks(calls.texts)
    audio = asks(calls.audio)
    image = asks(calls.image)
    video = asks(calls.video)
    analyze = asks(calls.analyze)
    models = asks(calls.models)
    health = asks(calls.health)
    use = asks(calls.use)
    document = asks(calls.document)

    def stream(self, **asked: Any) -> Stream:
        """A live stream to the same service, to be opened by `with`; `asked` as `Stream` takes it."""
        return Stream(self._line.manners.address, **asked)

    def close(self) -> None:
        """Close its connections."""
        self._line.http.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._line.manners.address)!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class Jobs:
    """Work that outlives its request."""

    def __init__(self, line: _Line) -> None:
        self._line = line

    submit = asks(calls.submit)
    get = asks(calls.job)
    cancel = asks(calls.cancel)
    result = asks(calls.result)

    def list(self) -> Iterator[Job]:
        """All of one's jobs, newest first; pages are asked for as they are wanted."""
        return self._line.each(steps.jobs(self._line.manners))

    def events(self, job: Job | str, after: str | None = None) -> Iterator[JobEvent]:
        """What happens to a job until it is over, also across broken connections; from after an event's id on."""
        return self._line.each(steps.events(job, after, self._line.manners))

    def wait(self, job: Job | str, on_event: Callable[[JobEvent], object] | None = None) -> Job:
        """Wait until it is done. Raises `Problem` if it failed, `JobCancelled` if it was called off."""
        event: JobEvent | None = None
        for event in self.events(job):
            if on_event:
                on_event(event)
        steps.settled(event)
        return self.get(job)

    def rows(self, job: Job | str) -> Iterator[Analysis | Problem]:
        """What each text of a job of texts came to, in order, read as it arrives."""
        return self._line.each(steps.rows(job, self._line.manners))

    def save(self, job: Job | str, to: str | os.PathLike[str] | IO[bytes], kind: str | None = None) -> int:
        """Write the result to a file: json, and of texts csv and jsonl, as its name ends. How many bytes it has."""
        call = calls.result_as(job, kind or calls.kind_of_target(to))
        return self._line.save(call, to)


class History:
    """What was sent with `store=True`, until it is deleted or its time is over."""

    def __init__(self, line: _Line) -> None:
        self._line = line

    get = asks(calls.kept)
    delete = asks(calls.forget)
    clear = asks(calls.forget_all)

    def list(
        self,
        *,
        label: str | None = None,
        modality: str | None = None,
        since: str | None = None,
        until: str | None = None,
        page_size: int = 100,
    ) -> Iterator[Analysis]:
        """What was kept, newest first; pages are asked for as they are wanted. Times are RFC 3339."""
        query = {"label": label, "modality": modality, "since": since, "until": until, "limit": page_size}
        return self._line.each(steps.history(query, self._line.manners))

    def export(self, to: str | os.PathLike[str] | IO[bytes], kind: str | None = None, **filters: str | None) -> int:
        """Write all of it, or what the filters of `list` choose, to a file: csv or json. How many bytes it has."""
        call = calls.exported(kind or calls.kind_of_target(to, calls.EXPORTS), **filters)
        return self._line.save(call, to)


class _Line:
    """A connection to the service, on which steps are carried out."""

    def __init__(self, http: httpx.Client, manners: Manners) -> None:
        self.http = http
        self.manners = manners

    def ask(self, call: Call[T]) -> T:
        """The answer to a call."""
        return self._first(steps.give(call, self.manners))

    def save(self, call: Call[Any], to: str | os.PathLike[str] | IO[bytes]) -> int:
        """Write an answer to a file."""
        with landing(to) as file:
            return self._first(steps.save(call, file, self.manners))

    def each(self, conversation: Steps[None]) -> Generator[Any, None, None]:
        """Everything that a conversation gives."""
        with ExitStack() as stack:
            hands = _Hands(self.http, stack)
            step = next(conversation, None)
            while step is not None:
                if isinstance(step, Give):
                    yield step.item
                    step = next(conversation, None)
                else:
                    step = proceed(conversation, hands.outcome(step))

    def _first(self, conversation: Steps[None]) -> Any:
        with closing(self.each(conversation)) as items:
            return next(items)


class _Hands:
    """Carries out one conversation's steps; what they leave open is closed with the stack."""

    def __init__(self, http: httpx.Client, stack: ExitStack) -> None:
        self._http = http
        self._stack = stack
        self._lines: Iterator[str] = iter(())
        self._chunks: Iterator[bytes] = iter(())

    def outcome(self, step: Step) -> Any:
        """What came of a step: the connection's failure is an outcome too."""
        try:
            return self._do(step)
        except httpx.TransportError as error:
            return error

    def _do(self, step: Step) -> Any:
        if isinstance(step, Pause):
            return time.sleep(step.seconds)
        if isinstance(step, Line):
            return next(self._lines, None)
        if isinstance(step, Chunk):
            return next(self._chunks, None)
        if isinstance(step, Open):
            return self._open(step.call)
        if isinstance(step, Send):
            return self._send(step.call, stream=False)
        raise TypeError(f"{step} is nothing to do")

    def _send(self, call: Call[Any], *, stream: bool) -> httpx.Response:
        with opened(call.files) as files:
            return self._http.send(calls.request(self._http, call, files), stream=stream)

    def _open(self, call: Call[Any]) -> httpx.Response:
        self._stack.close()
        response = self._send(call, stream=True)
        self._stack.callback(response.close)
        if response.status_code not in call.expected:
            response.read()
        self._lines, self._chunks = response.iter_lines(), response.iter_bytes()
        return response
