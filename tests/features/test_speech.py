from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.features.speech import (
    SAMPLE_RATE,
    Samples,
    Segment,
    SpeechDetector,
    VoiceActivity,
    signal_quality,
    speech_segments,
    windows,
)

SPOKEN = (
    "jfk_8k_u8.wav",
    "jfk_16k_s16.wav",
    "jfk_44k1_stereo_s24.wav",
    "jfk_48k_f32.wav",
    "jfk.mp3",
    "jfk.ogg",
    "jfk.m4a",
    "jfk.webm",
    "jfk_telephone.ogg",
    "jfk_quiet.flac",
    "jfk_noisy.ogg",
    "two_speakers_stereo.mp3",
    "ravdess_angry_strong_male.ogg",
    "ravdess_happy_strong_female.ogg",
    "ravdess_sad_strong_female.ogg",
    "ravdess_neutral_male.ogg",
)
SPEECHLESS = ("silence.flac", "pink_noise.ogg", "music_synth.mp3")


def sound(path: Path) -> Samples:
    """A file as mono samples at 16 kHz."""
    with av.open(str(path)) as container:
        resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)
        frames = [part for frame in container.decode(audio=0) for part in resampler.resample(frame)]
        frames += resampler.resample(None)
    return np.concatenate([frame.to_ndarray()[0] for frame in frames])


@pytest.fixture(scope="module")
def jfk(samples: Path) -> Samples:
    return sound(samples / "audio" / "jfk_16k_s16.wav")


def spoken_seconds(segments: list[Segment]) -> float:
    return sum(segment.end_seconds - segment.start_seconds for segment in segments)


@pytest.mark.parametrize("name", SPOKEN)
def test_speech_is_found_where_somebody_speaks(samples: Path, name: str) -> None:
    recording = sound(samples / "audio" / name)
    share = spoken_seconds(speech_segments(recording)) / (len(recording) / SAMPLE_RATE)
    assert 0.3 < share <= 1.0


@pytest.mark.parametrize("name", SPEECHLESS)
def test_no_speech_is_found_where_nobody_speaks(samples: Path, name: str) -> None:
    assert speech_segments(sound(samples / "audio" / name)) == []


@pytest.mark.parametrize("gain", [0.01, 0.1, 1.5])
def test_speech_is_found_however_loud_it_was_recorded(jfk: Samples, gain: float) -> None:
    assert spoken_seconds(speech_segments(jfk * np.float32(gain))) == pytest.approx(
        spoken_seconds(speech_segments(jfk)), abs=1.0
    )


def test_kennedys_pauses_lie_between_his_segments(jfk: Samples) -> None:
    segments = speech_segments(jfk)
    assert len(segments) >= 3
    # He falls silent after "Americans", about 2.2 to 3.3 s, and after "for you", about 7.6 to 8.1 s.
    assert not any(segment.start_seconds < 2.8 < segment.end_seconds for segment in segments)


@given(st.lists(st.integers(0, 50_000), min_size=1, max_size=12))
@settings(max_examples=15, deadline=None)
def test_a_stream_gives_the_segments_of_the_whole_however_it_is_cut(jfk: Samples, sizes: list[int]) -> None:
    detector, heard, at = SpeechDetector(), [], 0
    for size in sizes:
        heard += detector.push(jfk[at : at + size])
        at += size
    heard += detector.push(jfk[at:])
    assert heard + detector.finish() == speech_segments(jfk)


def test_single_samples_give_the_segments_of_the_whole(jfk: Samples) -> None:
    start = jfk[: 2 * SAMPLE_RATE + 7]
    detector = SpeechDetector()
    heard = [segment for sample in start for segment in detector.push(np.array([sample]))]
    assert heard + detector.finish() == speech_segments(start)


def test_a_stream_reports_a_segment_once_its_pause_was_heard(jfk: Samples) -> None:
    detector = SpeechDetector()
    assert detector.push(jfk[: 4 * SAMPLE_RATE]) == speech_segments(jfk)[:1]


