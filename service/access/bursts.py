"""Signs of somebody who tries things out: many answers of one kind to one client in a short time."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict, deque
from collections.abc import Callable

from service.observability import metrics

KINDS = {401: "unauthenticated", 413: "too_large", 415: "unsupported_media", 422: "unreadable"}
"""The answers that are watched, by status."""

BURST = 20
WINDOW_SECONDS = 60.0
MAX_CLIENTS = 2000

log = logging.getLogger(__name__)


class Bursts:
    """Counts bursts: `BURST` answers of one kind to one client within a window. Remembers a bounded number of clients.

    Neither metric nor log line names the client.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: OrderedDict[tuple[str, int], deque[float]] = OrderedDict()

    def note(self, client: str, status: int) -> bool:
        """One more answer of a watched status; whether it completes a burst."""
        times = self._seen.setdefault((client, status), deque(maxlen=BURST))
        self._seen.move_to_end((client, status))
        if len(self._seen) > MAX_CLIENTS:
            self._seen.popitem(last=False)
        now = self._clock()
        times.append(now)
        if len(times) < BURST or now - times[0] > WINDOW_SECONDS:
            return False
        times.clear()
        metrics.anomaly(KINDS[status])
        log.warning("a client got many answers of one kind", extra={"fields": {"status": status, "count": BURST}})
        return True
