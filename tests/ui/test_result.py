"""The result: what people wrote stays text, what was withheld is explained, everything given is shown."""

from __future__ import annotations

import json
import re
from html import unescape
from html.parser import HTMLParser

import pytest

from tests.ui import answers_made_up as made_up
from ui import answers
from ui.client import Problem, Unreachable
from ui.result import EMPTY, failed, render, working

HOSTILE = """<script>alert(1)</script> "quoted' & ${1+1} {{value}} `x`"""


class Tags(HTMLParser):
    """Which elements and attributes there are, and whether they nest."""

    VOID = ("img", "input")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.attributes: list[str] = []
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes += [name for name, _ in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes += [name for name, _ in attrs]


def shown(raw: dict, picture_url: str | None = None) -> str:
    return render(answers.analysis(raw), picture_url)


def card(html: str, title: str) -> str:
    return next(part for part in html.split("<article") if title in part)


@pytest.mark.parametrize("make", [made_up.of_audio, made_up.of_image, made_up.of_video, lambda: made_up.of_text("Hi")])
def test_every_kind_of_answer_is_well_formed(make) -> None:
    tags = Tags(shown(make(), "gradio_api/file=/tmp/x.jpg"))
    assert tags.open == []
    assert "script" not in tags.names


def hostile_answer() -> dict:
    """Every string that can come from people or from the service is markup."""
    raw = made_up.of_video()
    raw["modalities"]["text"].update(
        text=HOSTILE,
        aspects=[{"term": HOSTILE, "sentiment": made_up.HAPPY}],
        sentences=[{"start": 0, "end": 9, "text": HOSTILE, "sentiment": made_up.HAPPY}] * 2,
    )
    raw["transcript"].update(segments=[{"start": 0, "end": 1, "text": HOSTILE}], language=HOSTILE)
    raw["modalities"]["face"]["faces"][0]["emotions"] = {HOSTILE: 1.0}
    return {
        **raw,
        "id": HOSTILE,
        "emotions": {HOSTILE: 1.0},
        "models": {HOSTILE: HOSTILE},
        "timings": {HOSTILE: 1.0},
        "warnings": [{"code": HOSTILE, "detail": HOSTILE}],
        "explanation": {
            "words": [{"start": 0, "end": 8, "text": HOSTILE, "weight": 1.0}],
            "heatmaps": [{**made_up.heatmap(1, (0, 0, 9, 9), 1.0), "png_base64": HOSTILE, "label": HOSTILE}],
            "reasons": [made_up.reason("sentence", 0.5, text=HOSTILE), made_up.reason(HOSTILE, 0.4, text=HOSTILE)],
        },
    }


def test_markup_in_any_string_stays_text() -> None:
    html = shown(hostile_answer(), f"gradio_api/file={HOSTILE}")
    tags = Tags(html)
    assert "script" not in tags.names
    assert tags.open == []
    assert not [name for name in tags.attributes if name.startswith("on") or "alert" in name]


def test_braces_of_people_never_reach_a_template() -> None:
    html = shown(hostile_answer()) + failed(Unreachable(HOSTILE)) + working(HOSTILE)
    assert "${" not in html
    assert "{{" not in html
    assert "`" not in html


def test_the_verdict_stands_first() -> None:
    html = shown(made_up.of_text("Lovely"))
    assert re.search(r'data-label="positive".*<h2>Positive</h2>.*Judged by the words\..*81 %', html, re.DOTALL)


def test_the_verdict_names_who_would_have_said_something_else() -> None:
    parts = {"text": made_up.text("Lovely"), "face": made_up.face((1, 2, 3, 4), verdict=made_up.CROSS)}
    html = shown(made_up.analysis("multimodal", modalities=parts))
    assert "Judged by the words and the face; the face leans negative." in html


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (made_up.sentiment(0.5, 0.3, 0.2, "low_confidence"), "leans towards negative, but at 50 %"),
        (made_up.NOTHING, "There was nothing to go on."),
        (made_up.sentiment(0.5, 0.1, 0.4, "conflict"), "the words lean positive, the face leans negative"),
    ],
    ids=["low_confidence", "no_evidence", "conflict"],
)
def test_an_abstention_is_undecided_and_says_why(raw: dict, why: str) -> None:
    parts = {"text": made_up.text("Lovely"), "face": made_up.face((1, 2, 3, 4), verdict=made_up.CROSS)}
    html = shown(made_up.analysis("multimodal", sentiment=raw, modalities=parts))
    assert "<h2>Undecided</h2>" in html
    assert why in html


