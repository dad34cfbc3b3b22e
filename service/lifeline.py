"""No process of ours outlives the one that started it."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def die_with_parent(how: signal.Signals = signal.SIGTERM, parent: int | None = None) -> None:
    """Have the kernel send this signal when the parent dies, however it dies. Linux only; elsewhere it does nothing.

    A process that is told which `parent` it had ends here if that one was gone before it could ask.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, how, 0, 0, 0)
    if parent is not None and os.getppid() != parent:
        os._exit(1)
