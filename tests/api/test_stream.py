"""`/v1/stream` from the first message to the last, with real models, in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image

from service.api import application
from service.api.edge import Edge
from service.pipelines.media import Tools
from service.settings import Settings
from tests.api.conftest import client_of
from tests.api.socket_driver import Closed, Line, line
from tests.pipelines import conftest as pipelines

pytestmark = pytest.mark.asyncio(loop_scope="session")

FACE = ["face"]
tools = pipelines.tools

SECOND = b"\x02" + bytes(2 * 16_000)


@pytest.fixture(scope="session")
def portrait() -> bytes:
    """A frame with the example portrait."""
    return b"\x01" + Path("ui/examples/portrait.jpg").read_bytes()


class House:
    """The application behind its edge, with real tools and settings of this test's own."""

    def __init__(self, tools: Tools, folder: Path, **changed: Any) -> None:
        settings = Settings(temp_folder=folder, **changed)
        self.app = application.build(settings)
        self.backend = self.app.state.backend
        self.backend.folder.open()
        self.backend.tools = Tools(tools.models, tools.decoder, settings)
        self.edge = Edge(application.routes(self.app), self.app, settings)

    @asynccontextmanager
    async def started(self, *modalities: str, **start: Any) -> AsyncIterator[Line]:
        """A stream that is ready."""
        async with line(self.edge) as client:
            await client.open()
            await client.say(type="start", modalities=list(modalities or ("face", "speech")), **start)
            assert (await client.hear())["type"] == "ready"
            yield client


@pytest.fixture
def house(tools: Tools, tmp_path: Path) -> Any:
    """`house(max_streams=1)` is the application with these settings."""
    return lambda **changed: House(tools, tmp_path / "uploads", **changed)


async def refused(client: Line, code: str) -> dict[str, Any]:
    """The Problem that ends a stream, once its close says the same."""
    problem = (await client.until("error"))["problem"]
    assert problem["code"] == code, problem
    closed = await client.end()
    assert closed["code"] == 4000 + problem["status"]
    assert closed["reason"] == code
    assert problem["request_id"] and problem["instance"] == "/v1/stream"
    return problem


def decoding_processes() -> set[int]:
    """Processes below this one."""
    return {child.pid for child in psutil.Process().children(recursive=True)}


async def test_a_picture_is_answered_with_its_faces_and_how_long_it_took(house, portrait):
    async with house().started("face") as client:
        await client.frame(portrait)
        result = await client.hear()
    assert result["type"] == "result" and result["source"] == "face"
    assert result["sequence"] == 1 and result["dropped"] == 0
    assert result["sentiment"]["label"] == "positive"
    assert [face["track"] for face in result["faces"]] == [1]
    assert result["contributions"] == {"face": 1.0}
    assert result["latency"] > 0


async def test_ready_tells_the_limits_and_the_models(house):
    async with line(house(stream_idle_seconds=7.0).edge) as client:
        await client.open()
        await client.say(type="start", modalities=FACE)
        ready = await client.hear()
    assert ready["limits"]["idle_seconds"] == 7.0
    assert "face" in ready["models"] and ready["request_id"]


async def test_the_newest_picture_wins_and_what_it_replaced_is_counted(house, portrait):
    async with house().started("face") as client:
        client.give(*[portrait] * 8)
        await client.say(type="stop")
        results = []
        while (message := await client.hear())["type"] == "result":
            results.append(message)
    assert message["type"] == "summary"
    assert len(results) + message["dropped"] == 8
    assert message["dropped"] >= 4
    assert message["analysis"]["media"]["frames_read"] == len(results)


async def test_texts_are_judged_and_enter_the_summary(house):
    async with house().started("text") as client:
        await client.say(type="text", text="I love it")
        result = await client.hear()
        await client.say(type="stop")
        analysis = (await client.until("summary"))["analysis"]
        assert (await client.end())["code"] == 1000
    assert result["source"] == "text" and result["sentiment"]["label"] == "positive"
    assert analysis["kind"] == "text"
    assert analysis["modalities"]["text"]["text"] == "I love it"
    assert analysis["sentiment"]["label"] == "positive"


