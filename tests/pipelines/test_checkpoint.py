"""Work on a recording that is stopped after any part goes on to the same answer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from service.domain.analysis import Analysis
from service.jobs.parts import PartsNotebook
from service.jobs.progress import Progress
from service.pipelines import Options
from service.pipelines.analyze import Inputs, analyze
from service.pipelines.checkpoint import Checkpoint
from service.pipelines.media import Tools
from tests.alike import LAST_DIGIT, differences

PART_SECONDS = 1.5
OPTIONS = Options(detail="full", explain=True)

pytestmark = pytest.mark.asyncio(loop_scope="session")


class Stopped(Exception):
    """Stands for the end of a process."""


class Diary:
    """Counts parts, and stops the pass after so many of them."""

    def __init__(self, folder: Path, name: str, stop_after: int | None) -> None:
        self.parts: list[Checkpoint] = []
        self.progress: list[Progress] = []
        self._stop_after = stop_after
        self.notebook = PartsNotebook(folder, name, PART_SECONDS, self._reach, self._kept)
        self.notebook.read()

    def _reach(self, _: str, progress: Progress) -> None:
        self.progress.append(progress)

    async def _kept(self, _: str, part: Checkpoint) -> None:
        self.parts.append(part)
        if len(self.parts) == self._stop_after:
            raise Stopped


async def work(
    tools: Tools, folder: Path, kind: str, path: Path, stop_after: int | None
) -> tuple[Diary, Analysis | None]:
    diary = Diary(folder, kind, stop_after)
    try:
        inputs = Inputs(**{kind: path})
        return diary, await analyze(inputs, OPTIONS, tools, {kind: diary.notebook})
    except Stopped:
        return diary, None


def timeless(answer: Analysis) -> Analysis:
    """Without what differs between two answers that are the same; a PNG can't be compared but for its last digits."""
    assert answer.explanation is not None
    maps = tuple(replace(one, png_base64="") for one in answer.explanation.heatmaps)
    return replace(answer, id="", created="", timings={}, explanation=replace(answer.explanation, heatmaps=maps))


def places(answer: Analysis) -> set[tuple[object, ...]]:
    """Where the reasons point, but for words."""
    found = answer.explanation.reasons if answer.explanation else ()
    return {(one.kind, one.track, one.seconds and round(one.seconds[0])) for one in found if one.kind != "word"}


SAMPLES = [("audio", "jfk.ogg"), ("video", "portrait_with_speech.mp4"), ("video", "face_in_the_middle.mkv")]


@pytest.mark.parametrize(("kind", "file"), SAMPLES)
async def test_an_answer_in_parts_is_the_answer_at_once(tools: Tools, samples: Path, tmp_path: Path, kind, file):
    path = samples / kind / file
    whole = await analyze(Inputs(**{kind: path}), OPTIONS, tools)
    diary, answer = await work(tools, tmp_path, kind, path, None)
    assert len(diary.parts) >= 2
    assert answer is not None and differences(timeless(answer), timeless(whole), LAST_DIGIT) == []


@pytest.mark.parametrize(("kind", "file"), SAMPLES)
async def test_a_pass_that_stops_after_every_part_comes_to_the_same_answer(
    tools: Tools, samples: Path, tmp_path: Path, kind, file
):
    path = samples / kind / file
    whole = await analyze(Inputs(**{kind: path}), OPTIONS, tools)
    answer, parts = None, 0
    while answer is None:
        diary, answer = await work(tools, tmp_path, kind, path, stop_after=1)
        parts += len(diary.parts)
        assert parts < 40
    assert parts >= 2
    assert answer.sentiment.label == whole.sentiment.label
    assert answer.sentiment.distribution == pytest.approx(whole.sentiment.distribution, abs=0.02)
    assert (answer.transcript is None) == (whole.transcript is None)
    assert len(answer.timeline) == len(whole.timeline)
    assert answer.media == whole.media
    assert answer.explanation is not None and whole.explanation is not None
    assert places(answer) == places(whole)
    assert [one.seconds for one in answer.explanation.heatmaps] == [one.seconds for one in whole.explanation.heatmaps]


async def test_progress_rises_to_the_whole_length(tools: Tools, samples: Path, tmp_path: Path):
    diary, _ = await work(tools, tmp_path, "audio", samples / "audio/jfk.ogg", None)
    done = [progress.done for progress in diary.progress]
    assert done == sorted(done) and len(set(done)) > 3
    assert diary.progress[-1].total == pytest.approx(done[-1], abs=0.1)
