"""The Live tab with the browser's own fake camera and microphone, against the real service."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import ANSWER_MILLISECONDS, Visitor
from tests.serving import RunningService
from tests.ui.page_running import RunningPage

pytestmark = [pytest.mark.browser, pytest.mark.server]


@pytest.fixture
def live(visitor: Visitor) -> Visitor:
    """Somebody at the Live tab."""
    visitor.open("Live")
    return visitor


def turn_on_camera(live: Visitor) -> None:
    live.turn_on_camera()
    live.panel.get_by_label("capture photo").click()


def test_the_notice_stands_above_the_devices_before_they_run(live: Visitor) -> None:
    notice = live.panel.locator(".ms-duty").first
    expect(notice).to_contain_text("Article 50(3)")
    above, below = notice.bounding_box(), live.panel.get_by_role("button", name="Click to Access Webcam").bounding_box()
    assert above and below
    assert above["y"] + above["height"] <= below["y"]
    expect(live.panel.get_by_role("button", name="Stop and sum up")).to_be_disabled()


def test_camera_and_microphone_are_judged_as_they_run_and_summed_up(live: Visitor, page_address: RunningPage) -> None:
    turn_on_camera(live)
    live.panel.get_by_role("button", name="Record", exact=True).click()
    face = live.panel.locator(".ms-live .ms-box")
    expect(face).to_have_count(1, timeout=ANSWER_MILLISECONDS)
    expect(live.panel.locator(".ms-live .ms-verdict")).to_contain_text("Faces positive")
    expect(live.panel.locator(".ms-live .ms-verdict")).to_contain_text("Voice", timeout=ANSWER_MILLISECONDS)
    expect(live.panel.locator(".ms-measures")).to_contain_text(re.compile(r"Latency\s*\d+ ms"))
    expect(live.panel.locator(".ms-live .ms-timeline svg")).to_be_visible()
    live.panel.get_by_role("button", name="Stop and sum up").click()
    expect(live.panel.locator(".ms-modalities")).to_contain_text("Faces", timeout=ANSWER_MILLISECONDS)
    expect(live.panel.locator(".ms-modalities")).to_contain_text("Voice")
    expect(live.panel.get_by_role("button", name="Start again")).to_be_enabled()


def test_closing_the_page_ends_its_stream(live: Visitor, service) -> None:
    _wait_for_streams(live, service, 0)  # the visitor before may just have left
    turn_on_camera(live)
    expect(live.panel.locator(".ms-live .ms-box")).to_have_count(1, timeout=ANSWER_MILLISECONDS)
    _wait_for_streams(live, service, 1)
    live.page.goto("about:blank")
    _wait_for_streams(live, service, 0)


def _wait_for_streams(live: Visitor, service: RunningService, wanted: int) -> None:
    """Until the service has so many streams open; a minute at most."""
    found = -1.0
    for _ in range(600):
        rows = live.page.context.request.get(f"{service.address}/metrics").text().splitlines()
        found = next((float(row.split()[-1]) for row in rows if row.startswith("active_connections")), 0.0)
        if found == wanted:
            return
        live.page.wait_for_timeout(100)
    assert found == wanted
