"""Recordings, pictures and videos, from a file to an answer."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest

from service.features.face import LOW_QUALITY
from service.media import Undecodable, Unsupported
from service.pipelines import LanguageUnsupported, Options
from service.pipelines.analyze import Inputs, analyze
from service.pipelines.face import see
from service.pipelines.media import Tools
from tests.pipelines.conftest import Ask, codes

pytestmark = pytest.mark.asyncio(loop_scope="session")

JFK = "And so my fellow Americans, ask not what your country can do for you, ask what you can do for your country."


def words(text: str) -> list[str]:
    """Lower-case words without punctuation."""
    return "".join(c if c.isalnum() else " " for c in text.lower()).split()


@pytest.mark.parametrize("file", ["silence.flac", "pink_noise.ogg", "music_synth.mp3"])
async def test_a_recording_in_which_nobody_speaks_abstains(ask: Ask, file: str) -> None:
    answer = await ask(audio=file)
    assert codes(answer) == {"no_speech"}
    assert answer.sentiment.reason == "no_evidence"
    assert answer.modalities["speech"].speech_seconds == 0.0


@pytest.mark.parametrize("file", ["jfk.m4a", "jfk.webm", "jfk_8k_u8.wav", "jfk_telephone.ogg"])
async def test_speech_is_heard_and_put_into_words(ask: Ask, file: str) -> None:
    answer = await ask(audio=file)
    assert answer.transcript is not None
    assert words(answer.transcript.text) == words(JFK)
    assert {"text", "speech"} <= set(answer.modalities)
    assert answer.modalities["text"].source == "transcript"
    assert sum(answer.fusion.contributions.values()) == pytest.approx(1.0)
    assert answer.timeline[-1].end == pytest.approx(11.0, abs=0.3)


@pytest.mark.parametrize("file", ["jfk_quiet.flac", "jfk_noisy.ogg", "two_speakers_stereo.mp3"])
async def test_hard_speech_is_found(ask: Ask, file: str) -> None:
    answer = await ask(audio=file, transcribe="never")
    assert answer.modalities["speech"].speech_seconds > 1.0
    assert answer.transcript is None


@pytest.mark.parametrize("emotion", ["angry_strong_male", "happy_strong_female", "sad_strong_female"])
async def test_a_voice_shows_its_emotion(ask: Ask, emotion: str) -> None:
    answer = await ask(audio=f"ravdess_{emotion}.ogg", detail="full")
    speech = answer.modalities["speech"]
    assert max(speech.emotions, key=lambda name: speech.emotions[name]) == emotion.split("_", maxsplit=1)[0]
    assert len(speech.segments) >= 1


async def test_a_text_that_comes_with_a_recording_stands_for_its_words(ask: Ask) -> None:
    answer = await ask(text="I love it", audio="jfk.ogg")
    assert answer.kind == "multimodal"
    assert answer.transcript is None
    assert answer.modalities["text"].source == "given"
    assert set(answer.fusion.without) == {"text", "speech"}


async def test_words_and_face_share_in_the_emotions_by_their_weights(ask: Ask) -> None:
    answer = await ask(text="My grandmother died last night.", image="portrait_smile.jpg")
    words, face = answer.modalities["text"].emotions, answer.modalities["face"].emotions
    weights = answer.fusion.weights
    assert answer.emotions["sad"] == pytest.approx(weights["text"] * words["sad"] + weights["face"] * face["sad"])
    assert answer.emotions["happy"] == pytest.approx(weights["text"] * words["happy"] + weights["face"] * face["happy"])
    assert sum(answer.emotions.values()) == pytest.approx(1)


async def test_a_voice_in_a_language_without_transcription_is_heard_all_the_same(ask: Ask) -> None:
    answer = await ask(audio="jfk.ogg", language="pl")
    assert "language_unsupported" in codes(answer)
    assert "speech" in answer.modalities
    with pytest.raises(LanguageUnsupported):
        await ask(audio="jfk.ogg", language="tlh")


async def test_a_smile_is_positive_however_its_picture_is_stored(ask: Ask) -> None:
    upright = await ask(image="astronaut.jpg")
    turned = await ask(image="astronaut_exif_rotated.jpg")
    assert upright.sentiment.label == "positive"
    assert len(upright.modalities["face"].faces) == 1
    assert turned.sentiment.distribution == pytest.approx(upright.sentiment.distribution, abs=0.05)
    assert turned.modalities["face"].faces[0].box == pytest.approx(upright.modalities["face"].faces[0].box, abs=8)


@pytest.mark.parametrize("file", ["no_face_coffee.jpg", "no_face_rocket.jpg", "no_face_dogs.jpg"])
async def test_a_picture_without_a_face_abstains(ask: Ask, file: str) -> None:
    answer = await ask(image=file)
    assert "no_face" in codes(answer)
    assert answer.sentiment.reason == "no_evidence"


@pytest.mark.parametrize("file", ["mask_one.jpg", "mask_two.jpg"])
async def test_a_masked_face_is_found_but_not_judged(ask: Ask, file: str) -> None:
    answer = await ask(image=file)
    assert "low_quality" in codes(answer)
    assert answer.modalities["face"].faces
    assert all(face.quality < LOW_QUALITY for face in answer.modalities["face"].faces)
    assert answer.sentiment.abstained


@pytest.mark.parametrize(
    "file",
    ["three_smiling.jpg", "group_five.jpg", "selfie_neutral.jpg", "portrait_smile.jpg", "portrait_stern.jpg"],
)
async def test_a_clear_face_is_not_marked_as_hard_to_judge(ask: Ask, file: str) -> None:
    answer = await ask(image=file)
    assert "low_quality" not in codes(answer)
    assert all(face.quality > 0.7 for face in answer.modalities["face"].faces)


async def test_two_moods_in_one_picture_are_told_apart_and_not_summed_up_with_confidence(ask: Ask) -> None:
    answer = await ask(image="two_moods.jpg")
    left, right = sorted(answer.modalities["face"].faces, key=lambda face: face.box[0])
    assert left.sentiment.label == "negative"
    assert right.sentiment.label == "positive"
    assert answer.sentiment.reason == "low_confidence"


async def test_a_video_gives_face_voice_and_words_on_one_timeline(ask: Ask) -> None:
    answer = await ask(video="portrait_with_speech.mp4")
    assert set(answer.modalities) == {"text", "speech", "face"}
    assert len(answer.modalities["face"].faces) == 1
    assert answer.modalities["face"].sentiment.label == "positive"
    assert any(point.face and point.speech and point.text for point in answer.timeline)
    assert answer.media is not None and answer.media.frames_read
    assert {"text", "speech", "face", "detector", "transcript"} == set(answer.models)


async def test_the_timeline_follows_a_face_from_neutral_to_a_smile(ask: Ask) -> None:
    answer = await ask(video="neutral_then_smile.mp4")
    faces = [point.face.valence for point in answer.timeline if point.face]
    assert faces[-1] > faces[0]
    assert "no_speech" in codes(answer)


async def test_a_face_counts_for_less_while_a_hand_covers_its_mouth(tools: Tools, samples: Path) -> None:
    with av.open(str(samples / "video" / "crying_woman.mp4")) as video:
        frames = [frame.to_ndarray(format="rgb24") for frame in islice(video.decode(video=0), 0, None, 12)]
        seconds = [12 * index / float(video.streams.video[0].average_rate) for index in range(len(frames))]
    seen = await see(frames, [1.0] * len(frames), tools.models)
    before, behind = (
        np.mean([face.quality for at, faces in zip(seconds, seen, strict=True) for face in faces if low <= at < high])
        for low, high in ((0, 2.2), (3.5, 6))
    )
    assert behind < before - 0.2


async def test_a_face_is_only_reported_while_it_is_there(ask: Ask) -> None:
    answer = await ask(video="face_in_the_middle.mkv")
    seen = [point.start for point in answer.timeline if point.face]
    assert seen and min(seen) >= 1.0 and max(seen) <= 4.5
    assert "no_audio" in codes(answer)


async def test_two_people_are_two_tracks(ask: Ask) -> None:
    answer = await ask(video="two_people.mp4")
    faces = sorted(answer.modalities["face"].faces, key=lambda face: face.box[0])
    assert len(faces) == 2
    assert [face.track for face in answer.modalities["face"].faces] == [1, 2]
    assert faces[0].sentiment.valence < faces[1].sentiment.valence


async def test_a_video_without_faces_still_has_a_voice(ask: Ask) -> None:
    answer = await ask(video="no_face.mp4")
    assert "no_face" in codes(answer)
    assert "speech" in answer.fusion.contributions
    assert "face" not in answer.fusion.contributions


async def test_a_file_without_pictures_is_heard(ask: Ask) -> None:
    answer = await ask(video="audio_only.mp4")
    assert "no_video" in codes(answer)
    assert "face" not in answer.modalities
    assert answer.transcript is not None


async def test_a_phone_video_is_seen_upright(ask: Ask) -> None:
    answer = await ask(video="phone_portrait_rotated.mov")
    assert answer.media is not None and (answer.media.width, answer.media.height) == (360, 640)
    assert len(answer.modalities["face"].faces) == 1


async def test_a_wrong_file_is_an_error_in_one_sentence(tools: Tools, tmp_path: Path) -> None:
    letter = tmp_path / "x.mp4"
    letter.write_text("Dear Sir or Madam, this is not a film.\n" * 20)
    with pytest.raises(Unsupported):
        await analyze(Inputs(video=letter), Options(), tools)
    (tmp_path / "empty").touch()
    with pytest.raises(Undecodable):
        await analyze(Inputs(audio=tmp_path / "empty"), Options(), tools)


async def test_one_bad_file_among_good_ones_fails_the_request(tools: Tools, samples: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(Undecodable):
        await analyze(Inputs(text="Hi", audio=samples / "audio/jfk.ogg", image=tmp_path / "empty"), Options(), tools)
