"""Explanations over the real models: exact where parts are left out, faithful where places are covered."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from service.domain.analysis import Analysis
from service.domain.explanation import Explanation, Reason
from service.domain.fusion import FusionRule
from service.domain.labels import SENTIMENTS
from service.domain.sentiment import Sentiment
from service.features.occlusion import COLUMNS, GRID, PATCH_COLUMNS, PATCH_ROWS, PATCHES, ROWS, FaceView
from service.features.speech import SAMPLE_RATE
from service.features.text import words
from service.media.decoder import Picture
from service.media.stream import Samples
from service.pipelines import Options, face
from service.pipelines.analyze import analyze_texts
from service.pipelines.explain import MOST_HEATMAPS, explained
from service.pipelines.found import Found
from service.pipelines.live import Frame, Start
from service.pipelines.media import Tools
from service.pipelines.speech import Listener
from service.runners import Models
from tests.pipelines.conftest import Ask
from tests.pipelines.test_live import Stage

pytestmark = pytest.mark.asyncio(loop_scope="session")

EXPLAIN, RULE = Options(explain=True), FusionRule()

TEXTS = (
    "Honestly, the food here is wonderful",
    "We waited two hours and the soup was cold",
    "My phone broke after a week, so I am really disappointed with it",
    "The hotel was clean and the staff could not have been kinder to us",
    "I never thought that I would say this, but their new album is boring",
    "Thanks to everybody who helped yesterday, you are amazing",
    "The train leaves at nine and it was late again, which is so annoying",
    "It was a pleasant evening with old friends by the lake",
)

FACES = ("astronaut", "portrait_smile", "portrait_stern", "angry", "sad", "fearful", "surprised", "slight_smile")


def told(answer: Analysis) -> Explanation:
    assert answer.explanation is not None
    return answer.explanation


def of_kind(answer: Analysis, kind: str) -> list[Reason]:
    return [reason for reason in told(answer).reasons if reason.kind == kind]


async def valence(text: str, tools: Tools) -> float:
    (answer,) = await analyze_texts([text], Options(), tools)
    return answer.sentiment.valence


async def test_the_word_that_carries_the_verdict_weighs_most(tools: Tools) -> None:
    (answer,) = await analyze_texts([TEXTS[0]], EXPLAIN, tools)
    top = max(told(answer).words, key=lambda word: word.weight)
    assert top.text == "wonderful" == TEXTS[0][top.start : top.end]
    assert of_kind(answer, "word")[0].span == (top.start, top.end)


async def test_leaving_the_top_word_out_moves_the_verdict_more_than_a_random_one(tools: Tools) -> None:
    of_top, of_any = [], []
    for text in TEXTS:
        (answer,) = await analyze_texts([text], EXPLAIN, tools)
        top = max(told(answer).words, key=lambda word: abs(word.weight))
        for span in words(text):
            moved = abs(answer.sentiment.valence - await valence(text[: span.start] + text[span.end :], tools))
            of_any.append(moved)
            if span.start == top.start:
                of_top.append(moved)
                assert moved == pytest.approx(abs(top.weight), abs=1e-4)
    assert len(of_top) == len(TEXTS)
    assert np.mean(of_top) > 3 * np.mean(of_any)


async def test_masking_the_top_word_moves_the_verdict_more_than_masking_a_random_one(tools: Tools) -> None:
    """Another change than that which the weights were made with: the word's letters give way to dots."""
    of_top, of_any = [], []
    for text in TEXTS:
        (answer,) = await analyze_texts([text], EXPLAIN, tools)
        top = max(told(answer).words, key=lambda word: abs(word.weight))
        for span in words(text):
            moved = abs(answer.sentiment.valence - await valence(f"{text[: span.start]}...{text[span.end :]}", tools))
            of_any.append(moved)
            of_top += [moved] if span.start == top.start else []
    assert np.mean(of_top) > 2 * np.mean(of_any)


def same(one: Sentiment, other: Sentiment, within: float = 1e-4) -> bool:
    return one.label == other.label and one.distribution == pytest.approx(other.distribution, abs=within)