def test_contradictions_are_not_summed_up_in_a_number() -> None:
    html = shown(made_up.analysis("multimodal", sentiment=made_up.sentiment(0.04, 0.01, 0.95, "conflict")))
    assert "Confidence" not in html
    assert "ms-gauge-mark" not in html
    assert "Sentiment, withheld" in html


def test_a_set_of_labels_that_was_asked_for_is_said() -> None:
    html = shown({**made_up.of_text("Lovely"), "prediction_set": {"coverage": 0.9, "labels": ["positive", "neutral"]}})
    assert "In 90 % of such cases it is positive or neutral." in html
    assert "of such cases" not in shown(made_up.of_text("Lovely"))


def test_faint_words_and_emotions_stay_quiet() -> None:
    raw = made_up.of_text("Lovely day")
    raw["explanation"]["words"].append({"start": 7, "end": 10, "text": "day", "weight": 0.02})
    html = shown({**raw, "emotions": {"happy": 0.996, "sad": 0.004}}).split("<pre")[0]
    assert html.count("<mark") == 1
    assert "sad" not in html


def test_without_evidence_no_numbers_are_shown() -> None:
    html = shown(made_up.analysis("image", sentiment=made_up.NOTHING))
    assert "Confidence" not in html
    assert "33 %" not in html.split("<pre")[0]


def test_words_are_coloured_by_weight_at_code_points() -> None:
    raw = made_up.analysis("text", modalities={"text": made_up.text("😍 love, hate")})
    raw["explanation"] = {
        "words": [
            {"start": 2, "end": 6, "text": "love", "weight": 0.5},
            {"start": 8, "end": 12, "text": "hate", "weight": -0.25},
        ]
    }
    marks = re.findall(r'<mark class="(\S+)" style="--strength:(\S+)" title="(\S+)">(\w+)</mark>', shown(raw))
    assert marks == [("ms-positive", "1", "+0.50", "love"), ("ms-negative", "0.5", "\u22120.25", "hate")]


@pytest.mark.parametrize("span", [(0, 99), (5, 3), (4, 4), (-3, 2)])
def test_impossible_offsets_leave_the_text_whole(span: tuple[int, int]) -> None:
    raw = made_up.of_text("Lovely day")
    raw["explanation"] = {"words": [{"start": span[0], "end": span[1], "text": "?", "weight": 0.5}]}
    html = shown(raw)
    assert "<mark" not in html
    assert ">Lovely day</p>" in html


def test_faces_are_boxed_in_the_pictures_own_pixels() -> None:
    html = shown(made_up.of_image(), "gradio_api/file=/tmp/x.jpg")
    boxes = re.findall(r'class="ms-box (\S+)" style="([^"]*)"><span>(\d)</span>', html)
    assert boxes[0] == ("ms-positive", "--left:28.12%;--top:12.50%;--width:34.38%;--height:43.75%", "1")
    assert boxes[1][::2] == ("ms-negative", "2")


def test_a_map_lies_over_its_face_and_says_in_words_what_it_shows() -> None:
    html = card(shown(made_up.of_image(), "gradio_api/file=/tmp/x.jpg"), "2 faces")
    maps = re.findall(r'class="ms-heat" style="([^"]*)" src="([^"]*)" alt="([^"]*)"', html)
    assert maps[0] == (
        "--left:25.00%;--top:12.50%;--width:40.00%;--height:40.00%",
        f"data:image/png;base64,{made_up.PNG}",
        "Face 1: what speaks most for positive is at the mouth, on the left of the picture.",
    )
    assert len(maps) == 2
    assert "speaks for what the face says" in html
    assert html.count('type="checkbox"') == 1


