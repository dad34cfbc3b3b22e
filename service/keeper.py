"""A worker's keeper: the process that was the worker until it forked, and sees to it that there always is one.

BentoML's own supervisor looks for dead workers every 10 s, starts them from nothing, and in a container ends the whole
server instead. A keeper has everything imported and the listening socket open, so another worker is a fork away:

- a worker that crashes is replaced at once, and more slowly the oftener it crashes; meanwhile callers hear a 503,
  unless workers of other keepers answer at the same socket;
- a worker that asks to be replaced gets a successor first, and leaves when that one answers: nobody notices;
- SIGTERM and SIGINT are passed on, and when the workers have ended the keeper ends.

Whatever holds threads, an event loop or a model belongs into the worker: after the fork.
"""

from __future__ import annotations

import gc
import logging
import os
import selectors
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal, NoReturn

from service.lifeline import die_with_parent, wake_up_on_signals
from service.porter import Answering, Porter, Reason, plainly

Birth = Literal["first", "again", "successor"]
"""Why a worker was born: at the start, after a crash, or beside another that wants to leave."""

READY, REPLACE, LEAVE = b"r", b"n", b"l"
REST_SECONDS = (0.0, 0.0, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""How long to wait before the next worker, after so many crashes in a row."""
SOUND_SECONDS = 60.0
"""A worker that was ready and lived so long did not fall to what the one before it fell to."""
KILL_AFTER_SECONDS = 10.0
"""Past their grace, workers that were told to stop are killed."""
STARTING_SECONDS = 120.0
"""A successor that is not ready by then is given up."""

DISMISS_SECONDS = 3.0
"""So long a service that ends goes on telling those who wait in the queue that it does."""
LOOK_SECONDS = 0.5
"""So often a keeper without a worker looks whether others still serve its socket."""

_CRASHED = Reason("not_ready", "This process ended and is being started again; try again in a few seconds.")
_STOPPED = Reason("shutting_down", "The service is shutting down and takes no new requests.")
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)

log = logging.getLogger(__name__)


@dataclass
class Line:
    """A worker's way to its keeper."""

    socket: socket.socket
    birth: Birth

    def say_ready(self) -> None:
        """This worker answers now."""
        self._say(READY)

    def ask_for_successor(self) -> None:
        """This worker would like to leave."""
        self._say(REPLACE)

    def _say(self, word: bytes) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):  # the keeper is gone, and `die_with_parent` ends us
            self.socket.sendall(word)


@dataclass(eq=False)
class _Worker:
    """A child of the keeper; `line` is the keeper's end."""

    pid: int
    line: socket.socket
    birth: Birth
    born: float = field(default_factory=time.monotonic)
    ready: bool = False


Work = Callable[[Line], None]


