"""Decoding processes, as the service sees them: one a file, limited, watched, and killed with the request."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from service.media import DecodersBusy, Undecodable, wire
from service.media.limits import Limits

_log = logging.getLogger(__name__)

_BOOT = (
    "import json, sys; settings = json.loads(sys.argv[1]); sys.path[:] = settings['path']; "
    "from service.media.nursery import main; main(settings)"
)
_KEPT_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR", "LANG", "LC_ALL")
"""All that the forking process sees of the environment, which may hold secrets."""

_ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",  # A process with threads should not fork.
    "MALLOC_ARENA_MAX": "1",
    "OBJC_DISABLE_INITIALIZE_FORK_SAFETY": "YES",
}
_START_SECONDS = 30.0
_STOP_SECONDS = 5.0
_LAST_WORDS_SECONDS = 3.0
_EVENT_BYTES = 64 * 1024

_RESTARTED = "The decoder had to be restarted; send the request again."


@dataclass(frozen=True, eq=False)
class _Child:
    """A process that waits for its order or carries it out: its pid, then its exit status (negative: a signal).

    None instead of either: the forking process has ended, and all its children with it.
    """

    id: int
    connection: socket.socket
    started: asyncio.Future[int | None]
    ended: asyncio.Future[int | None]


class DecodingProcess:
    """The reader's end of one running operation."""

    def __init__(self, child: _Child, limits: Limits) -> None:
        self.pid = child.started.result() or 0
        self._connection = child.connection
        self._ended = child.ended
        self._limits = limits

    async def receive(self, max_payload_bytes: int = 0) -> wire.Message:
        """The next message, the last being of type `end`.

        Raises what the operation raised; `Undecodable` if it crashed, hung, ran out of time or talks nonsense;
        `DecodersBusy` if it was lost through no fault of the file.
        """
        try:
            awaited = wire.receive(self._connection, max_payload_bytes)
            message = await asyncio.wait_for(awaited, self._limits.stall_seconds)
        except asyncio.TimeoutError:
            seconds = self._limits.stall_seconds
            raise Undecodable(f"The file held up its decoder, which gave nothing for {seconds:g} seconds.") from None
        except wire.Garbled as error:
            raise Undecodable("The file broke its decoder.") from error
        if message is None:
            raise await self._why_it_ended()
        if message.header.get("type") == "error":
            if "cause" in message.header:  # As repr: a hostile sender must not write lines of its own.
                _log.info("a decoder failed: %r", message.header["cause"])
            raise wire.read_error(message.header)
        return message

    async def _why_it_ended(self) -> Undecodable | DecodersBusy:
        # It may have hung up and live on; whoever leaves `run` kills it.
        await asyncio.wait([self._ended], timeout=_LAST_WORDS_SECONDS)
        if not self._ended.done():
            return Undecodable("The file broke its decoder.")
        status = self._ended.result()
        _log.info("a decoding process ended with status %s", status)
        if status is None:
            return DecodersBusy(_RESTARTED)
        if status == -signal.SIGXCPU:
            seconds = self._limits.cpu_seconds
            return Undecodable(f"The file needs more than {seconds} seconds of processor time to decode.")
        return Undecodable("The file made its decoder crash.")