async def test_the_verdict_without_a_sentence_is_that_of_the_text_without_it(tools: Tools) -> None:
    text = "The room was lovely. Breakfast was cold, though. We had a view of the sea!"
    (answer,) = await analyze_texts([text], EXPLAIN, tools)
    found = of_kind(answer, "sentence")
    assert {reason.text for reason in found} == {"The room was lovely.", "Breakfast was cold, though.", text[-25:]}
    for reason in found:
        assert reason.span is not None
        start, end = reason.span
        assert text[start:end] == reason.text
        (left,) = await analyze_texts([text[:start] + text[end:]], Options(), tools)
        assert same(reason.without, left.sentiment)


async def test_of_a_long_text_only_the_windows_are_read_again_that_a_part_lies_in(tools: Tools) -> None:
    plain = "The committee met on Monday and read the minutes of the meeting before. " * 5
    text = f"{plain}I am furious, this was a horrible, disgusting disaster! {plain}"
    assert len(tools.models.windows(text)) > 1
    (answer,) = await analyze_texts([text], EXPLAIN, tools)
    bad = next(reason for reason in of_kind(answer, "sentence") if reason.text and "furious" in reason.text)
    (left,) = await analyze_texts([plain + plain], Options(), tools)
    assert bad == of_kind(answer, "sentence")[0]
    assert bad.weight < 0
    assert same(bad.without, left.sentiment, within=0.02)


async def test_every_reason_points_at_a_span_a_time_or_a_box(ask: Ask) -> None:
    answer = await ask(video="portrait_with_speech.mp4", explain=True)
    assert {reason.kind for reason in told(answer).reasons} >= {"sentence", "segment", "face"}
    text, seconds = answer.modalities["text"].text, (answer.media.seconds or 0.0) if answer.media else 0.0
    for reason in told(answer).reasons:
        assert reason.span or reason.seconds or reason.box
        assert reason.span is None or text[slice(*reason.span)] == reason.text
        assert reason.seconds is None or 0 <= reason.seconds[0] < reason.seconds[1] <= seconds + 0.5
        assert reason.weight == pytest.approx(answer.sentiment.valence - reason.without.valence)
    weights = [abs(reason.weight) for reason in told(answer).reasons]
    assert weights == sorted(weights, reverse=True)


async def test_words_of_a_voice_say_when_they_were_said(ask: Ask) -> None:
    answer = await ask(audio="jfk.ogg", explain=True)
    assert answer.transcript is not None
    times = {(segment.start, segment.end) for segment in answer.transcript.segments}
    said = [reason for reason in told(answer).reasons if reason.modality == "text"]
    assert said and {reason.seconds for reason in said} <= times


async def hear(samples: NDArray[np.float32], models: Models) -> Found:
    listener = Listener(models, "en", transcribe=False, explain=True)
    for start in range(0, len(samples), 2 * SAMPLE_RATE):
        await listener.feed(Samples(start / SAMPLE_RATE, samples[start : start + 2 * SAMPLE_RATE]))
    return await listener.finish()


async def test_silencing_the_top_segment_moves_the_voice_most_and_to_where_was_said(
    tools: Tools, samples: Path
) -> None:
    recording = await voices(tools, samples)
    found = await hear(recording, tools.models)
    whole = found.opinions["speech"].prediction.probabilities
    promised, moved = [], []
    for piece in found.pieces:
        assert piece.seconds is not None and piece.without is not None
        start, end = (round(second * SAMPLE_RATE) for second in piece.seconds)
        silenced = recording.copy()
        silenced[start:end] = 0
        rest = (await hear(silenced, tools.models)).opinions["speech"].prediction.probabilities
        assert rest == pytest.approx(piece.without.prediction.probabilities, abs=0.1)
        promised.append(np.abs(np.subtract(piece.without.prediction.probabilities, whole)).sum())
        moved.append(np.abs(np.subtract(rest, whole)).sum())
    assert len(promised) >= 3
    assert moved[int(np.argmax(promised))] > np.mean(moved)


