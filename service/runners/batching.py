"""Gathers what waits for a model into batches: the outer of two levels, in the process that takes requests.

While one batch is away, requests queue; when it is back, up to `max_batch` of them leave at once. There is no timer:
alone, an item leaves at once, and under load batches grow by themselves.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, cast

from service.observability import tracing
from service.runners import Failed, ItemRefused, ModelUnavailable, Overloaded, RunnerError

Item = TypeVar("Item")
Result = TypeVar("Result")
Call = Callable[[list[Item]], Awaitable[Sequence[Result | Failed]]]

log = logging.getLogger(__name__)


class Observer(Protocol):
    """Is told what happens in the queues, for metrics; every method must be quick and must not raise."""

    def queued(self, model: str, depth: int) -> None:
        """So many items wait now."""

    def sent(self, model: str, waited_seconds: Sequence[float]) -> None:
        """A batch leaves: how long each of its items waited."""

    def answered(self, model: str, size: int, seconds: float) -> None:
        """A batch of `size` items came back after `seconds`, the way there and back included."""

    def failed(self, model: str, size: int, seconds: float) -> None:
        """A batch was lost: the model took too long or could not be reached."""


class Unobserved:
    """An observer that keeps nothing."""

    def queued(self, model: str, depth: int) -> None:
        """Keep nothing."""

    def sent(self, model: str, waited_seconds: Sequence[float]) -> None:
        """Keep nothing."""

    def answered(self, model: str, size: int, seconds: float) -> None:
        """Keep nothing."""

    def failed(self, model: str, size: int, seconds: float) -> None:
        """Keep nothing."""


@dataclass(frozen=True)
class Limits:
    """How much one model is given, and how long it may take.

    `in_flight` batches are away at the same time, and share what waits. After `failures` lost batches in a row the
    model counts as unavailable for `rest_seconds`; then one batch tries again.
    """

    max_batch: int = 64
    queue_limit: int = 1024
    timeout_seconds: float = 20.0
    in_flight: int = 1
    failures: int = 3
    rest_seconds: float = 2.0


class Breaker:
    """Remembers that a model fails, so that callers hear it at once instead of waiting for a time-out each (Nygard)."""

    def __init__(self, failures: int, rest_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._allowed = failures
        self._rest_seconds = rest_seconds
        self._clock = clock
        self._failures = 0
        self._open_until = 0.0

    @property
    def closed(self) -> bool:
        """Whether the last answers were good enough to go on as usual."""
        return self._failures < self._allowed

    @property
    def rest_seconds(self) -> float:
        """How long until the model is tried again; 0 when it may be called now."""
        return 0.0 if self.closed else max(0.0, self._open_until - self._clock())

    def succeeded(self) -> None:
        """A batch came back."""
        self._failures = 0

    def failed(self) -> None:
        """A batch was lost; from the `failures`th on, each opens the breaker anew."""
        self._failures += 1
        self._open_until = self._clock() + self._rest_seconds


@dataclass(frozen=True, eq=False)
class _Waiting(Generic[Item, Result]):
    """An item, whom to tell, since when it waits (seconds of the monotonic clock), and what it is traced as part of."""

    item: Item
    answer: asyncio.Future[Result]
    since: float
    origin: Any


class Collector(Generic[Item, Result]):
    """One model's queue. `call` takes a batch and answers each of its items, in order."""

    def __init__(
        self,
        model: str,
        call: Call[Item, Result],
        limits: Limits = Limits(),
        observer: Observer | None = None,
        timeout_of: Callable[[list[Item]], float] | None = None,
    ) -> None:
        """`timeout_of` gives the seconds that a certain batch may take, instead of `limits.timeout_seconds`."""
        self._model = model
        self._call = call
        self._limits = limits
        self._observer = observer or Unobserved()
        self._timeout_of = timeout_of or (lambda _: limits.timeout_seconds)
        self._breaker = Breaker(limits.failures, limits.rest_seconds)
        self._waiting: deque[_Waiting[Item, Result]] = deque()
        self._senders: set[asyncio.Task[None]] = set()
        self._open = True

    @property
    def healthy(self) -> bool:
        """False while the model is given a rest."""
        return self._open and self._breaker.closed

    async def submit(self, items: Sequence[Item]) -> list[Result]:
        """The answers to `items`, in order. Raises `Overloaded`, `ModelUnavailable` or `ItemRefused`.

        If the caller is cancelled, what still waits of its items is never sent.
        """
        if not items:
            return []
        self._admit(len(items))
        waiting = [self._enqueue(item) for item in items]
        self._observer.queued(self._model, len(self._waiting))
        self._wake()
        try:
            return [await entry.answer for entry in waiting]
        finally:
            _abandon(waiting)

    async def close(self) -> None:
        """Refuse what waits and what comes; wait for nothing."""
        self._open = False
        self._refuse_waiting("The service is shutting down.")
        for sender in list(self._senders):
            sender.cancel()
        await asyncio.gather(*self._senders, return_exceptions=True)

    def _admit(self, count: int) -> None:
        if not self._open:
            raise ModelUnavailable(self._model, "The service is shutting down.")
        if rest := self._breaker.rest_seconds:
            raise ModelUnavailable(self._model, f"The {self._model} model does not answer.", retry_after=max(1.0, rest))
        # A request that alone is longer than the queue is let in when nothing waits: else it could never be answered.
        if self._waiting and len(self._waiting) + count > self._limits.queue_limit:
            self._forget_abandoned()
            if self._waiting and len(self._waiting) + count > self._limits.queue_limit:
                raise Overloaded(self._model)

    def _enqueue(self, item: Item) -> _Waiting[Item, Result]:
        answer = asyncio.get_running_loop().create_future()
        entry = _Waiting[Item, Result](item, answer, time.monotonic(), tracing.here())
        self._waiting.append(entry)
        return entry

    def _wake(self) -> None:
        if len(self._senders) < self._limits.in_flight:
            sender = asyncio.create_task(self._send_all(), name=f"batches for {self._model}")
            self._senders.add(sender)

    async def _send_all(self) -> None:
        """Send batch after batch until nothing waits."""
        try:
            while batch := self._next_batch():
                await self._send(batch)
        finally:
            # Here and not in a callback of the task: whoever comes between would believe that a sender is still there.
            self._senders.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    def _next_batch(self) -> list[_Waiting[Item, Result]]:
        batch: list[_Waiting[Item, Result]] = []
        share = min(self._limits.max_batch, math.ceil(len(self._waiting) / self._limits.in_flight))
        while self._waiting and len(batch) < share:
            entry = self._waiting.popleft()
            if not entry.answer.done():
                batch.append(entry)
        if batch:
            now = time.monotonic()
            self._observer.queued(self._model, len(self._waiting))
            self._observer.sent(self._model, [now - entry.since for entry in batch])
        return batch

    async def _send(self, batch: list[_Waiting[Item, Result]]) -> None:
        items = [entry.item for entry in batch]
        started = time.monotonic()
        try:
            with tracing.batch(self._model, len(items), [entry.origin for entry in batch]):
                results = await asyncio.wait_for(self._call(items), self._timeout_of(items))
            if len(results) != len(items):
                raise ModelUnavailable(
                    self._model, f"The {self._model} model gave {len(results)} answers to {len(items)} items."
                )
        except asyncio.CancelledError:
            self._refuse(batch, "The service is shutting down.")
            raise
        except Exception as error:  # whatever a model throws, its callers must hear of it
            self._lost(batch, error, time.monotonic() - started)
        else:
            self._breaker.succeeded()
            self._observer.answered(self._model, len(items), time.monotonic() - started)
            for entry, result in zip(batch, results, strict=True):
                _answer(entry, result)

    def _lost(self, batch: list[_Waiting[Item, Result]], error: Exception, seconds: float) -> None:
        """Tell the callers of a batch; if the model is given a rest, tell everyone who waits."""
        self._observer.failed(self._model, len(batch), seconds)
        if isinstance(error, RunnerError) and not isinstance(error, ModelUnavailable):
            _fail(batch, lambda: error)  # the model is well and says no
            return
        log.warning("A batch of %d for the %s model was lost: %r", len(batch), self._model, error)
        self._refuse(batch, self._explain(error))
        self._breaker.failed()
        if not self._breaker.closed:
            self._refuse_waiting(f"The {self._model} model does not answer.")

    def _explain(self, error: Exception) -> str:
        if isinstance(error, ModelUnavailable):
            return str(error)
        if isinstance(error, (asyncio.TimeoutError, TimeoutError)):
            return f"The {self._model} model took too long."
        return f"The {self._model} model could not be reached."

    def _refuse(self, entries: Iterable[_Waiting[Item, Result]], detail: str) -> None:
        _fail(entries, lambda: ModelUnavailable(self._model, detail))

    def _refuse_waiting(self, detail: str) -> None:
        self._refuse(self._waiting, detail)
        self._waiting.clear()
        self._observer.queued(self._model, 0)

    def _forget_abandoned(self) -> None:
        self._waiting = deque(entry for entry in self._waiting if not entry.answer.done())


def _answer(entry: _Waiting[Item, Result], result: Result | Failed) -> None:
    if entry.answer.done():
        return
    if isinstance(result, Failed):
        entry.answer.set_exception(ItemRefused(result.detail))
    else:
        entry.answer.set_result(result)


def _fail(entries: Iterable[_Waiting[Item, Result]], error: Callable[[], RunnerError]) -> None:
    """Tell each caller apart: a shared exception would gather the traceback of every one of them."""
    for entry in entries:
        if not entry.answer.done():
            entry.answer.set_exception(error())


def _abandon(entries: Sequence[_Waiting[Item, Result]]) -> None:
    """Nobody waits any more: drop what has not left yet, and take note of answers that nobody will read."""
    for entry in entries:
        if not entry.answer.cancel() and not entry.answer.cancelled():
            entry.answer.exception()
