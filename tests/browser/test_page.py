"""Somebody uses the page: types, uploads, reads the verdict. Service, page and browser are real."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Set
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import Visitor
from tests.ui.page_running import RunningPage, running_page
from ui.app import EXAMPLES

pytestmark = [pytest.mark.browser, pytest.mark.server]

WHOLE_PICTURE = ".ms-picture img:not(.ms-heat)"


def read(visitor: Visitor, text: str) -> None:
    visitor.panel.get_by_role("textbox", name="Text").first.fill(text)
    visitor.analyse()


@pytest.mark.parametrize(
    ("text", "verdict"),
    [("I love it", "Positive"), ("I hate it", "Negative"), ("The meeting is at noon", "Neutral")],
)
def test_a_text_gets_its_verdict(visitor: Visitor, text: str, verdict: str) -> None:
    read(visitor, text)
    expect(visitor.verdict.get_by_role("heading")).to_have_text(verdict)
    expect(visitor.panel.locator(".ms-gauge")).to_be_visible()


def test_the_words_that_decide_are_coloured(visitor: Visitor) -> None:
    read(visitor, "I love it")
    expect(visitor.panel.locator(".ms-text mark.ms-positive", has_text="love")).to_be_visible()


def test_markup_and_template_signs_are_shown_as_typed(visitor: Visitor) -> None:
    typed = "<img src=x onerror=alert(1)> ${1+1} {{value}} I love it"
    read(visitor, typed)
    expect(visitor.panel.locator(".ms-text")).to_have_text(typed)


def test_without_a_text_the_page_asks_for_one(visitor: Visitor) -> None:
    visitor.analyse()
    expect(visitor.panel.get_by_role("alert")).to_contain_text("There is no text yet")


def test_the_button_rests_while_the_service_works(visitor: Visitor) -> None:
    visitor.page.evaluate("""() => {
        window.rested = false;
        new MutationObserver(() => { window.rested ||= document.querySelector('.ms-run').disabled; })
            .observe(document.body, { subtree: true, childList: true, attributes: true });
    }""")
    read(visitor, "I love it")
    assert visitor.page.evaluate("window.rested") is True
    expect(visitor.panel.get_by_role("button", name="Analyse")).to_be_enabled()


def test_an_uploaded_picture_gets_a_verdict_and_a_box_around_its_face(visitor: Visitor) -> None:
    visitor.open("Image")
    visitor.upload(EXAMPLES / "portrait.jpg")
    visitor.analyse()
    expect(visitor.verdict.get_by_role("heading")).to_have_text("Positive")
    picture, box = (visitor.panel.locator(name).bounding_box() for name in (WHOLE_PICTURE, ".ms-box"))
    assert picture
    assert box
    middle = (box["x"] + box["width"] / 2 - picture["x"]) / picture["width"]
    assert 0.3 < middle < 0.7
    assert visitor.panel.locator(WHOLE_PICTURE).evaluate("image => image.naturalWidth") == 320


def test_a_map_on_the_face_can_be_put_aside(visitor: Visitor) -> None:
    visitor.open("Image")
    visitor.upload(EXAMPLES / "portrait.jpg")
    visitor.analyse()
    heat = visitor.panel.locator(".ms-heat")
    expect(heat).to_have_attribute("alt", re.compile("^Face 1: what speaks most for positive is "))
    assert heat.evaluate("map => map.naturalWidth") > 0
    over, box = heat.bounding_box(), visitor.panel.locator(".ms-box").bounding_box()
    assert over
    assert box
    assert box["x"] < over["x"] + over["width"] / 2 < box["x"] + box["width"]
    visitor.panel.get_by_label("Show where each face says it").uncheck()
    expect(heat).not_to_be_visible()


def test_a_picture_without_anybody_is_undecided_and_says_why(visitor: Visitor) -> None:
    visitor.open("Image")
    visitor.panel.get_by_role("button", name="Nobody there").click()
    visitor.wait()
    expect(visitor.verdict.get_by_role("heading")).to_have_text("Undecided")
    expect(visitor.verdict).to_contain_text("There was nothing to go on.")
    expect(visitor.panel.locator("[data-code=no_face]")).to_be_visible()


def test_a_text_that_calls_itself_a_video_is_refused_in_one_sentence(visitor: Visitor, tmp_path: Path) -> None:
    path = tmp_path / "x.mp4"
    path.write_text("These are just words.")
    visitor.open("Video")
    visitor.upload(path)
    visitor.analyse()
    failed = visitor.panel.get_by_role("alert")
    expect(failed).to_be_visible()
    assert re.search(r"\w+ .*\.$", failed.locator("p").first.inner_text())
    expect(failed).to_contain_text("415")


def test_the_example_video_is_judged_by_all_it_holds(visitor: Visitor) -> None:
    visitor.open("Video")
    visitor.panel.get_by_role("button", name="A still portrait").click()
    visitor.wait()
    for name in ("Voice", "Faces"):
        expect(visitor.panel.locator(".ms-modalities")).to_contain_text(name)
    expect(visitor.panel.locator(".ms-timeline svg")).to_be_visible()


def test_a_click_into_the_timeline_plays_that_moment(visitor: Visitor) -> None:
    visitor.open("Audio")
    visitor.panel.get_by_role("button", name="Inaugural").click()
    visitor.wait()
    plot = visitor.panel.locator(".ms-plot")
    size = plot.bounding_box()
    assert size
    plot.click(position={"x": size["width"] / 2, "y": 40})
    visitor.page.wait_for_function("() => [...document.querySelectorAll('audio')].some(one => one.currentTime >= 5)")
    expect(visitor.panel.locator(".ms-playhead")).to_be_visible()


def test_the_timeline_answers_to_keys_and_the_verdict_is_said_aloud(visitor: Visitor) -> None:
    visitor.open("Audio")
    visitor.panel.get_by_role("button", name="Inaugural").click()
    visitor.wait()
    slider = visitor.panel.get_by_role("slider", name="Moment to play")
    slider.focus()
    visitor.page.keyboard.press("ArrowRight")
    visitor.page.wait_for_function("() => [...document.querySelectorAll('audio')].some(one => one.currentTime == 2)")
    expect(slider).to_have_attribute("aria-valuetext", re.compile("^2 s to 3 s: "))
    said = visitor.verdict.get_by_role("heading").inner_text()
    expect(visitor.page.locator(".ms-aloud")).to_contain_text(said)


def test_together_gives_one_verdict_and_what_each_contributed(visitor: Visitor) -> None:
    visitor.open("Together")
    visitor.panel.get_by_role("button", name="A smile and kind words").click()
    visitor.wait()
    expect(visitor.verdict.get_by_role("heading")).to_have_text("Positive")
    expect(visitor.panel.locator(".ms-modalities > li")).to_have_count(2)


def test_the_json_can_be_saved(visitor: Visitor) -> None:
    read(visitor, "I love it")
    visitor.panel.locator("summary", has_text="JSON").click()
    with visitor.page.expect_download() as download:
        visitor.panel.get_by_role("button", name="Download").click()
    saved = json.loads(Path(download.value.path()).read_text(encoding="utf-8"))
    assert saved["sentiment"]["label"] == "positive"


def uploaded(page: RunningPage, before: Set[Path] = frozenset()) -> Set[Path]:
    """The files that the page holds; sound that another visitor left half-way stays for up to a minute."""
    return {Path(folder, name) for folder, _, names in os.walk(page.uploads) for name in names} - before


def wait_until_gone(visitor: Visitor, page: RunningPage, before: Set[Path]) -> None:
    """Until the page holds nothing more than before; a minute at most."""
    for _ in range(600):
        if not uploaded(page, before):
            break
        visitor.page.wait_for_timeout(100)
    assert uploaded(page, before) == set()


def test_clearing_deletes_the_upload(visitor: Visitor, page_address: RunningPage) -> None:
    before = uploaded(page_address)
    visitor.open("Image")
    visitor.upload(EXAMPLES / "portrait.jpg")
    visitor.analyse()
    assert len(uploaded(page_address, before)) == 1
    visitor.clear.click()
    expect(visitor.panel.locator(".ms-blank")).to_be_visible()
    wait_until_gone(visitor, page_address, before)


def test_closing_the_page_deletes_its_uploads(browser: Browser, page_address: RunningPage) -> None:
    before = uploaded(page_address)
    context = browser.new_context()
    visitor = Visitor(context.new_page())
    visitor.page.goto(page_address.address)
    visitor.open("Image")
    visitor.upload(EXAMPLES / "portrait.jpg")
    visitor.analyse()
    assert uploaded(page_address, before)
    context.close()
    waiting = Visitor(browser.new_page())
    wait_until_gone(waiting, page_address, before)
    waiting.page.close()


def test_a_service_that_is_not_there_is_said_plainly(browser: Browser, tmp_path: Path) -> None:
    with running_page("http://127.0.0.1:9", tmp_path) as alone:
        visitor = Visitor(browser.new_page())
        visitor.page.goto(alone.address)
        expect(visitor.page.locator(".ms-state")).to_have_text("Service not reachable")
        read(visitor, "I love it")
        expect(visitor.panel.get_by_role("alert")).to_contain_text("is not reachable: is it running?")
        visitor.page.close()
