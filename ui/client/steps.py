"""What the client does, step by step, without doing any of it: retries, resumed events, pages, downloads.

A conversation is a generator: it yields the next step, is sent the outcome (or thrown what went wrong with the
connection), and gives what was asked for with `Give`. `blocking.py` and `asynchronous.py` carry the steps out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import IO, Any, TypeVar

import httpx

from ui import answers
from ui.answers import Job
from ui.client import calls
from ui.client.address import Address
from ui.client.calls import Call
from ui.client.events import Cancelled, Done, EventLines, Failed, JobEvent
from ui.client.retries import Retries, Tries
from ui.problems import JobCancelled, Problem, ServiceError, TookTooLong, UnexpectedAnswer, Unreachable

T = TypeVar("T")


@dataclass(frozen=True)
class Send:
    """Send a request and read all of its answer; the outcome is the response."""

    call: Call[Any]


@dataclass(frozen=True)
class Open:
    """Send a request and read only the head of its answer, unless it is not the expected one."""

    call: Call[Any]


@dataclass(frozen=True)
class Line:
    """The outcome is the next line of what is open, None at its end."""


@dataclass(frozen=True)
class Chunk:
    """The outcome is the next piece of what is open, None at its end."""


@dataclass(frozen=True)
class Pause:
    """Do nothing for a while."""

    seconds: float


@dataclass(frozen=True)
class Give:
    """Hand something over to whoever asked."""

    item: Any


Step = Send | Open | Line | Chunk | Pause | Give
Steps = Generator[Step, Any, T]


@dataclass(frozen=True)
class Manners:
    """How a client speaks to its service."""

    address: Address
    retries: Retries

    def failure(self, error: httpx.TransportError) -> ServiceError:
        """A transport error of httpx as ours."""
        address = self.address
        if isinstance(error, httpx.ConnectTimeout):
            return Unreachable(f"The service at {address} does not answer: is it running?")
        if isinstance(error, httpx.TimeoutException):
            limit = address.timeout_seconds
            return TookTooLong(f"The service did not answer within {limit:.0f} seconds; try something shorter.")
        if isinstance(error, httpx.ConnectError):
            return Unreachable(f"The service at {address} is not reachable: is it running?")
        return Unreachable("The connection to the service broke off; please try again.", sent=True)


def ask(call: Call[T], manners: Manners) -> Steps[T]:
    """Send, and send again while that helps. Raises `ServiceError`."""
    tries = manners.retries.begin()
    while True:
        try:
            return calls.answer(call, (yield Send(call)))
        except (httpx.TransportError, Problem) as error:
            pause = _pause(error, call, tries, manners)
        yield Pause(pause)


def give(call: Call[T], manners: Manners) -> Steps[None]:
    """Ask once and hand the answer over."""
    yield Give((yield from ask(call, manners)))


def pages(path: str, key: str, read: Callable[[Any], Any], query: Mapping[str, Any], manners: Manners) -> Steps[None]:
    """The items of a list, page after page as they are wanted; `key` names them in a page."""
    cursor: str | None = None
    while True:
        page = yield from ask(calls.page(path, dict, cursor=cursor, **query), manners)
        for item in page[key]:
            yield Give(read(item))
        cursor = page.get("next")
        if not cursor:
            return


def jobs(manners: Manners) -> Steps[None]:
    """All of one's jobs."""
    return pages("/v1/jobs", "jobs", answers.job, {}, manners)


def history(query: Mapping[str, Any], manners: Manners) -> Steps[None]:
    """What was kept."""
    return pages("/v1/history", "items", answers.analysis, query, manners)


def rows(job: Job | str, manners: Manners) -> Steps[None]:
    """What each text of a job came to."""
    return lines(calls.result_as(job, "jsonl"), calls.analysis_or_problem, manners)


def events(job: Job | str, after: str | None, manners: Manners) -> Steps[None]:
    """What happens to a job until it is over; goes on where it was after a connection broke."""
    lines = EventLines(after)
    tries = manners.retries.begin()
    while True:
        call = calls.events(job, lines.last_id)
        opened = manners.retries.clock()
        try:
            calls.check(call, (yield Open(call)))
            while (line := (yield Line())) is not None:
                event = lines.feed(line)
                if event is None:
                    continue
                tries = manners.retries.begin()
                yield Give(event)
                if isinstance(event, (Done, Failed, Cancelled)):
                    return
            raise httpx.RemoteProtocolError("the events ended before the job")
        except (httpx.TransportError, Problem) as error:
            if manners.retries.clock() - opened > manners.retries.longest_seconds:
                tries = manners.retries.begin()  # it stood for a while: nothing happened, that is all
            pause = _pause(_broken(error), call, tries, manners)
        yield Pause(pause)


def lines(call: Call[Any], read: Callable[[Any], Any], manners: Manners) -> Steps[None]:
    """Each line of an answer in JSON Lines, read; what broke off in the middle is not begun again."""
    yield from _open(call, manners)
    try:
        while (line := (yield Line())) is not None:
            if line.strip():
                yield Give(read(json.loads(line)))
    except httpx.TransportError as error:
        raise manners.failure(error) from error
    except ValueError as error:
        raise UnexpectedAnswer("The service answered in a form that this client does not understand.") from error


def save(call: Call[Any], file: IO[bytes], manners: Manners) -> Steps[None]:
    """Write an answer to a file as it comes; gives how many bytes there were."""
    yield from _open(call, manners)
    written = 0
    try:
        while (chunk := (yield Chunk())) is not None:
            written += file.write(chunk)
    except httpx.TransportError as error:
        raise manners.failure(error) from error
    yield Give(written)


def _broken(error: httpx.TransportError | Problem) -> httpx.TransportError | Problem:
    """Silence on a connection that is to tell of what happens means that it is dead."""
    return httpx.RemoteProtocolError(str(error)) if isinstance(error, httpx.ReadTimeout) else error


def proceed(conversation: Steps[None], outcome: Any) -> Step | None:
    """Tell a conversation how its step came out, or what broke it; the next step, None when it is over."""
    try:
        if isinstance(outcome, httpx.TransportError):
            return conversation.throw(outcome)
        return conversation.send(outcome)
    except StopIteration:
        return None


def settled(event: JobEvent | None) -> None:
    """Look at the last event of a job. Raises `Problem` if it failed, `JobCancelled` if it was called off."""
    if isinstance(event, Failed):
        raise event.problem
    if isinstance(event, Cancelled):
        raise JobCancelled("The job was cancelled.")


def _open(call: Call[Any], manners: Manners) -> Steps[None]:
    tries = manners.retries.begin()
    while True:
        try:
            calls.check(call, (yield Open(call)))
            return
        except (httpx.TransportError, Problem) as error:
            pause = _pause(error, call, tries, manners)
        yield Pause(pause)


def _pause(error: httpx.TransportError | Problem, call: Call[Any], tries: Tries, manners: Manners) -> float:
    """How long to wait before the next attempt. Raises what went wrong if there is to be none."""
    failure = error if isinstance(error, Problem) else manners.failure(error)
    pause = tries.pause(failure, again_is_safe=call.again_is_safe) if call.rewinds else None
    if pause is None:
        raise failure from (None if failure is error else error)
    return pause
