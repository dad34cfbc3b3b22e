"""A live session, fed as a stream feeds it, against the same content as a file."""

from __future__ import annotations

import asyncio
import io
import itertools
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from service.domain.analysis import Analysis
from service.domain.sentiment import Prediction
from service.domain.timeline import Moment
from service.media.pcm import Pcm
from service.media.stream import Frames
from service.pipelines import Options
from service.pipelines.analyze import Inputs, analyze
from service.pipelines.live import Clock, Event, Frame, Recent, Result, Session, Start, Words
from service.pipelines.media import Tools

together = pytest.mark.asyncio(loop_scope="session")
"""In the event loop of the tools."""


class Stage:
    """Runs a session: its three workers, and what it tells."""

    def __init__(self, start: Start, tools: Tools) -> None:
        patient = tools.settings.model_copy(update={"stream_pictures_per_second": 1e6})
        self.told: list[Event] = []
        self.session = Session(start, Tools(tools.models, tools.decoder, patient), self._tell)
        self._workers = [
            asyncio.create_task(work()) for work in (self.session.watch, self.session.listen, self.session.read)
        ]

    async def _tell(self, event: Event) -> None:
        self.told.append(event)

    @property
    def results(self) -> list[Result]:
        return [event for event in self.told if isinstance(event, Result)]

    @property
    def seen(self) -> list[Result]:
        return [result for result in self.results if result.source == "face"]

    async def show(self, data: bytes, captured: int) -> None:
        """Show a picture and wait for its result, so that none is dropped."""
        before = len(self.seen)
        self.session.picture(Frame(data, captured, time.monotonic()))
        while len(self.seen) == before:
            await asyncio.wait(self._workers, timeout=0.002, return_when=asyncio.FIRST_EXCEPTION)
            for worker in self._workers:
                if worker.done():
                    worker.result()

    async def finish(self) -> Analysis:
        await self.session.end_input()
        await asyncio.gather(*self._workers)
        summary = await self.session.finish()
        await self.session.close()
        return summary


def close(first: float, second: float) -> bool:
    return first == pytest.approx(second, abs=1e-4)


def same_sentiment(live: Analysis, file: Analysis) -> None:
    assert live.sentiment.label == file.sentiment.label
    assert live.sentiment.distribution == pytest.approx(file.sentiment.distribution, abs=1e-4)
    assert dict(live.emotions) == pytest.approx(dict(file.emotions), abs=1e-4)
    assert dict(live.fusion.contributions) == pytest.approx(dict(file.fusion.contributions), abs=1e-4)
    assert set(live.modalities) == set(file.modalities)


def same_timeline(live: Analysis, file: Analysis) -> None:
    """Up to the last point, whose end is the length of the file."""
    assert len(live.timeline) == len(file.timeline)
    for here, there in itertools.islice(zip(live.timeline, file.timeline, strict=True), len(file.timeline) - 1):
        assert here.start == there.start
        assert here.sentiment.distribution == pytest.approx(there.sentiment.distribution, abs=1e-4)


def samples_of(path: Path, rate: int) -> NDArray[np.int16]:
    with av.open(str(path)) as opened:
        resampler = av.AudioResampler("s16", "mono", rate)
        parts = [r.to_ndarray() for frame in opened.decode(audio=0) for r in resampler.resample(frame)]
    return np.concatenate(parts, axis=1)[0]