async def test_a_summary_is_stored_if_that_is_asked_for(house):
    home = house()
    kept = []

    class History:
        async def save_within(self, _seconds, analyses, caller):
            kept.extend((analysis.id, caller) for analysis in analyses)

    home.backend.history = History()
    async with home.started("text", store=True) as client:
        await client.say(type="text", text="I love it")
        await client.say(type="stop")
        analysis = (await client.until("summary"))["analysis"]
    assert kept == [(analysis["id"], "anyone")]


async def test_a_stream_in_which_nothing_came_abstains(house):
    async with house().started("face", "speech") as client:
        await client.say(type="stop")
        analysis = (await client.until("summary"))["analysis"]
    assert analysis["sentiment"]["reason"] == "no_evidence"
    assert {notice["code"] for notice in analysis["warnings"]} == {"no_video", "no_audio"}


async def test_silence_is_no_evidence(house):
    async with house().started("speech") as client:
        for _ in range(3):
            await client.frame(SECOND)
        result = await client.hear()
        await client.say(type="stop")
        analysis = (await client.until("summary"))["analysis"]
    assert result["source"] == "speech" and result["sentiment"]["reason"] == "no_evidence"
    assert {notice["code"] for notice in analysis["warnings"]} == {"no_speech"}
    assert analysis["media"]["seconds"] == 3.0


async def test_a_bad_picture_is_a_warning_and_the_next_is_looked_at(house, portrait):
    async with house().started("face") as client:
        await client.frame(b"\x01" + b"GIF89a" + bytes(100))
        assert (await client.hear())["code"] == "unsupported_media"
        await client.frame(portrait[:30])
        assert (await client.hear())["code"] == "undecodable"
        await client.frame(portrait)
        assert len((await client.hear())["faces"]) == 1


async def test_a_picture_too_large_for_the_decoder_is_refused_by_its_header(house, tmp_path):
    Image.new("RGB", (9000, 9000)).save(tmp_path / "large.jpg", quality=5)
    async with house().started("face") as client:
        await client.frame(b"\x01" + (tmp_path / "large.jpg").read_bytes())
        assert (await client.hear())["code"] == "too_large"


async def test_twenty_bad_pictures_in_a_row_end_it(house):
    async with house(stream_pictures_per_second=1000).started("face") as client:
        for _ in range(19):
            await client.frame(b"\x01\xff\xd8\xff" + bytes(40))
            assert (await client.hear())["type"] == "warning"
        await client.frame(b"\x01\xff\xd8\xff" + bytes(40))
        await refused(client, "undecodable")


@pytest.mark.parametrize(
    ("message", "code", "pointer"),
    [
        ('{"type": "start"', "malformed_json", None),
        ("[]", "invalid_input", ""),
        ('{"type": "stop"}', "invalid_input", "/type"),
        ('{"type": "dance"}', "invalid_input", "/type"),
        ('{"type": "start", "modalities": []}', "invalid_input", "/modalities"),
        ('{"type": "start", "modalities": ["smell"]}', "invalid_input", "/modalities/0"),
        ('{"type": "start", "modalities": ["speech"], "sample_rate": 7}', "invalid_input", "/sample_rate"),
        ('{"type": "start", "modalities": ["face"], "speed": 2}', "invalid_input", "/speed"),
        ('{"type": "start", "modalities": ["text"], "language": "tlh"}', "language_unsupported", "/language"),
    ],
)
async def test_a_wrong_start_is_told_which_member_is_wrong(house, message, code, pointer):
    async with line(house().edge) as client:
        await client.open()
        await client.text(message)
        problem = await refused(client, code)
    if pointer is not None:
        assert problem["errors"][0]["pointer"] == pointer


@pytest.mark.parametrize(
    "frame",
    [b"", b"\x01", b"\x02", b"\x03abc", SECOND],
    ids=["nothing", "no picture", "no sound", "unknown", "unasked"],
)
async def test_a_frame_that_was_not_agreed_on_ends_it(house, frame):
    async with house().started("face") as client:
        await client.frame(frame)
        await refused(client, "invalid_input")


