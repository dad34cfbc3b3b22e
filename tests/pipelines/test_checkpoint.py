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

PART_SECONDS = 1.5

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
        return diary, await analyze(inputs, Options(detail="full"), tools, {kind: diary.notebook})
    except Stopped:
        return diary, None


def timeless(answer: Analysis) -> Analysis:
    return replace(answer, id="", created="", timings={})


SAMPLES = [("audio", "jfk.ogg"), ("video", "portrait_with_speech.mp4"), ("video", "face_in_the_middle.mkv")]


@pytest.mark.parametrize(("kind", "file"), SAMPLES)
async def test_an_answer_in_parts_is_the_answer_at_once(tools: Tools, samples: Path, tmp_path: Path, kind, file):
    path = samples / kind / file
    whole = await analyze(Inputs(**{kind: path}), Options(detail="full"), tools)
    diary, answer = await work(tools, tmp_path, kind, path, None)
    assert len(diary.parts) >= 2
    assert answer is not None and timeless(answer) == timeless(whole)


@pytest.mark.parametrize(("kind", "file"), SAMPLES)
async def test_a_pass_that_stops_after_every_part_comes_to_the_same_answer(
    tools: Tools, samples: Path, tmp_path: Path, kind, file
):
    path = samples / kind / file
    whole = await analyze(Inputs(**{kind: path}), Options(detail="full"), tools)
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


async def test_progress_rises_to_the_whole_length(tools: Tools, samples: Path, tmp_path: Path):
    diary, _ = await work(tools, tmp_path, "audio", samples / "audio/jfk.ogg", None)
    done = [progress.done for progress in diary.progress]
    assert done == sorted(done) and len(set(done)) > 3
    assert diary.progress[-1].total == pytest.approx(done[-1], abs=0.1)
