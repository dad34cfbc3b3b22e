"""Microphone and camera: the browser's own fake devices, fed with a speech and a portrait."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visitor

pytestmark = [pytest.mark.browser, pytest.mark.server]

RECORDED_MILLISECONDS = 5_000


def test_what_the_microphone_hears_is_judged(visitor: Visitor) -> None:
    visitor.open("Audio")
    visitor.panel.get_by_label("Record audio").click()
    visitor.panel.get_by_role("button", name="Record", exact=True).click()
    stop = visitor.panel.get_by_role("button", name="Stop", exact=True).first
    expect(stop).to_be_visible()  # so it records
    visitor.page.wait_for_timeout(RECORDED_MILLISECONDS)
    with visitor.giving():
        stop.click()
    visitor.analyse()
    expect(visitor.verdict).to_be_visible()
    expect(visitor.panel.locator(".ms-timeline svg")).to_be_visible()
    expect(visitor.panel.locator("[data-code=no_speech]")).to_have_count(0)


def test_what_the_camera_sees_is_judged(visitor: Visitor) -> None:
    visitor.open("Image")
    visitor.panel.get_by_label("Capture from camera").click()
    visitor.turn_on_camera()
    with visitor.giving():
        visitor.panel.get_by_label("capture photo").click()
    visitor.analyse()
    expect(visitor.verdict.get_by_role("heading")).to_have_text("Positive")
    expect(visitor.panel.locator(".ms-box")).to_have_count(1)


def test_a_recorded_video_is_judged_by_face_and_voice(visitor: Visitor) -> None:
    visitor.open("Video")
    visitor.panel.get_by_label("Capture from camera").click()
    visitor.turn_on_camera()
    visitor.panel.get_by_label("start recording").click()
    stop = visitor.panel.get_by_role("button").filter(has_text="Stop")
    expect(stop).to_be_visible()  # so it records
    visitor.page.wait_for_timeout(RECORDED_MILLISECONDS)
    with visitor.giving():
        stop.click()
    visitor.analyse()
    expect(visitor.panel.locator(".ms-modalities")).to_contain_text("Faces")
    expect(visitor.panel.locator(".ms-modalities")).to_contain_text("Voice")
    expect(visitor.panel.locator(".ms-timeline svg")).to_be_visible()
