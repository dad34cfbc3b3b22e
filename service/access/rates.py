"""How often a client may ask: a moving window for each, in this process or in a Redis that replicas share.

A Redis that does not answer within 0.25 s is left alone for two seconds; meanwhile each process counts for itself. So a
broken Redis neither stops the service nor opens it to everybody, and costs no request more than that time.
"""

from __future__ import annotations

import hashlib
import logging
import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from limits import RateLimitItem, parse
from limits.aio.storage import MovingWindowSupport, RedisStorage, Storage
from limits.aio.strategies import MovingWindowRateLimiter
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from service.access.refusals import RateLimited
from service.observability import metrics

REDIS_SECONDS = 0.25
RETRY_SECONDS = 2.0
MAX_CONNECTIONS = 16
TURN_SECONDS = 0.5
"""With more requests than connections at once, each waits so long for its turn."""
MAX_CLIENTS = 10_000
"""So many clients are remembered in memory; with more, the one that asked longest ago begins anew."""

log = logging.getLogger(__name__)

rate_of = cache(parse)


@dataclass(frozen=True)
class Budget:
    """What a client may still ask: `remaining` of `limit` in `window_seconds`, one more in `reset_seconds`."""

    limit: int
    window_seconds: int
    remaining: int
    reset_seconds: int

    def headers(self) -> dict[str, str]:
        """As clients read it."""
        return {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(self.reset_seconds),
            "RateLimit-Policy": f"{self.limit};w={self.window_seconds}",
        }


class MemoryWindows(Storage, MovingWindowSupport):
    """Moving windows in memory, for `limits`; bounded, and without its own storage's tasks and threads.

    That storage looks through every client's window in a thread after each request.
    """

    STORAGE_SCHEME = ["async+bounded"]  # noqa: RUF012 (the library's registry reads it from the class)

    def __init__(self, max_clients: int = MAX_CLIENTS, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._max_clients = max_clients
        self._clock = clock
        self._times: OrderedDict[str, deque[float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._times)

    async def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Count `amount` requests if the window has room for them."""
        times = self._times.setdefault(key, deque())
        self._times.move_to_end(key)
        if len(self._times) > self._max_clients:
            self._times.popitem(last=False)
        now = self._clock()
        _forget(times, now - expiry)
        if len(times) + amount > limit:
            return False
        times.extend([now] * amount)
        return True

    async def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:
        """When the oldest request of the window came, and how many there are."""
        now = self._clock()
        times = self._times.get(key, deque())
        _forget(times, now - expiry)
        return (times[0] if times else now), len(times)

    async def clear(self, key: str) -> None:
        """Forget one client."""
        self._times.pop(key, None)

    async def reset(self) -> int | None:
        """Forget all."""
        count = len(self)
        self._times.clear()
        return count

    async def check(self) -> bool:
        """Memory is always well."""
        return True

    @property
    def base_exceptions(self) -> type[Exception] | tuple[type[Exception], ...]:
        """None are foreseen."""
        return ()

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Fixed windows are not kept here."""
        raise NotImplementedError

    async def get(self, key: str) -> int:
        """Fixed windows are not kept here."""
        raise NotImplementedError

    async def get_expiry(self, key: str) -> float:
        """Fixed windows are not kept here."""
        raise NotImplementedError


def _forget(times: deque[float], before: float) -> None:
    while times and times[0] < before:
        times.popleft()


class Windows:
    """The moving windows of one storage, the clock that it goes by, and the Redis behind it, if there is one."""

    def __init__(self, storage: Storage, clock: Callable[[], float], redis: Redis | None = None) -> None:
        self.redis = redis
        self._limiter = MovingWindowRateLimiter(storage)
        self._clock = clock

    async def spend(self, rate: RateLimitItem, client: str) -> tuple[bool, Budget]:
        """Count one request if the budget allows; whether it did, and what is left."""
        allowed = await self._limiter.hit(rate, client)
        found = await self._limiter.get_window_stats(rate, client)
        wait = max(0, math.ceil(found.reset_time - self._clock()))
        return allowed, Budget(rate.amount, rate.get_expiry(), max(0, found.remaining), wait)


class Rates:
    """Everybody's budgets. `shared` is asked first, and while it is away, this process counts for itself."""

    def __init__(
        self,
        everybody: str | None,
        shared: Windows | None = None,
        own: Windows | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._everybody = rate_of(everybody) if everybody else None
        self._shared = shared
        self._own = own or Windows(MemoryWindows(), time.monotonic)
        self._clock = clock
        self._away_until: float | None = None

    async def spend(self, client: str, rate: str | None = None) -> Budget | None:
        """Count one request of a client, whose own rate goes before everybody's; None if it has no limit.

        Raises `RateLimited` if its budget is spent.
        """
        limit = rate_of(rate) if rate else self._everybody
        if limit is None:
            return None
        # A digest, so that Redis keeps no addresses and no names.
        allowed, budget = await self._spend(limit, hashlib.sha256(client.encode()).hexdigest()[:32])
        if not allowed:
            metrics.rate_limited()
            wait = max(1, budget.reset_seconds)
            detail = f"{limit.amount} requests in {limit.get_expiry()} s are allowed; try again in {wait} s."
            raise RateLimited(detail, budget.headers(), wait)
        return budget

    async def check(self) -> None:
        """Ask the shared windows how they are. Raises `RedisError`."""
        if self._shared is not None and self._shared.redis is not None:
            await self._shared.redis.ping()

    async def close(self) -> None:
        """Let go of connections."""
        if self._shared is not None and self._shared.redis is not None:
            await self._shared.redis.aclose(close_connection_pool=True)

    async def _spend(self, limit: RateLimitItem, client: str) -> tuple[bool, Budget]:
        if self._shared is not None and self._may_ask():
            try:
                found = await self._shared.spend(limit, client)
            except RedisError as error:
                self._lost(error)
            else:
                self._found()
                return found
        return await self._own.spend(limit, client)

    def _may_ask(self) -> bool:
        """While it is away, one request every while tries it."""
        if self._away_until is None:
            return True
        if self._clock() < self._away_until:
            return False
        self._away_until = self._clock() + RETRY_SECONDS
        return True

    def _lost(self, error: RedisError) -> None:
        metrics.limits_store_failed()
        if self._away_until is None:
            log.error("rate limits are counted by each process for itself: Redis does not answer: %s", error)
        self._away_until = self._clock() + RETRY_SECONDS

    def _found(self) -> None:
        if self._away_until is not None:
            self._away_until = None
            log.info("rate limits are shared again")


def redis_windows(url: str) -> Windows:
    """Windows that every process with the same Redis shares; nothing is connected yet. Raises `ValueError`."""
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=MAX_CONNECTIONS,
        timeout=TURN_SECONDS,
        socket_timeout=REDIS_SECONDS,
        socket_connect_timeout=REDIS_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )
    options: Any = {"connection_pool": pool}
    storage = RedisStorage(f"async+{url}", implementation="redispy", **options)
    return Windows(storage, time.time, Redis(connection_pool=pool))
