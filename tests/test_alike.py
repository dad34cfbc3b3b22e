"""What counts as the same answer."""

from __future__ import annotations

import pytest

from service.domain.sentiment import Prediction
from tests.alike import differences

ANSWER = {"label": "positive", "faces": [{"box": [1.0, 2.0], "track": 1}], "transcript": None}


def test_last_digits_are_no_difference():
    moved = {**ANSWER, "faces": [{"box": (1.001, 2.0), "track": 1}]}
    assert differences(ANSWER, moved) == []
    assert differences(Prediction((0.2, 0.3, 0.5)), Prediction((0.2, 0.3001, 0.4999))) == []


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"label": "neutral"}, "/label: 'positive' is not 'neutral'"),
        ({"faces": [{"box": [1.0, 2.1], "track": 1}]}, "/faces/0/box/1: 2.0 is not 2.1"),
        ({"faces": []}, "/faces: [{'box': [1.0, 2.0], 'track': 1}] is not []"),
        ({"transcript": 0.0}, "/transcript: None is not 0.0"),
    ],
)
def test_all_else_is_one(changed: dict, told: str):
    assert differences(ANSWER, {**ANSWER, **changed}) == [told]


def test_what_only_one_has_is_a_difference():
    assert differences(ANSWER, {"label": "positive"}) != []
    assert differences({"sure": True}, {"sure": 0.9999}) != []
