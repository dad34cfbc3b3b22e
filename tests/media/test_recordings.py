"""Recordings come out as contiguous sound at 16 kHz and upright pictures in time order, in bounded memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from service.media import MediaError, TooLarge, Undecodable, Unsupported
from service.media.decoder import Decoder
from service.media.limits import Limits
from service.media.stream import Frames, MediaInfo, Samples, Summary
from service.media.video import Sampler, _turn
from tests.media import recordings

pytestmark = pytest.mark.asyncio(loop_scope="module")

Put = Callable[[str, bytes], Path]

SAMPLE_RATE = 16_000


@dataclass(frozen=True, eq=False)
class Read:
    """A whole recording."""

    info: MediaInfo
    samples: NDArray[np.float32]
    times: list[float]
    pictures: list[NDArray[np.uint8]]
    summary: Summary


async def read(
    decoder: Decoder,
    path: Path,
    *,
    audio: bool = True,
    video: bool = True,
    max_seconds: float = 900.0,
    frames_per_second: float = 2.0,
    longest_side: int = 640,
) -> Read:
    sound, times, pictures = [np.zeros(0, np.float32)], [], []
    async with decoder.stream(
        path,
        audio=audio,
        video=video,
        max_seconds=max_seconds,
        frames_per_second=frames_per_second,
        longest_side=longest_side,
    ) as stream:
        async for chunk in stream:
            if isinstance(chunk, Samples):
                assert chunk.start == pytest.approx(sum(part.size for part in sound) / SAMPLE_RATE)
                assert chunk.samples.dtype == np.float32 and chunk.samples.size <= 5 * SAMPLE_RATE
                sound.append(chunk.samples)
            else:
                assert isinstance(chunk, Frames) and len(chunk.times) == len(chunk.pictures) <= 8
                times += chunk.times
                pictures += chunk.pictures
        return Read(stream.info, np.concatenate(sound), times, pictures, stream.summary)


def lag_seconds(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """By how much `one` comes later, from the peak of the cross-correlation."""
    size = 1 << (one.size + other.size).bit_length()
    product = np.fft.rfft(one, size) * np.conj(np.fft.rfft(other, size))
    peak = int(np.argmax(np.fft.irfft(product, size)))
    return (peak if peak < size // 2 else peak - size) / SAMPLE_RATE


@pytest.mark.parametrize("folder", ["audio", "video"])
async def test_every_sample_is_read_whole_or_refused_with_one_sentence(
    decoder: Decoder, samples: Path, folder: str
) -> None:
    refused = {"truncated.mp4": Undecodable, "index.tsv": Unsupported}
    for path in sorted((samples / folder).iterdir()):
        try:
            whole = await read(decoder, path)
        except MediaError as error:
            assert type(error) is refused[path.name], path.name
            assert str(error).endswith(".") and str(error).count(". ") == 0
            continue
        assert path.name not in refused
        assert not whole.summary.truncated, path.name
        assert whole.summary.frames_read == len(whole.pictures)
        assert whole.summary.seconds >= whole.samples.size / SAMPLE_RATE > 0 or not whole.info.has_audio
        if whole.info.seconds is not None:
            assert whole.summary.seconds == pytest.approx(whole.info.seconds, abs=0.1), path.name


@pytest.mark.parametrize("name", ["jfk.mp3", "jfk.ogg", "jfk.m4a", "jfk.webm", "jfk_8k_u8.wav", "jfk_telephone.ogg"])
async def test_every_format_sounds_the_same_at_the_same_time(decoder: Decoder, samples: Path, name: str) -> None:
    sound = (await read(decoder, samples / "audio" / name)).samples
    original = (await read(decoder, samples / "audio" / "jfk_16k_s16.wav")).samples
    size = min(sound.size, original.size)
    assert size > 10.9 * SAMPLE_RATE
    assert abs(lag_seconds(sound, original)) < 0.001
    assert np.corrcoef(sound[:size], original[:size])[0, 1] > 0.8


async def test_channels_are_averaged(decoder: Decoder, put: Put) -> None:
    left_and_right = np.tile(np.array([[0.5, -0.1]], np.float32), (SAMPLE_RATE, 1))
    sound = (await read(decoder, put("stereo.wav", recordings.wav(left_and_right)))).samples
    assert sound.size == SAMPLE_RATE
    assert np.allclose(sound, 0.2, atol=1e-6)


async def test_six_channels_are_averaged_too(decoder: Decoder, put: Put) -> None:
    channels = np.tile(np.array([[0.6, 0, 0, 0, 0, 0]], np.float32), (48_000, 1))
    sound = (await read(decoder, put("surround.wav", recordings.wav(channels, rate=48_000)))).samples
    assert np.allclose(sound[200:-200], 0.1, atol=1e-3)


async def test_samples_that_are_not_finite_become_silence(decoder: Decoder, put: Put) -> None:
    samples = np.full(SAMPLE_RATE, 0.25, np.float32)
    samples[100:200] = [np.nan, np.inf] * 50
    sound = (await read(decoder, put("broken.wav", recordings.wav(samples)))).samples
    assert not sound[100:200].any() and np.allclose(np.delete(sound, np.s_[100:200]), 0.25)


async def test_a_wav_of_unknown_length_is_read_to_its_end(decoder: Decoder, put: Put) -> None:
    content = recordings.wav(np.ones(SAMPLE_RATE * 3, np.int16), data_bytes=2**32 - 1)
    assert (await read(decoder, put("piped.wav", content))).summary.seconds == pytest.approx(3.0)


async def test_sound_that_starts_late_starts_with_silence(decoder: Decoder, tmp_path: Path) -> None:
    path = tmp_path / "late.mkv"
    with av.open(path, "w", format="matroska") as container:
        audio = container.add_stream("pcm_s16le", rate=SAMPLE_RATE, layout="mono")
        for second in (0, 1, 4):  # Two seconds are missing.
            frame = av.AudioFrame.from_ndarray(np.full((1, SAMPLE_RATE), 8192, np.int16), "s16", "mono")
            frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, second * SAMPLE_RATE, Fraction(1, SAMPLE_RATE)
            container.mux(audio.encode(frame))
        container.mux(audio.encode(None))
    sound = (await read(decoder, path)).samples
    level_each_second = sound.reshape(-1, SAMPLE_RATE).mean(axis=1)
    assert level_each_second.tolist() == pytest.approx([0.25, 0.25, 0.0, 0.0, 0.25], abs=1e-3)


async def test_a_browsers_recording_without_a_duration_is_read_whole(decoder: Decoder, samples: Path) -> None:
    whole = await read(decoder, samples / "video" / "browser_recording.webm")
    assert whole.info.seconds is None
    assert whole.summary.seconds == pytest.approx(4.8, abs=0.05)
    assert whole.samples.size / SAMPLE_RATE == pytest.approx(4.8, abs=0.05)
    assert len(whole.pictures) == 10


async def test_a_phones_recording_stands_upright(decoder: Decoder, samples: Path) -> None:
    turned = await read(decoder, samples / "video" / "phone_portrait_rotated.mov")
    assert (turned.info.width, turned.info.height) == (360, 640)
    assert {picture.shape for picture in turned.pictures} == {(640, 360, 3)}
    # The same man before the same door, upright from the start: the door is light, his shirt dark.
    upright = (await read(decoder, samples / "video" / "neutral_then_smile.mp4")).pictures
    for one, other in zip(turned.pictures, upright, strict=True):
        assert one[:40].mean() > 2 * one[-40:, 90:270].mean()
        assert other[:40].mean() > 2 * other[-40:, 230:410].mean()


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize("mirrored", [False, True])
async def test_a_display_matrix_is_undone_as_the_player_would(degrees: int, mirrored: bool) -> None:
    cosine, sine = round(np.cos(np.radians(degrees))), round(np.sin(np.radians(degrees)))
    sign = -1 if mirrored else 1
    a, b, c, d = sign * cosine, sine, sign * -sine, cosine
    stored = np.arange(6).reshape(2, 3)
    swap_axes, flip_x, flip_y = _turn((a, b, c, d))
    shown = stored.T if swap_axes else stored
    shown = shown[:, ::-1] if flip_x else shown
    shown = shown[::-1] if flip_y else shown
    # Every stored point must land where the matrix takes it, up to the shift that keeps the picture in view.
    points = {(a * x + c * y, b * x + d * y): stored[y, x] for y in range(2) for x in range(3)}
    left, top = min(x for x, _ in points), min(y for _, y in points)
    assert all(shown[y - top, x - left] == value for (x, y), value in points.items())


async def test_pictures_are_sampled_on_a_grid_and_the_first_always(decoder: Decoder, samples: Path) -> None:
    whole = await read(decoder, samples / "video" / "crying_woman.mp4", frames_per_second=2.0)
    assert whole.times[0] == 0.0
    assert whole.times == pytest.approx([number / 2 for number in range(18)], abs=1 / 24)
    single = await read(decoder, samples / "video" / "one_frame.mp4", frames_per_second=0.1)
    assert single.times == [0.0] and single.info.has_video


async def test_a_sampler_takes_every_frame_of_a_slower_video() -> None:
    sampler = Sampler(frames_per_second=10.0)
    assert [sampler.wants(seconds) for seconds in (0.0, 0.5, 1.0, 7.25)] == [True] * 4
    assert [sampler.wants(seconds) for seconds in (7.26, 7.299, 7.3)] == [False, False, True]


async def test_pictures_show_what_happens_at_their_times(decoder: Decoder, tmp_path: Path) -> None:
    path = recordings.film(tmp_path / "film.mkv", 20, frames_per_second=4)
    whole = await read(decoder, path, frames_per_second=1.0)
    assert whole.times == pytest.approx(range(20))
    levels = [int(picture[40:, 40:].mean().round()) for picture in whole.pictures]
    assert levels == pytest.approx(range(20), abs=2)
    assert all(picture[2:14, 2:22].mean() > 250 for picture in whole.pictures)


async def test_chunks_of_sound_and_pictures_come_together(decoder: Decoder, tmp_path: Path) -> None:
    path = recordings.film(tmp_path / "film.mkv", 60)
    reached = {Samples: 0.0, Frames: 0.0}
    stream = decoder.stream(path, audio=True, video=True, max_seconds=90, frames_per_second=1.0)
    async with stream as recording:
        async for chunk in recording:
            reached[type(chunk)] = chunk.start
            assert abs(reached[Samples] - reached[Frames]) < 10.0


async def test_wide_pixels_make_a_wide_picture(decoder: Decoder, tmp_path: Path) -> None:
    whole = await read(decoder, recordings.film(tmp_path / "wide.mkv", 2, aspect=Fraction(2, 1)))
    assert (whole.info.width, whole.info.height) == (192, 64)
    assert whole.pictures[0].shape == (64, 192, 3)


async def test_pictures_are_no_longer_than_asked_and_the_info_says_the_true_size(
    decoder: Decoder, samples: Path
) -> None:
    whole = await read(decoder, samples / "video" / "two_people.mp4", longest_side=320)
    assert (whole.info.width, whole.info.height) == (960, 270)
    assert whole.pictures[0].shape == (90, 320, 3)


async def test_what_a_recording_lacks_is_said_and_no_error(decoder: Decoder, samples: Path) -> None:
    sound_only = await read(decoder, samples / "video" / "audio_only.mp4")
    assert (sound_only.info.has_audio, sound_only.info.has_video) == (True, False)
    assert not sound_only.pictures and sound_only.samples.size
    silent = await read(decoder, samples / "video" / "no_audio.webm")
    assert (silent.info.has_audio, silent.info.has_video) == (False, True)
    assert silent.pictures and not silent.samples.size
    nothing_wanted = await read(decoder, samples / "video" / "no_audio.webm", video=False)
    assert not nothing_wanted.pictures and not nothing_wanted.samples.size


async def test_only_what_is_asked_is_decoded(decoder: Decoder, samples: Path) -> None:
    heard = await read(decoder, samples / "video" / "portrait_with_speech.mp4", video=False)
    assert heard.info.has_video and not heard.pictures and heard.samples.size
    seen = await read(decoder, samples / "video" / "portrait_with_speech.mp4", audio=False)
    assert seen.info.has_audio and seen.pictures and not seen.samples.size


async def test_a_recording_that_says_it_is_too_long_is_refused_at_once(decoder: Decoder, samples: Path) -> None:
    with pytest.raises(TooLarge, match="longer than 5 seconds"):
        async with decoder.stream(
            samples / "audio" / "jfk_16k_s16.wav", audio=True, video=False, max_seconds=5, frames_per_second=1
        ):
            pytest.fail("it was opened")


@pytest.mark.parametrize("name", ["audio/jfk.mp3", "video/browser_recording.webm"])
async def test_a_recording_that_does_not_say_how_long_it_is_is_counted(
    decoder: Decoder, samples: Path, name: str
) -> None:
    with pytest.raises(TooLarge, match="longer than 3 seconds"):
        await read(decoder, samples / name, max_seconds=3)


async def test_a_video_of_too_many_pixels_is_refused(samples: Path) -> None:
    decoder = Decoder(Limits(max_pixels=100_000))
    await decoder.start()
    with pytest.raises(TooLarge, match=r"640 x 360 pixels; at most 0\.1 million"):
        await read(decoder, samples / "video" / "neutral_then_smile.mp4")
    await decoder.close()


@pytest.mark.parametrize(
    ("content", "error", "sentence"),
    [
        (b"hello, this is a text", Unsupported, "looks like plain text; accepted are WAV"),
        (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", Unsupported, "looks like plain text"),
        (b"PK\x03\x04" + bytes(40), Unsupported, "looks like ZIP"),
        (b"", Undecodable, "is empty"),
        (b"R", Undecodable, "ends within its first 8 bytes"),
        (recordings.wav(np.zeros(8, np.int16))[:30], Undecodable, "cannot be opened"),
        (recordings.wav(np.zeros(0, np.int16)), Undecodable, "nothing in it can be decoded"),
        (recordings.wav(np.zeros(2_000, np.int16), rate=1), TooLarge, "longer than 900 seconds"),
    ],
    ids=["text", "playlist", "archive", "empty", "one byte", "half a header", "no samples", "one sample a second"],
)
async def test_what_is_no_recording_is_refused_in_one_sentence(
    decoder: Decoder, put: Put, content: bytes, error: type[MediaError], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        await read(decoder, put("x.mp4", content))


@pytest.mark.parametrize("name", ["astronaut.jpg", "animated.gif"])
async def test_a_picture_is_no_recording(decoder: Decoder, samples: Path, name: str) -> None:
    with pytest.raises(Unsupported, match="accepted are WAV"):
        await read(decoder, samples / "image" / name)


@pytest.mark.parametrize("name", ["audio/jfk.webm", "video/face_in_the_middle.mkv", "video/crying_woman.mp4"])
async def test_half_a_recording_is_read_as_far_as_it_goes(decoder: Decoder, samples: Path, put: Put, name: str) -> None:
    content = (samples / name).read_bytes()
    try:
        half = await read(decoder, put("half", content[: len(content) // 2]))
    except Undecodable as error:
        assert "cut off before its index" in str(error) and name.endswith(".mp4")
        return
    assert half.summary.truncated
    assert half.info.seconds is not None and 0 < half.summary.seconds < half.info.seconds


@pytest.mark.parametrize("tag", [b"TAG" + b"Title".ljust(125), b"\xff\xfb\x90\x64 junk" * 3], ids=["ID3v1", "junk"])
async def test_what_stands_behind_the_sound_does_not_make_it_incomplete(
    decoder: Decoder, samples: Path, put: Put, tag: bytes
) -> None:
    whole = await read(decoder, put("tagged.mp3", (samples / "audio" / "jfk.mp3").read_bytes() + tag))
    assert whole.summary.seconds == pytest.approx(11.0, abs=0.1)
    assert not whole.summary.truncated


async def test_a_video_that_begins_after_its_sound_has_its_size_from_the_start(
    decoder: Decoder, tmp_path: Path
) -> None:
    path = recordings.film(tmp_path / "late.mkv", 40, first_picture_seconds=30, packets_each_second=50)
    whole = await read(decoder, path)
    assert (whole.info.width, whole.info.height) == (96, 64)
    assert whole.times[0] == pytest.approx(30.0)
    assert whole.pictures[0].shape == (64, 96, 3)


@pytest.mark.parametrize("name", ["audio/jfk.ogg", "video/neutral_then_smile.mp4", "video/browser_recording.webm"])
async def test_damaged_recordings_cost_nothing_but_themselves(
    decoder: Decoder, samples: Path, put: Put, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    whole = bytearray((samples / name).read_bytes())
    chance = np.random.default_rng(13)
    for _ in range(4):
        damaged = bytearray(whole)
        for place in chance.integers(20, len(whole), 40):
            damaged[place] = chance.integers(256)
        try:
            await read(decoder, put("damaged", bytes(damaged)))
        except (TooLarge, Undecodable):
            continue
    assert "PermissionError" not in caplog.text
    assert await decoder.healthy()


async def test_memory_does_not_grow_with_the_length(decoder: Decoder, tmp_path: Path) -> None:
    path = recordings.film(tmp_path / "ten_minutes.mkv", 600)
    resident_bytes, seconds = [], 0.0
    async with decoder.stream(path, audio=True, video=True, max_seconds=700, frames_per_second=1.0) as recording:
        decoding = psutil.Process(recording.process_id)
        async for chunk in recording:
            with suppress(psutil.NoSuchProcess):  # it may end before its last chunks are read
                resident_bytes.append(decoding.memory_info().rss)
            seconds = chunk.start
    assert seconds > 590 and recording.summary.seconds == pytest.approx(600, abs=0.1)
    early, late = max(resident_bytes[:20]), max(resident_bytes[-20:])
    assert late - early < 10e6
    assert late < 200e6


@pytest.mark.skipif(not hasattr(psutil.Process, "io_counters"), reason="this system does not count what is read")
async def test_decoding_waits_while_nobody_reads(decoder: Decoder, tmp_path: Path) -> None:
    path = recordings.film(tmp_path / "two_minutes.mkv", 120)
    async with decoder.stream(path, audio=True, video=True, max_seconds=700, frames_per_second=1.0) as recording:
        decoding = psutil.Process(recording.process_id)
        await anext(recording)
        assert await _stands_still(decoding)
        assert decoding.io_counters().read_chars < path.stat().st_size / 2
        async for chunk in recording:
            last = chunk
        assert last.start > 110


async def _stands_still(process: psutil.Process) -> bool:
    """Whether the process comes to a halt in which it uses no processor time."""
    for _ in range(200):
        before = process.cpu_times()
        await asyncio.sleep(0.1)
        if process.status() == psutil.STATUS_SLEEPING and process.cpu_times() == before:
            return True
    return False