async def test_a_frame_too_large_ends_it(house):
    async with house(stream_frame_bytes=1000).started("face") as client:
        await client.frame(b"\x01" + bytes(1000))
        assert "0.001 MB" in (await refused(client, "too_large"))["detail"]


async def test_too_many_frames_end_it(house):
    async with house(stream_frames_per_second=2).started("speech") as client:
        client.give(*[b"\x02" + bytes(320)] * 6)
        await refused(client, "rate_limited")


async def test_too_long_a_text_ends_it(house):
    async with house(max_text_characters=5).started("text") as client:
        await client.say(type="text", text="I love it")
        await refused(client, "too_long")


async def test_a_stream_that_sends_nothing_is_ended_with_its_summary(house, portrait):
    async with house(stream_idle_seconds=2.0).started("face") as client:
        await client.frame(portrait)
        assert "Nothing was sent" in (await client.until("error"))["problem"]["detail"]
        assert (await client.until("summary"))["analysis"]["media"]["frames_read"] == 1
        assert (await client.end())["code"] == 4504


async def test_a_stream_ends_when_its_time_is_up(house, portrait):
    async with house(stream_total_seconds=2.5).started("face") as client:
        error = await client.until("error")
        assert "2.5 s" in error["problem"]["detail"]
        assert (await client.end())["code"] == 4504


async def test_sound_sent_faster_than_time_cannot_make_a_stream_longer(house):
    async with house(stream_total_seconds=5.0).started("speech") as client:
        for _ in range(12):
            await client.frame(SECOND)
        await refused(client, "too_large")


async def test_texts_together_have_a_limit_and_a_summary_of_those_within_it(house):
    async with house(stream_text_characters=20).started("text") as client:
        await client.say(type="text", text="I love it")
        await client.say(type="text", text="I love all of it")
        error = await client.until("error")
        assert error["problem"]["code"] == "too_large" and "20 characters" in error["problem"]["detail"]
        assert (await client.until("summary"))["analysis"]["modalities"]["text"]["text"] == "I love it"
        assert (await client.end())["code"] == 4413


async def test_a_text_is_read_once_as_it_comes_and_once_in_the_whole(house, monkeypatch):
    home = house()
    read: list[str] = []
    ask = home.backend.tools.models.text

    async def counted(pieces: list[str]) -> Any:
        read.extend(pieces)
        return await ask(pieces)

    monkeypatch.setattr(home.backend.tools.models, "text", counted)
    async with home.started("text") as client:
        for text in ("I love it", "I hate it"):
            await client.say(type="text", text=text)
        await client.say(type="stop")
        await client.until("summary")
    assert sorted(read) == ["I hate it", "I love it", "I love it\nI hate it"]


async def test_where_the_use_forbids_faces_and_voices_a_stream_takes_texts_alone(house):
    async with line((home := house(use="workplace")).edge) as client:
        await client.open()
        await client.say(type="start", modalities=["face"])
        await refused(client, "use_restricted")
    async with home.started("text") as client:
        await client.say(type="text", text="I love it")
        assert (await client.hear())["sentiment"]["label"] == "positive"


async def test_there_are_only_so_many_streams_and_a_place_is_free_again(house):
    small = house(max_streams=1)
    async with small.started("face"), line(small.edge) as second:
        with pytest.raises(Closed) as closed:
            await second.open()
        assert closed.value.message["type"] == "websocket.http.response.start"
        assert closed.value.message["status"] == 503
        assert (b"retry-after", b"1") in closed.value.message["headers"]
    assert small.backend.streams.taken == 0
    async with small.started("face"):
        assert small.backend.streams.taken == 1


async def test_one_client_has_its_share_of_the_streams(house):
    home = house(max_streams=4, client_share=0.25)
    async with home.started("face"), line(home.edge) as second, line(home.edge, client="198.51.100.7") as other:
        with pytest.raises(Closed) as closed:
            await second.open()
        assert closed.value.message["status"] == 429
        await other.open()
        assert home.backend.streams.taken == 2


