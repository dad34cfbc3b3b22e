"""The drawings: gaps stay gaps, everything is said in words too."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from tests.ui import answers_made_up as made_up
from ui import answers
from ui.answers import Sentiment, TimelinePoint
from ui.plots import gauge, summary, timeline


def points(*raw: dict) -> list[TimelinePoint]:
    return list(answers.analysis(made_up.analysis("audio", timeline=list(raw))).timeline)


def sentiment(raw: dict) -> Sentiment:
    return answers.analysis(made_up.analysis("text", sentiment=raw)).sentiment


def path_of(html: str, name: str) -> str:
    found = re.search(rf'ms-line-{name}" d="([^"]*)"', html)
    assert found, f"There is no line of {name}."
    return found[1]


def test_without_points_nothing_is_drawn() -> None:
    assert timeline([]) == ""


def test_the_line_breaks_where_there_was_nothing_to_go_on() -> None:
    drawn = timeline(points(*(made_up.point(i, made_up.NOTHING if i == 2 else made_up.HAPPY) for i in range(5))))
    assert path_of(drawn, "fused").count("M") == 2
    assert "2 s to 3 s: nothing to go on" in drawn


def test_a_line_of_steps_joins_neighbours() -> None:
    drawn = timeline(points(made_up.point(0, made_up.HAPPY), made_up.point(1, made_up.CROSS)))
    assert path_of(drawn, "fused").count("M") == 1
    assert path_of(drawn, "fused").count("H") == 2


def test_a_single_point_is_drawn_over_its_whole_time() -> None:
    assert re.fullmatch(r"M0\.00 [\d.]+H1000\.00", path_of(timeline(points(made_up.point(0, made_up.HAPPY))), "fused"))


def test_silence_from_end_to_end_draws_no_line_and_says_so() -> None:
    silent = points(*(made_up.point(i, made_up.NOTHING) for i in range(3)))
    assert "ms-line" not in timeline(silent)
    assert summary(silent) == "Valence over 3 s: nothing to go on anywhere."


def test_several_modalities_have_a_line_and_a_key_each() -> None:
    both = points(made_up.point(0, made_up.HAPPY, text=made_up.HAPPY, face=made_up.CROSS))
    drawn = timeline(both)
    assert path_of(drawn, "text") != path_of(drawn, "face")
    assert "ms-key-text" in drawn
    assert "ms-key-speech" not in drawn


def test_one_modality_alone_is_drawn_once() -> None:
    drawn = timeline(points(made_up.point(0, made_up.HAPPY, face=made_up.HAPPY)))
    assert "ms-line-face" not in drawn
    assert "ms-line-fused" in drawn


def test_media_longer_than_its_points_leaves_room_at_the_end() -> None:
    assert path_of(timeline(points(made_up.point(0, made_up.HAPPY)), seconds=4.0), "fused").endswith("H250.00")


@pytest.mark.parametrize("seconds", [0.04, 0.5, 1, 59.9, 61, 300, 14_400])
def test_any_length_has_a_few_ticks(seconds: float) -> None:
    (point,) = points(made_up.point(0, made_up.HAPPY))
    ticks = timeline([point], max(seconds, 1)).split('class="ms-ticks"')[1].split("</div>")[0]
    assert 1 <= ticks.count("<span") <= 7


def test_the_summary_names_the_highest_and_the_lowest_moment() -> None:
    said = summary(points(*(made_up.point(i, v) for i, v in enumerate([made_up.PLAIN, made_up.CROSS, made_up.HAPPY]))))
    assert "highest +0.76 at 2 s" in said
    assert "lowest \u22120.71 at 1 s" in said


def test_drawings_are_well_formed() -> None:
    drawn = timeline(points(made_up.point(0, made_up.HAPPY), made_up.point(1, made_up.NOTHING)))
    ElementTree.fromstring(drawn.replace(" hidden>", ">"))
    ElementTree.fromstring(gauge(sentiment(made_up.HAPPY)))


@pytest.mark.parametrize(
    ("raw", "left_of_middle"), [(made_up.CROSS, True), (made_up.HAPPY, False)], ids=["negative", "positive"]
)
def test_the_gauge_points_to_the_valence(raw: dict, left_of_middle: bool) -> None:
    mark = re.search(r'ms-gauge-mark" cx="([\d.]+)"', gauge(sentiment(raw)))
    assert mark
    assert (float(mark[1]) < 100) is left_of_middle


def test_the_gauge_has_no_mark_without_evidence() -> None:
    assert "ms-gauge-mark" not in gauge(sentiment(made_up.NOTHING))