class Keeper:
    """Keeps one worker alive that does `work` with the listening sockets."""

    def __init__(
        self,
        work: Work,
        listeners: Sequence[socket.socket],
        stop_seconds: float,
        *,
        clean_up: Callable[[], None] = lambda: None,
        others_serve: Callable[[], bool] = lambda: False,
        answering: Answering = plainly,
    ) -> None:
        """Workers that were told to stop have `stop_seconds` before they are killed; `clean_up` comes after each.

        `others_serve` says whether workers of other keepers take connections from the same sockets; `answering` is what
        callers hear where nobody does.
        """
        self._work = work
        self._clean_up = clean_up
        self._porter = Porter(listeners, _CRASHED, answering)
        self._others_serve = others_serve
        self._stop_seconds = stop_seconds + KILL_AFTER_SECONDS
        self._pid = os.getpid()
        self._workers: dict[int, _Worker] = {}
        self._current: _Worker | None = None
        self._successor: _Worker | None = None
        self._crashes = 0
        self._next_birth: float | None = None
        self._no_successor_before = 0.0
        self._stop_by: float | None = None

    def run(self) -> None:
        """Keep the worker until a signal says to stop and it has ended."""
        self._signals = wake_up_on_signals(_SIGNALS)
        gc.collect()
        gc.freeze()  # what is shared with the workers stays shared for as long as nobody touches it
        self._current = self._bear("first")
        while self._workers or self._stop_by is None:
            self._wait()
            self._reap()
            self._keep_time()

    def _wait(self) -> None:
        """Until something happens: a signal, a word of a worker, a caller while there is no worker, or the time."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._signals, selectors.EVENT_READ, self._on_signals)
            for worker in self._workers.values():
                selector.register(worker.line, selectors.EVENT_READ, lambda worker=worker: self._on_word(worker))
            alone = self._current is None and self._stop_by is None
            self._porter.watch(selector, listens=alone and not self._others_serve())
            for key, _ in selector.select(self._patience()):
                key.data()
        self._porter.let_go()

    def _patience(self) -> float | None:
        times = [self._stop_by, self._next_birth, self._porter.deadline()]
        times += [time.monotonic() + LOOK_SECONDS] if self._current is None else []
        times += [self._successor.born + STARTING_SECONDS] if self._successor else []
        nearest = min((moment for moment in times if moment is not None), default=None)
        return None if nearest is None else max(0.0, nearest - time.monotonic())

    def _on_signals(self) -> None:
        numbers = self._signals.recv(1024)
        if self._stop_by is None and (signal.SIGTERM in numbers or signal.SIGINT in numbers):
            self._stop_by = time.monotonic() + self._stop_seconds
            self._next_birth = None
            for worker in self._workers.values():
                os.kill(worker.pid, signal.SIGTERM)

    def _on_word(self, worker: _Worker) -> None:
        try:
            words = worker.line.recv(16)
        except ConnectionResetError:  # it died with something unread; `_reap` hears of it
            return
        if READY in words:
            worker.ready = True
            if worker is self._successor:
                self._take_over(worker)
        if REPLACE in words and worker is self._current:
            self._bear_successor()

    def _bear_successor(self) -> None:
        """One, and none while a worker is still leaving: generations must not pile up behind somebody's long stream."""
        alone = len(self._workers) == 1
        if alone and self._stop_by is None and time.monotonic() >= self._no_successor_before:
            self._successor = self._bear("successor")

    def _take_over(self, worker: _Worker) -> None:
        former, self._current, self._successor = self._current, worker, None
        self._next_birth = None
        log.info("process %d takes over", worker.pid)
        if former is not None:
            with suppress(BrokenPipeError, ConnectionResetError):
                former.line.sendall(LEAVE)

    def _reap(self) -> None:
        while self._workers:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            worker = self._workers.pop(pid, None)
            if worker is not None:
                worker.line.close()
                self._buried(worker, os.waitstatus_to_exitcode(status))
                self._clean_up()

    def _buried(self, worker: _Worker, code: int) -> None:
        if self._stop_by is not None:
            return
        if worker is self._successor:
            self._successor = None
            self._no_successor_before = time.monotonic() + REST_SECONDS[-1]
            log.error("the successor of process %s ended with code %d before it was ready", self._name(), code)
        elif worker is self._current:
            self._current = None
            sound = worker.ready and time.monotonic() - worker.born > SOUND_SECONDS
            self._crashes = 1 if sound else self._crashes + 1
            rest = REST_SECONDS[min(self._crashes, len(REST_SECONDS) - 1)]
            log.error("process %d ended with code %d; another starts in %g s", worker.pid, code, rest)
            self._next_birth = time.monotonic() + rest

    def _keep_time(self) -> None:
        now = time.monotonic()
        if self._next_birth is not None and now >= self._next_birth:
            self._next_birth = None
            self._current = self._successor or self._bear("again")
            self._successor = None
        if self._successor is not None and now >= self._successor.born + STARTING_SECONDS:
            os.kill(self._successor.pid, signal.SIGKILL)
        if self._stop_by is not None and now >= self._stop_by:
            self._stop_by = now + KILL_AFTER_SECONDS
            for pid in self._workers:
                os.kill(pid, signal.SIGKILL)

    def _name(self) -> str:
        return str(self._current.pid) if self._current else "none"

    def _bear(self, birth: Birth) -> _Worker:
        ours, theirs = socket.socketpair()
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)  # none may fall between our handlers and the worker's own
        pid = os.fork()
        if pid == 0:
            ours.close()
            self._be_worker(Line(theirs, birth))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        theirs.close()
        worker = self._workers[pid] = _Worker(pid, ours, birth)
        return worker

    def _be_worker(self, line: Line) -> NoReturn:
        """Forget the keeper's affairs, work, exit."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            self._signals.close()
            self._porter.forget()
            for number in _SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            for sibling in self._workers.values():
                sibling.line.close()
            die_with_parent(parent=self._pid)
            self._work(line)
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except BaseException:  # nothing may run on as a second keeper
            traceback.print_exc()
        finally:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            os._exit(code)


def close(listeners: Sequence[socket.socket], answering: Answering = plainly) -> None:
    """Stop listening, in all processes at once; who waits in the queue is told so, where else he would be cut off."""
    Porter(listeners, _STOPPED, answering).turn_all_away(DISMISS_SECONDS)
    for listener in listeners:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