def test_a_stream_keeps_no_more_after_an_hour_than_after_a_minute(jfk: Samples) -> None:
    detector = SpeechDetector()

    def kept() -> int:
        return len(detector._pending) + len(detector._probabilities)

    most = 0
    for _ in range(100):
        detector.push(jfk)
        most = max(most, kept())
    assert most < 2 * SAMPLE_RATE


@pytest.mark.parametrize("length", [0, 1, 511, 512, 513])
def test_a_sound_too_short_for_a_word_has_no_speech(length: int) -> None:
    assert speech_segments(np.full(length, 0.1, np.float32)) == []


def test_segments_are_in_order_apart_and_inside_the_recording(jfk: Samples) -> None:
    endless = np.tile(jfk[5 * SAMPLE_RATE : 7 * SAMPLE_RATE], 20)
    for activity in (VoiceActivity(), VoiceActivity(max_speech_seconds=1.5)):
        segments = speech_segments(endless, activity)
        edges = [edge for segment in segments for edge in (segment.start_seconds, segment.end_seconds)]
        assert segments
        assert edges == sorted(edges)
        assert edges[0] >= 0.0
        assert edges[-1] <= len(endless) / SAMPLE_RATE
        assert all(0.25 <= segment.probability <= 1.0 for segment in segments)
        assert all(s.end_seconds - s.start_seconds < activity.max_speech_seconds + 0.4 for s in segments)


@given(st.integers(1, 20 * SAMPLE_RATE), st.sampled_from([(4.0, 2.0), (3.0, 3.0), (1.0, 0.3)]))
@settings(max_examples=60, deadline=None)
def test_windows_cover_the_whole_segment_and_nothing_else(speech: int, shape: tuple[float, float]) -> None:
    window_seconds, hop_seconds = shape
    samples = np.arange(1, speech + 9001, dtype=np.float32)
    segment = Segment(0.25, 0.25 + speech / SAMPLE_RATE, 1.0)
    cut = windows(samples, [segment], window_seconds, hop_seconds)
    first, last = samples[4000], samples[4000 + speech - 1]
    heard = np.unique(np.concatenate([window.samples[: window.valid_samples] for window in cut]))
    assert np.array_equal(heard, np.arange(first, last + 1))
    assert all(len(window.samples) == round(window_seconds * SAMPLE_RATE) for window in cut)
    assert not any(window.samples[window.valid_samples :].any() for window in cut)
    assert all(b.start_seconds - a.start_seconds <= hop_seconds + 1e-6 for a, b in pairwise(cut))


def test_speech_no_longer_than_a_window_is_one_window() -> None:
    samples = np.ones(5 * SAMPLE_RATE, np.float32)
    (window,) = windows(samples, [Segment(1.0, 3.5, 1.0)], 4.0, 2.0)
    assert (window.start_seconds, window.end_seconds, window.valid_samples) == (1.0, 3.5, 40_000)


def test_no_speech_has_no_window_and_no_quality() -> None:
    silence = np.zeros(SAMPLE_RATE, np.float32)
    assert windows(silence, [], 4.0, 2.0) == []
    assert signal_quality(silence, []).score == 0.0


def test_noise_whispering_and_clipping_each_lower_the_quality(jfk: Samples) -> None:
    segments = speech_segments(jfk)
    rng = np.random.default_rng(0)

    def score(samples: Samples) -> float:
        return signal_quality(samples.astype(np.float32), segments).score

    assert score(jfk) == 1.0
    noises = [score(jfk + rng.normal(0, deviation, len(jfk))) for deviation in (0.03, 0.1, 0.3)]
    assert 1.0 > noises[0] > noises[1] > noises[2]
    assert score(jfk * 1e-3) < 0.5
    assert score(np.clip(jfk * 20, -1, 1)) < 0.5


def test_the_quality_of_the_noisy_sample_is_below_that_of_the_clean_one(samples: Path, jfk: Samples) -> None:
    noisy = sound(samples / "audio" / "jfk_noisy.ogg")
    clean = signal_quality(jfk, speech_segments(jfk))
    assert signal_quality(noisy, speech_segments(noisy)).speech_to_noise_db < clean.speech_to_noise_db - 6.0