async def test_before_the_models_are_there_the_handshake_is_refused(house):
    starting = house()
    starting.backend.tools = None
    async with line(starting.edge) as client:
        with pytest.raises(Closed) as closed:
            await client.open()
    assert closed.value.message["status"] == 503


async def test_another_path_has_no_socket(house):
    async with line(house().edge, "/v1/text") as client:
        with pytest.raises(Closed) as closed:
            await client.open()
    assert closed.value.message["status"] == 404


async def test_plain_http_is_told_to_upgrade(house):
    async with client_of(house().edge) as client:
        answer = await client.get("/v1/stream")
    assert answer.status_code == 426
    assert answer.json()["code"] == "upgrade_required"
    assert answer.headers["upgrade"] == "websocket"


async def test_a_client_that_vanishes_frees_its_place_and_its_process_at_once(house, portrait):
    home = house()
    async with home.started("face", "speech", transcribe="auto") as client:
        await client.frame(portrait)
        await client.hear()
        during = decoding_processes()
        await client.frame(portrait)
        await client.frame(SECOND)
        client.leave()
        await asyncio.wait([client.task], timeout=60)
        assert client.task.done()
        assert home.backend.streams.taken == 0
        assert not home.backend.lifecycle.busy
    for _ in range(1200):  # those that wait for work stay, so the one that ends is the stream's
        if during - decoding_processes():
            break
        await asyncio.sleep(0.05)
    assert during - decoding_processes()


async def test_a_client_that_does_not_read_makes_pictures_wait_not_results(house, portrait):
    async with house(stream_idle_seconds=1.0, stream_pictures_per_second=1000).started("face") as client:
        client.stop_reading()
        for _ in range(30):
            await client.frame(portrait)
            await asyncio.sleep(0.02)
        await asyncio.wait([client.task], timeout=60)
        assert client.task.done()  # it is given up after the idle time


async def test_sound_that_comes_too_fast_waits_with_its_sender(house):
    async with house(stream_frames_per_second=1000).started("speech") as client:
        client.stop_reading()
        for _ in range(90):
            await client.frame(SECOND)
        await asyncio.sleep(0.5)
        assert client.waiting() > 30


async def test_when_the_service_stops_a_stream_hears_it_and_gets_its_summary(house, portrait):
    home = house()
    async with home.started("face") as client:
        await client.frame(portrait)
        await client.hear()
        home.backend.lifecycle.ending.set()
        assert (await client.hear())["problem"]["code"] == "shutting_down"
        assert (await client.hear())["analysis"]["media"]["frames_read"] == 1
        assert (await client.end())["code"] == 4503


async def test_with_timestamps_the_answer_names_the_capture_it_is_about(house, portrait):
    async with house().started("face", timestamps=True) as client:
        for captured in (5_000, 7_250):
            await client.frame(portrait[:1] + captured.to_bytes(8, "big") + portrait[1:])
            result = await client.hear()
            assert result["captured"] == captured
            assert result["time"] == (captured - 5_000) / 1000
            assert result["latency"] >= 0


async def test_open_streams_are_counted_and_counted_down(house, portrait):
    async with client_of((home := house()).edge) as http:
        before = _connections((await http.get("/metrics")).text)
        async with home.started("face") as client:
            await client.frame(portrait)
            await client.hear()
            during = (await http.get("/metrics")).text
            assert _connections(during) == before + 1
            assert 'stream_pictures_total{outcome="looked_at"}' in during
        assert _connections((await http.get("/metrics")).text) == before


def _connections(metrics: str) -> float:
    return next(float(row.split()[-1]) for row in metrics.splitlines() if row.startswith("active_connections"))


async def test_every_message_is_in_the_document(house):
    document = house().app.openapi()
    operation = document["paths"]["/v1/stream"]["get"]
    names = {reference["$ref"].split("/")[-1] for side in operation["x-websocket"].values() for reference in side}
    assert {"StreamStart", "StreamResult", "StreamTranscript", "StreamSummary", "StreamError"} <= names
    assert names <= set(document["components"]["schemas"])
