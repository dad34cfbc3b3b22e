"""A fixed slice of the held-out data through the service's pipelines: a score that falls is seen at once.

`make evaluate` measures all of it. Bounds are what the slice scored less four points, for processors whose integer
kernels round otherwise.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

import numpy as np
import pytest
import pytest_asyncio

from models.evaluation import examined, report, sections, triplets
from models.evaluation.answers import Answers, of_faces, of_texts, of_voices
from models.evaluation.measures import scores
from models.evaluation.robustness import point, small
from models.evaluation.spoiling import blurred, mistyped, noisy
from models.registry import load_calibration
from models.training.data import DataMissing
from service.domain.labels import MODALITIES
from service.runners import Models
from service.runners.connect import connect
from service.settings import Settings

in_module = pytest.mark.asyncio(loop_scope="module")

SLICES = {"text": (of_texts, 400), "speech": (of_voices, 60), "face": (of_faces, 120)}
BOUNDS = {"text": 0.632, "speech": 0.743, "face": 0.883, "all three": 0.923}
DAMAGED = {
    "text": (partial(mistyped, share=0.1), 0.54),
    "speech": (partial(noisy, decibels=10.0), 0.763),
    "face": (small, 0.797),
}
"""What is done to half of each slice, and what it scored then less seven points: two voices of thirty."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def models() -> AsyncIterator[Models]:
    """The shipped models, without transcription."""
    started: Models = connect(Settings(transcript_model="off"))
    await started.start()  # type: ignore[attr-defined]
    yield started
    await started.close()  # type: ignore[attr-defined]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def heads(models: Models) -> dict[str, Answers]:
    """What each modality says of its slice."""
    try:
        return {name: await ask(models, "test", most=rows) for name, (ask, rows) in SLICES.items()}
    except DataMissing as missing:
        pytest.skip(str(missing))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def damaged(models: Models) -> dict[str, Answers]:
    """What each modality says of half of its slice, damaged."""
    try:
        return {name: await ask(models, "test", DAMAGED[name][0], rows // 2) for name, (ask, rows) in SLICES.items()}
    except DataMissing as missing:
        pytest.skip(str(missing))


@in_module
@pytest.mark.parametrize("name", MODALITIES)
async def test_a_head_scores_what_it_scored(heads: dict[str, Answers], name: str) -> None:
    assert scores(*heads[name].told())["accuracy"] >= BOUNDS[name]


@in_module
@pytest.mark.parametrize("name", MODALITIES)
async def test_a_head_bears_the_damage_that_it_bore(damaged: dict[str, Answers], name: str) -> None:
    found = point(None, damaged[name])
    assert found.accuracy >= DAMAGED[name][1]


@in_module
async def test_all_three_together_score_more_than_the_best_alone(heads: dict[str, Answers]) -> None:
    opinions, labels = triplets.matched(heads, rows=900)
    alone = [(triplets.fused(opinions, (name,)).argmax(axis=1) == labels).mean() for name in MODALITIES]
    together = (triplets.fused(opinions, MODALITIES).argmax(axis=1) == labels).mean()
    assert together >= max(BOUNDS["all three"], max(alone) + 0.02)


def test_the_page_of_scores_says_what_the_records_say() -> None:
    names = ("text-minilm", "speech-whisper", "face-emotion", "fusion")
    records = {name: load_calibration(name) or {} for name in names}
    damage = sections.of_scores(examined.read(), records["fusion"])
    written, made = report.PAGE.read_text().splitlines(), (report.page(records) + damage).splitlines()
    tables = [line for line in made if line.startswith("|")]
    assert len(tables) > 20
    assert [line for line in written if line.startswith("|")] == tables


def test_what_is_spoilt_is_spoilt_the_same_each_time() -> None:
    samples = np.sin(np.arange(16_000) / 20).astype(np.float32)
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[20:40, 20:40] = 255
    for spoil, given in ((noisy, samples), (blurred, pixels)):
        assert np.array_equal(spoil(given), spoil(given))
        assert not np.array_equal(spoil(given), given)
    text = "What a wonderful day this has been, really"
    assert mistyped(text) == mistyped(text) != text