def test_a_face_in_which_nothing_speaks_for_the_label_says_so() -> None:
    raw = made_up.of_image()
    raw["explanation"]["heatmaps"][0]["weights"] = [[-0.1] * 8] * 8
    assert "Face 1: no place speaks for positive." in shown(raw, "gradio_api/file=/tmp/x.jpg")


def test_without_a_picture_maps_lie_over_sketches() -> None:
    html = card(shown(made_up.of_video()), "ms-faces")
    assert html.count("<rect") == 2
    assert "<img" not in html
    assert 'type="checkbox"' not in html
    assert 'data-seek="3.500"' in html
    assert "what speaks most for positive is at the mouth" in html


def test_what_moves_the_verdict_is_listed_with_where_it_is_and_the_verdict_without_it() -> None:
    html = card(shown(made_up.of_video()), "What moves the verdict")
    kinds = re.findall(r'data-kind="(\w+)".*?ms-share">([^<]*)<', html)
    assert kinds == [("face", "+0.60"), ("sentence", "+0.31"), ("segment", "\u22120.12"), ("segment", "+0.06")]
    assert re.findall(r'data-seek="([\d.]+)"', html) == ["2.000", "5.100", "0.400", "5.100"]
    assert html.count("without:") == 4


def test_a_single_part_is_no_list() -> None:
    raw = made_up.of_image()
    del raw["explanation"]["reasons"][1:]
    assert "What moves the verdict" not in shown(raw)


def test_stretches_that_move_the_verdict_are_coloured_below_the_timeline() -> None:
    html = card(shown(made_up.of_audio()), "Over time")
    assert re.findall(r'ms-reason-lane"><span>(\w+)', html) == ["Words", "Voice"]
    assert '<i class="ms-negative" style="--left:3.64%;--width:23.64%;--strength:1"' in html
    assert "0.4 s to 3 s: moves the verdict by \u22120.12" in html


def test_an_older_service_explains_words_alone() -> None:
    raw = {**made_up.of_audio(), "explanation": {"words": []}}
    assert "What moves the verdict" not in shown(raw)
    assert "ms-reason-lane" not in shown(raw)


def test_without_a_picture_faces_are_listed_only() -> None:
    html = shown(made_up.of_image())
    assert "<img" not in html
    assert "2 faces" in html


def test_a_face_of_a_video_says_when_it_is_seen() -> None:
    html = shown(made_up.of_video())
    assert "2 s to 7 s" in html
    assert "--left:28.6%;--width:71.4%" in html


def test_contributions_are_shown_with_the_verdict_without_each() -> None:
    html = card(shown(made_up.of_video()), "What each contributed")
    assert re.findall(r'ms-share">(\d+ %)', html) == ["41 %", "22 %", "37 %"]
    assert html.count("without:") == 2
    assert "They agree: conflict 0.08" in html


def test_one_modality_alone_has_no_contributions() -> None:
    assert "What each contributed" not in shown(made_up.of_image())


def test_warnings_are_shown_in_the_services_words() -> None:
    assert "Some words may be wrong; they weigh less." in shown(made_up.of_audio())


def test_a_transcript_can_be_clicked_by_the_second() -> None:
    html = shown(made_up.of_audio()).split('class="ms-transcript"')[1]
    assert re.findall(r'data-seek="([\d.]+)"', html) == ["0.400", "5.100"]


def test_the_json_is_whole() -> None:
    raw = hostile_answer()
    body = shown(raw).split('tabindex="0">')[1].split("</pre>")[0]
    assert json.loads(unescape(body)) == json.loads(json.dumps(raw))


def test_a_problem_is_shown_with_its_sentence_and_request() -> None:
    problem = Problem("invalid_input", "Say less.", 422, request_id="r-1", errors=({"detail": "text: <b>long</b>"},))
    html = failed(problem)
    assert "Say less." in html
    assert "request r-1" in html
    assert "text: &lt;b&gt;long" in html


def test_waiting_and_empty_places_say_so() -> None:
    assert "<p>The service is reading…</p>" in working("The service is reading…")
    assert "verdict will stand here" in EMPTY