async def voices(tools: Tools, samples: Path) -> NDArray[np.float32]:
    """Three people after another, with pauses; one is angry."""
    pause = np.zeros(SAMPLE_RATE, np.float32)
    parts = [pause]
    for name in ("neutral_male", "angry_strong_male", "neutral_male"):
        stream = tools.decoder.stream(
            samples / f"audio/ravdess_{name}.ogg", audio=True, video=False, max_seconds=60, frames_per_second=1.0
        )
        async with stream as media:
            parts += [chunk.samples async for chunk in media if isinstance(chunk, Samples)]
        parts.append(pause)
    return np.concatenate(parts)


async def test_the_verdict_without_a_face_is_that_of_the_others(
    tools: Tools, samples: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = await tools.decoder.picture(samples / "image/group_five.jpg")
    found = await face.read_picture(picture, 0.0, tools.models, explain=True)
    (sightings,) = await face.see([picture.pixels], [picture.scale], tools.models)
    assert len(found.pieces) == len(sightings) > 2
    for piece, sighting in zip(found.pieces, sightings, strict=True):
        others = [other for other in sightings if other is not sighting]

        async def see(*_: object, others: list[face.Sighting] = others, **__: object) -> list[list[face.Sighting]]:
            return [others]

        monkeypatch.setattr(face, "see", see)
        rest = (await face.read_picture(picture, 0.0, tools.models)).opinions["face"]
        assert piece.box == sighting.box
        assert piece.without is not None
        assert piece.without.prediction.probabilities == pytest.approx(rest.prediction.probabilities)
        assert piece.without.quality == pytest.approx(rest.quality)


async def test_faces_of_two_files_are_told_apart(ask: Ask) -> None:
    answer = await ask(image="two_moods.jpg", video="two_people.mp4", explain=True)
    faces = {one.track: one for one in answer.modalities["face"].faces}
    found = of_kind(answer, "face")
    assert {reason.track for reason in found} == set(faces)
    for reason in found:
        one = faces[reason.track or 0]
        assert reason.box == one.box
        assert reason.seconds == (None if one.start is None else (one.start, one.end))
    for one in told(answer).heatmaps:
        start, end = faces[one.track].start, faces[one.track].end
        assert (one.seconds is None) == (start is None)
        assert one.seconds is None or (start or 0.0) <= one.seconds <= (end or 0.0)


async def test_a_map_lies_over_its_face_and_there_are_few(ask: Ask) -> None:
    answer = await ask(image="group_seven_indoor.jpg", explain=True)
    maps = told(answer).heatmaps
    assert 1 <= len(maps) <= MOST_HEATMAPS
    faces = {one.track: one.box for one in answer.modalities["face"].faces}
    for one in maps:
        x, y, width, height = faces[one.track]
        left, top, across, down = one.box
        assert abs(left + across / 2 - x - width / 2) < width / 2
        assert abs(top + down / 2 - y - height / 2) < height / 2
        assert 0.5 < across / width < 2
    assert sum(len(one.png_base64) for one in maps) < 40_000


@dataclass(frozen=True)
class Seen:
    """A picture, and how the largest face in it was seen."""

    picture: Picture
    view: FaceView
    label: int
    weights: NDArray[np.float64]

    @classmethod
    async def of(cls, file: Path, tools: Tools) -> Seen:
        picture = await tools.decoder.picture(file)
        found = await face.read_picture(picture, 0.0, tools.models, explain=True)
        explanation = (await explained(found, RULE, tools.models)).explanation
        assert explanation is not None
        (heatmap,) = [one for one in explanation.heatmaps if one.track == 1]
        return cls(picture, found.views[1], SENTIMENTS.index(heatmap.label), np.array(heatmap.weights))

    def top_patch(self) -> tuple[int, int]:
        """Row and column of the patch whose cells weigh most."""
        patches = {(row, column): self._weight(row, column) for row in range(ROWS) for column in range(COLUMNS)}
        return max(patches, key=lambda place: abs(patches[place]))

    def _weight(self, row: int, column: int) -> float:
        return float(self.weights[row : row + PATCH_ROWS, column : column + PATCH_COLUMNS].sum())

    def painted(self, row: int, column: int) -> NDArray[np.uint8]:
        """The picture itself with one patch of its face in the face's mean colour."""
        corners = np.array([(x, y, 1) for x, y in ((0, 0), (1, 0), (1, 1), (0, 1))], float)
        corners *= PATCH_COLUMNS, PATCH_ROWS, 1
        corners[:, :2] = (corners[:, :2] + (column, row)) / GRID * len(self.view.crop)
        inverse = np.asarray(cv2.invertAffineTransform(np.asarray(self.view.placement)))
        places = np.round(corners @ inverse.T * self.picture.scale).astype(np.int32)
        mean = tuple(int(value) for value in self.view.crop.mean(axis=(0, 1)))
        return np.asarray(cv2.fillConvexPoly(self.picture.pixels.copy(), places, mean), np.uint8)

    async def moved(self, row: int, column: int, models: Models) -> float:
        """How far painting one patch over moves the probability of the label: found, aligned and judged anew."""
        (sightings,) = await face.see([self.painted(row, column)], [self.picture.scale], models)
        said = sightings[0].prediction.probabilities[self.label] if sightings else 0.0
        return abs(self.view.said.probabilities[self.label] - said)


async def test_painting_over_the_top_patch_of_a_face_moves_its_verdict_more_than_a_random_patch(
    tools: Tools, samples: Path
) -> None:
    of_top, of_any = [], []
    for name in FACES:
        seen = await Seen.of(samples / f"image/{name}.jpg", tools)
        of_top.append(await seen.moved(*seen.top_patch(), tools.models))
        places = [(row, column) for row in range(0, ROWS, 2) for column in range(0, COLUMNS, 2)]
        of_any.append(np.mean([await seen.moved(row, column, tools.models) for row, column in places]))
    assert np.mean(of_top) > 1.2 * np.mean(of_any)


class Counting:
    """The real models, and how many crops of faces and texts they were asked about."""

    def __init__(self, models: Models) -> None:
        self._models, self.info, self.profile, self.windows = models, models.info, models.profile, models.windows
        self.detect, self.speech, self.transcribe = models.detect, models.speech, models.transcribe
        self.asked: list[int] = []

    async def face(self, crops: Sequence[NDArray[np.uint8]]) -> list[Any]:
        self.asked.append(len(crops))
        return await self._models.face(crops)

    async def text(self, texts: Sequence[Any]) -> list[Any]:
        self.asked.append(len(texts))
        return await self._models.text(texts)


async def test_only_those_who_ask_for_an_explanation_pay_for_it(tools: Tools, samples: Path) -> None:
    picture = await tools.decoder.picture(samples / "image/astronaut.jpg")
    models: Any = Counting(tools.models)
    found = await face.read_picture(picture, 0.0, models)
    (answer,) = await analyze_texts(["I love it. It is new."], Options(), replace(tools, models=models))
    assert (found.pieces, dict(found.views), answer.explanation) == ((), {}, None)
    assert models.asked == [1, 1]


async def test_words_and_faces_are_asked_about_in_one_batch_each(tools: Tools, samples: Path) -> None:
    picture = await tools.decoder.picture(samples / "image/astronaut.jpg")
    models: Any = Counting(tools.models)
    found = await face.read_picture(picture, 0.0, models, explain=True)
    await explained(found, RULE, models)
    await analyze_texts(["I love it. It is new."], EXPLAIN, replace(tools, models=models))
    assert models.asked == [1, PATCHES, 1, 1 + 8 + 2]


async def test_a_live_session_is_explained_without_keeping_a_picture(tools: Tools, samples: Path) -> None:
    stage = Stage(Start(frozenset({"face"}), EXPLAIN), tools)
    for captured in (0, 500):
        await stage.show((samples / "image/portrait_small.jpg").read_bytes(), captured)
    await stage.session.text("It was dreadful. I want my money back.", Frame(b"", 800, time.monotonic()))
    summary = await stage.finish()
    assert {reason.kind for reason in told(summary).reasons} >= {"sentence", "face"}
    assert told(summary).heatmaps == ()


async def test_nothing_to_go_on_is_explained_by_nothing(ask: Ask) -> None:
    assert told(await ask(image="no_face_rocket.jpg", explain=True)) == Explanation()
    assert told(await ask(audio="silence.flac", explain=True)) == Explanation()
    assert told(await ask(text="  ", explain=True)) == Explanation()
