"""Whatever a file does to its decoder, it costs that file's request alone, and no process is left behind."""

from __future__ import annotations

import asyncio
import ctypes
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import pytest_asyncio

from service.media import DecodersBusy, MediaError, Undecodable
from service.media.decoder import OPERATIONS, Decoder
from service.media.limits import Limits
from service.media.sandbox import Sandbox
from service.media.stream import Samples
from tests.media.conftest import CHECKOUT, eventually, is_running

pytestmark = pytest.mark.asyncio(loop_scope="module")

Put = Callable[[str, bytes], Path]

_LIMITS = Limits(memory_bytes=500_000_000)
_BEHAVIOURS = (
    "count_bytes",
    "crash",
    "abort",
    "leave",
    "hang",
    "hang_up",
    "swell",
    "raise_anything",
    "escape",
    "talk_nonsense",
    "promise_too_much",
)
_PNG = b"\x89PNG\r\n\x1a\n" + bytes(30)
_WAV = b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(30)


def landlock_version() -> int:
    """0 where the system has none."""
    if sys.platform != "linux":
        return 0
    return ctypes.CDLL(None).syscall(444, None, ctypes.c_size_t(0), 1)


def hostile(name: str) -> str:
    return f"tests.media.hostile:{name}"


@asynccontextmanager
async def decoding(limits: Limits = _LIMITS, **operations: str) -> AsyncIterator[Decoder]:
    """A decoder whose named operations are replaced by hostile ones."""
    decoder = Decoder(limits, {**OPERATIONS, **{name: hostile(place) for name, place in operations.items()}})
    await decoder.start()
    try:
        yield decoder
    finally:
        await decoder.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox() -> AsyncIterator[Sandbox]:
    """Runs any hostile operation by its name."""
    sandbox = Sandbox(_LIMITS, {name: hostile(name) for name in _BEHAVIOURS})
    await sandbox.start()
    yield sandbox
    await sandbox.close()


async def answer(sandbox: Sandbox, operation: str, path: Path, **request: Any) -> Mapping[str, Any]:
    """The first message of `operation` on `path`."""
    with path.open("rb") as file:
        async with sandbox.run(operation, file.fileno(), request) as process:
            return (await process.receive()).header


def processes() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


async def test_an_operation_reads_the_open_file_and_its_request(sandbox: Sandbox, put: Put) -> None:
    told = await answer(sandbox, "count_bytes", put("seven", b"7 bytes"), asked=3)
    assert told == {"type": "counted", "bytes": 7, "asked": 3}


@pytest.mark.parametrize(
    ("behaviour", "sentence"),
    [
        ("crash", "made its decoder crash"),
        ("abort", "made its decoder crash"),
        ("leave", "made its decoder crash"),
        ("hang_up", "broke its decoder"),
        ("swell", "more memory"),
        ("talk_nonsense", "broke its decoder"),
        ("promise_too_much", "broke its decoder"),
        ("raise_anything", "cannot be decoded"),
    ],
)
async def test_a_file_that_breaks_its_decoder_is_undecodable_and_the_next_is_read(
    sandbox: Sandbox, put: Put, behaviour: str, sentence: str
) -> None:
    with pytest.raises(Undecodable, match=sentence):
        await answer(sandbox, behaviour, put("bad", b"bytes"))
    assert (await answer(sandbox, "count_bytes", put("good", b"bytes")))["bytes"] == 5


async def test_a_file_that_hangs_its_decoder_is_undecodable_and_the_next_is_read(put: Put, samples: Path) -> None:
    async with decoding(Limits(stall_seconds=5), recording="hang") as decoder:
        stream = decoder.stream(put("a.wav", _WAV), audio=True, video=True, max_seconds=9, frames_per_second=1)
        with pytest.raises(Undecodable, match="gave nothing for 5 seconds"):
            await stream.__aenter__()
        assert (await decoder.picture(samples / "image" / "astronaut_tiny.png")).width == 40


async def test_a_picture_whose_shape_is_a_lie_is_undecodable(put: Put) -> None:
    async with decoding(picture="lie_about_shape") as decoder:
        with pytest.raises(Undecodable, match="broke its decoder"):
            await decoder.picture(put("bad.png", _PNG))


async def test_a_file_that_takes_too_much_processor_time_is_undecodable(put: Put) -> None:
    async with decoding(Limits(cpu_seconds=1, stall_seconds=60), picture="spin") as decoder:
        with pytest.raises(Undecodable, match="more than 1 seconds of processor time"):
            await decoder.picture(put("bad.png", _PNG))


