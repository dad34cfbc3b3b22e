"""Places of what goes on for long, or takes much memory: so many in this process, and of them a share for each client.

Without the share one client could take them all, and everybody else would hear that the service is full.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from service.api.problems import ProblemError


class Places:
    """`with places.of(client): …`"""

    def __init__(self, what: str, most: int, share: float) -> None:
        """`what` is taken, in the plural; one client may have `share` of `most`, and one at least."""
        self.taken = 0
        self._what = what
        self._most = most
        self._each = max(1, int(most * share))
        self._by_client: Counter[str] = Counter()

    @contextmanager
    def of(self, client: str) -> Iterator[None]:
        """A place. Raises `rate_limited` where the client has its share, and `overloaded` where all are taken."""
        if self.taken >= self._most:
            raise ProblemError("overloaded", f"{self._most} {self._what}, which is the limit; try again later.")
        if self._by_client[client] >= self._each:
            detail = f"{self._each} {self._what} for you, which is a client's share; end one before the next."
            raise ProblemError("rate_limited", detail)
        self.taken += 1
        self._by_client[client] += 1
        try:
            yield
        finally:
            self.taken -= 1
            self._by_client[client] -= 1
            if not self._by_client[client]:
                del self._by_client[client]
