"""Moments on one clock."""

from __future__ import annotations

import pytest

from service.domain.fusion import FusionRule
from service.domain.sentiment import Prediction
from service.domain.timeline import LONGEST, Moment, average, timeline

GLAD, SAD = Prediction((0.1, 0.1, 0.8), {"happy": 1.0}), Prediction((0.8, 0.1, 0.1), {"sad": 1.0})
RELIABILITY = {"text": 0.7, "speech": 0.7, "face": 0.8}


def test_the_points_cover_the_whole_time_without_gaps() -> None:
    points = timeline({}, RELIABILITY, 2.4, FusionRule())
    assert [(point.start, point.end) for point in points] == [(0.0, 1.0), (1.0, 2.0), (2.0, 2.4)]
    assert all(point.sentiment.reason == "no_evidence" for point in points)


def test_a_silent_stretch_is_null_for_its_modality_and_the_others_decide() -> None:
    moments = {"face": [Moment(0, 2, GLAD)], "speech": [Moment(1, 2, SAD, 0.1)]}
    first, second = timeline(moments, RELIABILITY, 2.0, FusionRule())
    assert first.speech is None and first.face is not None
    assert second.speech is not None and second.speech.label == "negative"
    assert second.sentiment.label == "positive"


def test_a_long_recording_gets_longer_steps() -> None:
    points = timeline({}, RELIABILITY, 4 * 3600.0, FusionRule())
    assert len(points) <= LONGEST
    assert points[-1].end == 4 * 3600.0


def test_an_average_weighs_by_overlap_and_quality() -> None:
    opinion = average([Moment(0, 3, GLAD, 1.0), Moment(3, 4, SAD, 1.0)])
    assert opinion is not None
    assert opinion.prediction.probabilities[2] == pytest.approx(0.75 * 0.8 + 0.25 * 0.1)
    assert opinion.prediction.emotions == pytest.approx({"happy": 0.75, "sad": 0.25})
    assert average([Moment(0, 1, GLAD, 0.5), Moment(0, 1, SAD, 1.0)]).quality == pytest.approx(0.75)  # type: ignore[union-attr]


def test_an_instant_counts_and_nothing_gives_no_opinion() -> None:
    assert average([Moment(1.0, 1.0, GLAD)], 0.0, 2.0) is not None
    assert average([Moment(1.0, 1.0, GLAD)], 2.0, 3.0) is None
    assert average([]) is None