async def test_the_cause_of_a_failure_is_logged_on_one_line_without_what_it_quotes_of_the_file(
    sandbox: Sandbox, put: Put, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    with pytest.raises(Undecodable):
        await answer(sandbox, "raise_anything", put("bad", b"bytes"))
    (line,) = [record.getMessage() for record in caplog.records if "a decoder failed" in record.getMessage()]
    assert "raise_anything" in line and "KeyError" in line and "\n" not in line
    assert "second line" not in line


async def test_frames_larger_than_was_asked_are_refused(put: Put) -> None:
    async with decoding(recording="lie_about_frames") as decoder:
        stream = decoder.stream(put("a.wav", _WAV), audio=True, video=True, max_seconds=9, frames_per_second=1)
        async with stream as recording:
            with pytest.raises(Undecodable, match="broke its decoder"):
                await anext(recording)


async def test_samples_that_are_not_numbers_become_silence(put: Put) -> None:
    async with decoding(recording="poison_samples") as decoder:
        stream = decoder.stream(put("a.wav", _WAV), audio=True, video=True, max_seconds=9, frames_per_second=1)
        async with stream as recording:
            chunk = await anext(recording)
            assert isinstance(chunk, Samples) and np.array_equal(chunk.samples, np.zeros(16))


@pytest.mark.skipif(landlock_version() < 6, reason="needs Linux with Landlock of version 6 (6.12)")
async def test_a_decoder_that_was_taken_over_gets_nowhere(sandbox: Sandbox, put: Put) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        told = await answer(
            sandbox,
            "escape",
            put("file", b"any"),
            secret=str(put("secret", b"of another user")),
            port=server.getsockname()[1],
            service_pid=os.getpid(),
        )
    assert told["worked"] == []


async def test_a_decoder_sees_nothing_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENTIMENT_SECRET", "of the operator")
    before = set(processes())
    async with decoding():
        assert await eventually(lambda: len(set(processes()) - before) >= 3)
        environments = [process.environ() for process in set(processes()) - before]
        assert "of the operator" not in str(environments)


async def test_others_are_answered_while_one_hangs(put: Put, samples: Path) -> None:
    async with decoding(recording="hang") as decoder:
        stream = decoder.stream(put("a.wav", _WAV), audio=True, video=True, max_seconds=9, frames_per_second=1)
        hanging = asyncio.create_task(stream.__aenter__())
        pictures = [decoder.picture(samples / "image" / "astronaut.jpg") for _ in range(6)]
        assert {picture.width for picture in await asyncio.gather(*pictures)} == {512}
        assert not hanging.done()
        hanging.cancel()
        await asyncio.wait([hanging])


async def test_a_cancelled_request_kills_its_process(sandbox: Sandbox, put: Put) -> None:
    started: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def request() -> None:
        with put("file", b"any").open("rb") as file:
            async with sandbox.run("hang", file.fileno(), {}) as process:
                started.set_result(process.pid)
                await process.receive()

    task = asyncio.create_task(request())
    pid = await started
    assert is_running(pid)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await eventually(lambda: not is_running(pid))


async def test_a_recording_that_is_left_early_kills_its_process(samples: Path) -> None:
    async with decoding() as decoder:
        path = samples / "video" / "crying_woman.mp4"
        async with decoder.stream(path, audio=True, video=True, max_seconds=60, frames_per_second=25) as recording:
            await anext(recording)
            pid = recording.process_id
            assert is_running(pid)
        assert await eventually(lambda: not is_running(pid))


async def test_nothing_is_left_when_the_decoder_closes(put: Put) -> None:
    before = set(processes())
    async with decoding(picture="hang") as decoder:
        waiting = asyncio.create_task(decoder.picture(put("bad.png", _PNG)))
        await eventually(lambda: len(set(processes()) - before) >= 3)
        started = set(processes()) - before
    assert not [process for process in started if is_running(process.pid)]
    with pytest.raises(DecodersBusy):
        await waiting
    with pytest.raises(DecodersBusy, match="shutting down"):
        await decoder.picture(put("late.png", _PNG))


async def test_the_forking_process_is_started_again_when_it_dies(sandbox: Sandbox, put: Put) -> None:
    path = put("file", b"any")
    with path.open("rb") as file:
        async with sandbox.run("hang", file.fileno(), {}) as process:
            forking = psutil.Process(process.pid).parent()
            assert forking is not None and forking.pid != os.getpid()
            forking.kill()
            with pytest.raises(DecodersBusy, match="send the request again"):
                await process.receive()
    assert await eventually(lambda: not is_running(process.pid))
    assert (await answer(sandbox, "count_bytes", path))["bytes"] == 3


@pytest.mark.skipif(sys.platform != "linux", reason="macOS has no signal for the death of a parent")
async def test_nothing_outlives_a_service_that_is_killed(put: Put) -> None:
    program = """
import asyncio, sys
from pathlib import Path
from service.media.decoder import OPERATIONS, Decoder
from service.media.limits import Limits

async def main():
    decoder = Decoder(Limits(), {**OPERATIONS, "picture": "tests.media.hostile:hang"})
    await decoder.start()
    print("started", flush=True)
    await decoder.picture(Path(sys.argv[1]))

asyncio.run(main())
"""
    path = put("bad.png", _PNG)
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True
    ) as service:
        assert service.stdout is not None
        await asyncio.to_thread(service.stdout.readline)
        family = psutil.Process(service.pid)
        await eventually(lambda: len(family.children(recursive=True)) >= 3)
        children = family.children(recursive=True)
        service.kill()
    assert len(children) >= 3
    assert await eventually(lambda: not any(is_running(child.pid) for child in children))


async def test_no_more_are_decoded_at_once_than_was_set_and_no_more_wait(put: Put) -> None:
    limits = Limits(decoders=1, waiting=1, stall_seconds=1.0)
    async with decoding(limits, picture="hang") as decoder:
        path = put("bad.png", _PNG)
        results = await asyncio.gather(*(decoder.picture(path) for _ in range(3)), return_exceptions=True)
        assert [type(result) for result in results] == [Undecodable, Undecodable, DecodersBusy]


async def test_a_decoder_whose_libraries_fail_is_not_healthy() -> None:
    async with decoding(check="crash") as decoder:
        assert not await decoder.healthy()
    async with decoding() as decoder:
        assert await decoder.healthy()


async def test_many_requests_at_once_are_all_answered(samples: Path) -> None:
    async with decoding(Limits(decoders=2, waiting=200)) as decoder:
        names = ["astronaut.jpg", "empty.png", "astronaut_tiny.png", "bomb_400mp.png"] * 15
        requests = (decoder.picture(samples / "image" / name) for name in names)
        results = await asyncio.gather(*requests, return_exceptions=True)
    assert [isinstance(result, MediaError) for result in results] == [False, True, False, True] * 15
