"""The page's side of a live stream: what it sends, what it shows, and how it ends."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from PIL import Image
from websockets.asyncio.server import ServerConnection, serve

from tests.ui import answers_made_up as made_up
from ui.answers import Analysis
from ui.client import Problem, Unreachable
from ui.client.stream import AsyncStream, StreamSummary, read_event
from ui.live import LiveSession
from ui.microphone import SAMPLE_RATE, Microphone, NotSound
from ui.result.live import jpeg_size, live
from ui.tabs.live import button_of, picture_of, shown

SENTIMENT = {
    "label": "positive",
    "valence": 0.8,
    "confidence": 0.9,
    "probabilities": {"negative": 0.05, "neutral": 0.05, "positive": 0.9},
}
FACE = {"box": [10, 10, 40, 40], "track": 3, "sentiment": SENTIMENT, "emotions": {"happy": 0.9}}


def result(captured: int, **changed: Any) -> dict[str, Any]:
    return {
        "type": "result",
        "sequence": 1,
        "source": "face",
        "time": 0.5,
        "latency": 0.05,
        "captured": captured,
        "sentiment": SENTIMENT,
        "modalities": {"face": SENTIMENT},
        "contributions": {"face": 1.0},
        "faces": [FACE],
        "dropped": 2,
        **changed,
    }


class Service:
    """A stand-in for the service over a real WebSocket, in the contract's shape: made-up answers to real frames."""

    def __init__(self) -> None:
        self.started: dict[str, Any] = {}
        self.pictures: list[bytes] = []
        self.sounds: list[bytes] = []
        self.times: list[int] = []
        self.address = ""
        self.ends_with: dict[str, Any] | None = None

    async def answer(self, socket: ServerConnection) -> None:
        self.started = json.loads(await socket.recv())
        await socket.send(json.dumps({"type": "ready", "request_id": "r", "limits": {}, "models": {}}))
        async for message in socket:
            if isinstance(message, str):
                summary = {"type": "summary", "analysis": made_up.of_video(), "dropped": 2}
                await socket.send(json.dumps(summary))
                return
            captured = int.from_bytes(message[1:9], "big")
            self.times.append(captured)
            (self.pictures if message[0] == 1 else self.sounds).append(message[9:])
            if self.ends_with:
                await socket.send(json.dumps({"type": "error", "problem": self.ends_with}))
                return
            if message[0] == 1:
                await socket.send(json.dumps(result(captured)))


@asynccontextmanager
async def served() -> AsyncIterator[Service]:
    service = Service()
    async with serve(service.answer, "127.0.0.1", 0) as server:
        service.address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield service


def session_of(service: Service) -> LiveSession:
    return LiveSession(lambda transcribe: AsyncStream(service.address, transcribe="auto" if transcribe else "never"))


def jpeg(width: int = 64, height: int = 48) -> bytes:
    written = io.BytesIO()
    Image.new("RGB", (width, height), (120, 90, 60)).save(written, "JPEG")
    return written.getvalue()


def wav(samples: np.ndarray, rate: int = 48_000, channels: int = 1) -> bytes:
    """As a browser's recorder writes it: the lengths are not known yet."""
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, channels, rate, rate * 2 * channels, 2 * channels, 16)
    return b"RIFF\xf7\xff\xff\xffWAVE" + form + b"data\xd3\xff\xff\xff" + samples.astype("<i2").tobytes()


async def until(true: Any) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline, "it did not come to that"
        await asyncio.sleep(0.01)


def tone(seconds: float, rate: int, hertz: float = 440.0) -> np.ndarray:
    return np.rint(20_000 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate))


def test_the_borders_of_the_microphone_s_chunks_are_not_heard() -> None:
    spoken = tone(2.0, 48_000)
    microphone = Microphone()
    heard = b"".join(microphone.hear(wav(spoken[at : at + 24_000])) for at in range(0, len(spoken), 24_000))
    samples = np.frombuffer(heard, "<i2").astype(float)
    expected = tone(2.0, SAMPLE_RATE)
    inside = slice(200, len(samples) - 200)
    assert abs(len(samples) - len(expected)) < 40
    assert np.abs(samples[inside] - expected[: len(samples)][inside]).max() < 200  # 1 % of the tone


def test_two_channels_become_one() -> None:
    both = np.stack([np.full(100, 1000), np.full(100, 3000)], axis=1)
    assert set(np.frombuffer(Microphone().hear(wav(both, SAMPLE_RATE, 2)), "<i2")) == {2000}


@pytest.mark.parametrize(
    "chunk",
    [b"", b"RIFF", b"OggS" + bytes(100), wav(np.zeros(4), 4_000), wav(np.zeros(4))[:20] + b"\x03" + bytes(60)],
    ids=["nothing", "a bit", "another format", "another rate", "another coding"],
)
def test_what_no_browser_records_is_refused(chunk: bytes) -> None:
    with pytest.raises(NotSound):
        Microphone().hear(chunk)