class Sandbox:
    """Starts decoding processes through one forking process (`nursery`), which is started again should it die.

    As many as may decode at once are forked ahead and wait, so that nobody waits for a fork; each reads one file only.
    """

    def __init__(self, limits: Limits, operations: Mapping[str, str]) -> None:
        """`operations` names what can be run: `"module:function"` of the type `nursery.Operation`."""
        self._limits = limits
        self._operations = dict(operations)
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._listener: asyncio.Task[None] | None = None
        self._filling: asyncio.Task[None] | None = None
        self._children: dict[int, _Child] = {}
        self._idle: deque[_Child] = deque()
        self._ids = itertools.count(1)
        self._one_order = asyncio.Lock()
        self._is_closed = False

    async def start(self) -> None:
        """Be ready to decode; does nothing if it is."""
        await self._fill()

    async def close(self) -> None:
        """Kill what runs and leave no process behind."""
        self._is_closed = True
        if self._filling is not None:
            self._filling.cancel()
        async with self._one_order:
            if self._listener is not None and self._control is not None:
                # The forking process kills its children and ends when it reads the end of its orders.
                self._control.shutdown(socket.SHUT_WR)
                await self._listener

    @asynccontextmanager
    async def run(self, operation: str, file: int, request: Mapping[str, Any]) -> AsyncIterator[DecodingProcess]:
        """Run `operation` on the open descriptor `file`; its process is killed when the block is left."""
        child = await self._take()
        try:
            with _restart_is_busy():
                wire.send_order(child.connection, wire.Order(operation, request, file))
            yield DecodingProcess(child, self._limits)
        finally:
            self._kill(child)
            self._fill_soon()

    async def _take(self) -> _Child:
        """A process that waits for an order, or else a new one."""
        while self._idle:
            child = self._idle.popleft()
            if not child.ended.done():
                return child
            child.connection.close()
        return await self._fork()

    async def _fork(self) -> _Child:
        """One at a time, until it is answered: the descriptors of two must not arrive in one read."""
        async with self._one_order:
            control = await self._ensure_started()
            loop = asyncio.get_running_loop()
            ours, theirs = socket.socketpair()
            ours.setblocking(False)
            child = _Child(next(self._ids), ours, loop.create_future(), loop.create_future())
            self._children[child.id] = child
            with theirs, _restart_is_busy():
                socket.send_fds(control, [_line({"start": child.id})], [theirs.fileno()])
            try:
                pid = await asyncio.shield(child.started)
            except asyncio.CancelledError:
                self._kill(child)
                raise
            if pid is None:
                raise DecodersBusy(_RESTARTED)
            return child

    async def _fill(self) -> None:
        while len(self._idle) < self._limits.decoders:
            self._idle.append(await self._fork())

    def _fill_soon(self) -> None:
        if not self._is_closed and (self._filling is None or self._filling.done()):
            self._filling = asyncio.create_task(self._fill())
            self._filling.add_done_callback(_log_failure)

    def _kill(self, child: _Child) -> None:
        child.connection.close()
        if child.id in self._children and self._control is not None:
            with suppress(BrokenPipeError):  # The forking process has ended, and its children with it.
                self._control.send(_line({"kill": child.id}))

    async def _ensure_started(self) -> socket.socket:
        """The socket that orders go to; starts the forking process unless it runs."""
        if self._is_closed:
            raise DecodersBusy("The service is shutting down.")
        if self._control is not None:
            return self._control
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            self._process = _launch(theirs, self._operations, self._limits)
        events = _events(ours)
        try:
            await asyncio.wait_for(anext(events), _START_SECONDS)
            self._control = ours
        except (asyncio.TimeoutError, StopAsyncIteration) as error:
            raise RuntimeError("the decoder's process does not start") from error
        finally:
            if self._control is None:
                ours.close()
                self._process.kill()
                self._process.wait()
        self._listener = asyncio.create_task(self._listen(events))
        return ours

    async def _listen(self, events: AsyncIterator[Mapping[str, Any]]) -> None:
        """Note what the forking process says until it ends."""
        async for event in events:
            if "started" in event:
                self._children[event["started"]].started.set_result(event["pid"])
            else:
                self._children.pop(event["ended"]).ended.set_result(event["status"])
        await self._forget_process()

    async def _forget_process(self) -> None:
        """It has ended, asked or not: whoever waits for a child of it waits in vain."""
        control, process, children = self._control, self._process, list(self._children.values())
        self._control, self._process = None, None
        self._children.clear()
        while self._idle:
            self._idle.pop().connection.close()
        for child in children:
            for future in (child.started, child.ended):
                if not future.done():
                    future.set_result(None)
        if control is not None:
            control.close()
        if process is not None:
            await asyncio.to_thread(_reap, process)


def _line(order: Mapping[str, Any]) -> bytes:
    return json.dumps(order).encode() + b"\n"


@contextmanager
def _restart_is_busy() -> Iterator[None]:
    """A pipe that breaks while an order is given: the process on its other side was lost, through no file's fault."""
    try:
        yield
    except BrokenPipeError as error:
        raise DecodersBusy(_RESTARTED) from error


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        _log.error("no decoding process could be started ahead: %s", task.exception())


async def _events(control: socket.socket) -> AsyncIterator[Mapping[str, Any]]:
    """What the forking process says, line by line."""
    loop = asyncio.get_running_loop()
    unread = b""
    while True:
        try:
            data = await loop.sock_recv(control, _EVENT_BYTES)
        except ConnectionError:
            return
        if not data:
            return
        *lines, unread = (unread + data).split(b"\n")
        for line in lines:
            yield json.loads(line)


def _launch(control: socket.socket, operations: Mapping[str, str], limits: Limits) -> subprocess.Popen[bytes]:
    settings = {
        "path": [os.path.abspath(entry) for entry in sys.path],
        "control": control.fileno(),
        "operations": operations,
        "memory_bytes": limits.memory_bytes,
        "cpu_seconds": limits.cpu_seconds,
    }
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    return subprocess.Popen(
        [sys.executable, "-I", "-c", _BOOT, json.dumps(settings)],
        env=kept | _ONE_THREAD,
        stdin=subprocess.DEVNULL,
        pass_fds=(control.fileno(),),
        start_new_session=True,  # Ctrl-C is for the service, which closes the socket when it has finished.
    )


def _reap(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