def write_wav(path: Path, samples: NDArray[np.int16], rate: int) -> Path:
    with av.open(str(path), "w") as written:
        stream = written.add_stream("pcm_s16le", rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.sample_rate = rate
        written.mux(stream.encode(frame))
        written.mux(stream.encode(None))
    return path


def cut(data: bytes, sizes: Sequence[int]) -> Iterator[bytes]:
    """Pieces of these sizes, again and again."""
    at = 0
    for size in itertools.cycle(sizes):
        if at >= len(data):
            return
        yield data[at : at + size]
        at += size


async def heard_live(tools: Tools, data: bytes, rate: int, sizes: Sequence[int], transcribe: str) -> Stage:
    stage = Stage(Start(frozenset({"speech"}), Options(transcribe=transcribe, detail="full"), rate), tools)  # type: ignore[arg-type]
    for piece in cut(data, sizes):
        await stage.session.sound(Frame(piece, None, time.monotonic()))
    return stage


@together
@pytest.mark.parametrize(
    ("file", "rate", "sizes"),
    [
        ("jfk.m4a", 16_000, (7919, 3, 50_001)),
        ("jfk_noisy.ogg", 48_000, (9600, 1)),
        ("ravdess_angry_strong_male.ogg", 44_100, (100_000,)),
    ],
)
async def test_a_wav_sent_as_odd_pieces_of_pcm_gets_the_numbers_of_the_file(  # noqa: PLR0917 (fixtures)
    tools: Tools, samples: Path, tmp_path: Path, file: str, rate: int, sizes: tuple[int, ...]
) -> None:
    spoken = samples_of(samples / "audio" / file, rate)
    path = write_wav(tmp_path / "spoken.wav", spoken, rate)
    whole = await analyze(Inputs(audio=path), Options(detail="full", transcribe="never"), tools)
    stage = await heard_live(tools, spoken.tobytes(), rate, sizes, "never")
    live = await stage.finish()
    same_sentiment(live, whole)
    same_timeline(live, whole)
    here, there = live.modalities["speech"], whole.modalities["speech"]
    assert close(here.speech_seconds, there.speech_seconds)
    for mine, its in zip(here.segments, there.segments, strict=True):
        assert close(mine.start, its.start) and close(mine.end, its.end) and close(mine.quality, its.quality)
        assert mine.sentiment.distribution == pytest.approx(its.sentiment.distribution, abs=1e-4)
    assert live.kind == whole.kind == "audio"
    assert live.models == whole.models


@together
async def test_words_are_told_when_they_are_ready_and_are_those_of_the_file(
    tools: Tools, samples: Path, tmp_path: Path
) -> None:
    spoken = samples_of(samples / "audio" / "jfk.m4a", 16_000)
    pause = np.zeros(6 * 16_000, np.int16)
    twice = np.concatenate([spoken, pause, spoken, pause])
    whole = await analyze(Inputs(audio=write_wav(tmp_path / "twice.wav", twice, 16_000)), Options(), tools)
    stage = await heard_live(tools, twice.tobytes(), 16_000, (32_000,), "auto")
    live = await stage.finish()
    same_sentiment(live, whole)
    assert live.transcript == whole.transcript
    told = [event for event in stage.told if isinstance(event, Words)]
    assert told and told[0].segments[0] == whole.transcript.segments[0]  # type: ignore[union-attr]


@together
async def test_the_frames_of_a_video_get_the_numbers_of_the_file(tools: Tools, samples: Path) -> None:
    path = samples / "video" / "portrait_with_speech.mp4"
    whole = await analyze(Inputs(video=path), Options(transcribe="never"), tools)
    stage = Stage(Start(frozenset({"face", "speech"}), Options(transcribe="never"), timestamps=True), tools)
    stream = tools.decoder.stream(path, audio=True, video=True, max_seconds=60, frames_per_second=2.0)
    async with stream as media:
        async for chunk in media:
            if isinstance(chunk, Frames):
                for at, pixels in zip(chunk.times, chunk.pictures, strict=True):
                    await stage.show(lossless(pixels), round(at * 1000))
            else:
                pcm = np.rint(chunk.samples * 32_768).clip(-32_768, 32_767).astype("<i2").tobytes()
                await stage.session.sound(Frame(pcm, round(chunk.start * 1000), time.monotonic()))
    live = await stage.finish()
    face, its = live.modalities["face"], whole.modalities["face"]
    assert face.sentiment.distribution == pytest.approx(its.sentiment.distribution, abs=1e-4)
    assert face.faces[0].box == pytest.approx(its.faces[0].box, abs=0.1)
    assert face.faces[0].start == pytest.approx(its.faces[0].start, abs=2e-3)
    # The file's sound is AAC in float; 16 bits round it.
    assert live.sentiment.distribution == pytest.approx(whole.sentiment.distribution, abs=2e-3)
    assert live.media is not None and whole.media is not None
    assert live.media.frames_read == whole.media.frames_read
    assert stage.session.dropped == 0
    assert live.kind == "video"
    assert live.models == whole.models


@together
async def test_two_people_keep_their_numbers(tools: Tools, samples: Path) -> None:
    stage = Stage(Start(frozenset({"face"}), Options(), timestamps=True), tools)
    path = samples / "video" / "two_people.mp4"
    async with tools.decoder.stream(path, audio=False, video=True, max_seconds=60, frames_per_second=2.0) as media:
        async for chunk in media:
            assert isinstance(chunk, Frames)
            for at, pixels in zip(chunk.times, chunk.pictures, strict=True):
                await stage.show(lossless(pixels), round(at * 1000))
    assert [{face.track for face in result.faces} for result in stage.results] == [{1, 2}] * len(stage.results)
    assert len((await stage.finish()).modalities["face"].faces) == 2


@together
async def test_a_voice_is_heard_before_it_has_finished(tools: Tools, samples: Path) -> None:
    spoken = samples_of(samples / "audio" / "jfk.m4a", 16_000)[: 4 * 16_000]
    stage = await heard_live(tools, spoken.tobytes(), 16_000, (64_000,), "never")
    live = await stage.finish()
    assert "speech" in stage.results[1].modalities
    assert len(live.modalities["speech"].segments) >= 1


@together
async def test_texts_stand_for_the_words_of_the_voice(tools: Tools, samples: Path) -> None:
    spoken = samples_of(samples / "audio" / "jfk.m4a", 16_000)
    stage = await heard_live(tools, spoken.tobytes(), 16_000, (64_000,), "auto")
    await stage.session.text("I hate it", Frame(b"", None, time.monotonic()))
    live = await stage.finish()
    assert live.kind == "multimodal"
    assert live.modalities["text"].source == "given"
    assert live.modalities["text"].text == "I hate it"
    assert set(live.fusion.contributions) == {"text", "speech"}
    assert live.transcript is not None


@together
async def test_missing_sound_is_silence_where_the_sender_tells_the_time(tools: Tools) -> None:
    stage = Stage(Start(frozenset({"speech"}), Options(), timestamps=True), tools)
    for captured in (0, 1_000, 8_000):  # 6 s are missing
        await stage.session.sound(Frame(bytes(32_000), captured, time.monotonic()))
    live = await stage.finish()
    assert live.media is not None and live.media.seconds == pytest.approx(9.0)


def lossless(pixels: NDArray[np.uint8]) -> bytes:
    written = io.BytesIO()
    Image.fromarray(pixels).save(written, "WEBP", lossless=True, quality=0, method=0)
    return written.getvalue()


@given(
    data=st.binary(min_size=2, max_size=20_000),
    sizes=st.lists(st.integers(1, 4_000), min_size=1, max_size=5),
    rate=st.sampled_from([8_000, 16_000, 22_050, 48_000]),
)
@settings(max_examples=40, deadline=None)
def test_however_pcm_is_cut_the_same_samples_come_out(data: bytes, sizes: list[int], rate: int) -> None:
    once, cut_up = Pcm(rate), Pcm(rate)
    whole = [once.add(data), once.finish()]
    parts = [*(cut_up.add(piece) for piece in cut(data, sizes)), cut_up.finish()]
    assert np.array_equal(np.concatenate(whole), np.concatenate(parts))


def test_latency_is_what_lies_above_the_fastest_way_whatever_the_sender_s_clock_says() -> None:
    clock = Clock(timestamps=True)
    clock.place(Frame(b"", 1_000_000, arrived=50.0))
    late = Frame(b"", 1_001_000, arrived=51.4)
    assert clock.place(late) == pytest.approx(1.0)
    assert clock.latency(late, now=51.5) == pytest.approx(0.5)


def test_without_timestamps_latency_counts_from_arrival() -> None:
    clock = Clock(timestamps=False)
    frame = Frame(b"", None, arrived=3.0)
    assert clock.place(frame) == 0.0
    assert clock.latency(frame, now=3.25) == pytest.approx(0.25)


def test_a_result_speaks_of_the_last_seconds_alone() -> None:
    recent = Recent()
    sad, glad = Prediction((0.9, 0.05, 0.05)), Prediction((0.05, 0.05, 0.9))
    recent.add("face", [Moment(0.0, 0.5, sad)], 0.0)
    recent.add("face", [Moment(7.0, 7.5, glad)], 7.0)
    opinion = recent.opinions({"face": 0.8})["face"]
    assert opinion.prediction.probabilities == pytest.approx(glad.probabilities)
    assert opinion.reliability == 0.8