async def test_the_first_frame_opens_a_stream_and_the_faces_are_drawn_on_their_own_picture() -> None:
    async with served() as service:
        session = session_of(service)
        session.transcribe = True
        session.picture(jpeg())
        assert session.seen.state == "opening"
        await until(lambda: session.seen.faces)
        html = shown(session)
        await session.close()
    assert service.started["transcribe"] == "auto"
    assert service.pictures == [jpeg()]
    assert base64.b64encode(jpeg()).decode() in html
    assert 'class="ms-box' in html and ">3</span>" in html
    assert "Pictures dropped</dt><dd>2" in html
    assert "ms</dd>" in html


async def test_sound_goes_out_at_the_rate_of_the_service_and_without_gaps() -> None:
    async with served() as service:
        session = LiveSession(lambda _: AsyncStream(service.address), clock=lambda: 1_000.0)  # so nothing comes late
        for _ in range(4):
            session.sound(wav(tone(0.5, 48_000)))
            await asyncio.sleep(0.01)
        await until(lambda: sum(map(len, service.sounds)) >= 2 * 2 * SAMPLE_RATE - 80)
        await session.close()
    assert service.started["sample_rate"] == SAMPLE_RATE
    lasted = [1000 * len(sound) / 2 / SAMPLE_RATE for sound in service.sounds]
    for before, after, length in zip(service.times, service.times[1:], lasted, strict=False):
        assert after - before == pytest.approx(length, abs=1.5)


async def test_stopping_sums_up_and_then_it_can_start_again() -> None:
    async with served() as service:
        session = session_of(service)
        assert button_of(session)["interactive"] is False
        session.picture(jpeg())
        await until(lambda: session.seen.state == "live")
        assert button_of(session)["interactive"] is True
        await session.stop()
        assert session.seen.state == "ended"
        assert isinstance(session.seen.summary, Analysis)
        assert "ms-verdict" in shown(session)
        session.picture(jpeg())  # the camera still runs
        assert session.seen.state == "ended"
        session.again()
        session.picture(jpeg())
        await until(lambda: session.seen.faces)
        await session.close()


async def test_the_service_s_reason_is_shown() -> None:
    async with served() as service:
        service.ends_with = {"code": "rate_limited", "status": 429, "detail": "Too many frames.", "title": "Too many"}
        session = session_of(service)
        session.picture(jpeg())
        await until(lambda: session.seen.state == "ended")
    assert isinstance(session.seen.error, Problem)
    assert "Too many frames." in shown(session)


async def test_a_service_that_is_not_there_is_said() -> None:
    session = LiveSession(lambda _: AsyncStream("http://127.0.0.1:9"))
    session.picture(jpeg())
    await until(lambda: session.seen.state == "ended")
    assert isinstance(session.seen.error, Unreachable)
    assert "is it running?" in shown(session)


async def test_the_last_minute_is_kept_and_no_more() -> None:
    session = LiveSession(lambda _: AsyncStream("http://127.0.0.1:9"))
    session.seen.state = "live"
    for second in range(200):
        session._note(read_event(json.dumps(result(0, source="speech", time=float(second), faces=[]))))
    assert len(session.seen.points) == 60
    assert "the last 60 seconds" in live(session.seen)


def test_markup_in_what_was_said_stays_text() -> None:
    session = LiveSession(lambda _: AsyncStream("http://127.0.0.1:9"))
    session.seen.state = "live"
    session._note(read_event(json.dumps(result(0))))
    segment = {"start": 0.0, "end": 1.0, "text": "<script>${1}</script>", "confidence": 0.5}
    session._note(read_event(json.dumps({"type": "transcript", "language": "en", "segments": [segment]})))
    session._note(read_event(json.dumps({"type": "warning", "code": "<b>", "detail": "<i>"})))
    html = live(session.seen)
    assert "<script>" not in html and "<b>" not in html and "<i>" not in html and "${" not in html


def test_a_summary_keeps_the_service_s_json() -> None:
    body = json.loads(json.dumps(made_up.of_video()))
    event = read_event(json.dumps({"type": "summary", "analysis": body, "dropped": 1}))
    assert isinstance(event, StreamSummary)
    assert event.analysis.raw == body


def test_only_a_jpeg_data_address_is_a_picture() -> None:
    good = "data:image/jpeg;base64," + base64.b64encode(jpeg()).decode()
    assert picture_of({"path": None, "url": good}) == jpeg()
    for url in ("", "http://127.0.0.1/x.jpg", "data:text/html;base64,AAAA", "data:image/jpeg;base64,!!"):
        assert picture_of({"path": None, "url": url}) is None


def test_the_size_of_a_jpeg_is_read_off_its_header() -> None:
    assert jpeg_size(jpeg(320, 200)) == (320, 200)
    assert jpeg_size(b"\xff\xd8") is None
    assert jpeg_size(b"GIF89a" + bytes(40)) is None
