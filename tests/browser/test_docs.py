from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.serving import RunningService

pytestmark = [pytest.mark.browser, pytest.mark.server]


@pytest.fixture
def docs(browser: Browser, service: RunningService) -> Page:
    """The page with every route, on a phone; whatever goes wrong in it or leaves this machine fails the test."""
    page = browser.new_page(viewport={"width": 390, "height": 800}, color_scheme="dark")
    trouble: list[str] = []
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("request", lambda request: None if request.url.startswith(service.address) else trouble.append(request.url))
    page.goto(f"{service.address}/docs")
    yield page
    assert trouble == []
    page.close()


def test_a_text_can_be_tried_on_the_page(docs: Page):
    docs.locator("#post_text summary").click()
    docs.locator("#post_text textarea").fill('{"text": "I love it"}')
    docs.locator("#post_text button").click()
    expect(docs.locator("#post_text .good")).to_have_text("200")
    expect(docs.locator("#post_text pre").last).to_contain_text('"label": "positive"')


def test_a_problem_is_shown_as_one(docs: Page):
    docs.locator("#post_text summary").click()
    docs.locator("#post_text textarea").fill("{")
    docs.locator("#post_text button").click()
    expect(docs.locator("#post_text .bad")).to_have_text("400")
    expect(docs.locator("#post_text pre").last).to_contain_text("malformed_json")


def test_a_file_can_be_sent_from_the_page(docs: Page):
    docs.locator("#post_image summary").click()
    docs.locator("#post_image input[type=file]").set_input_files(
        {"name": "note.txt", "mimeType": "text/plain", "buffer": b"This is only a text."}
    )
    docs.locator("#post_image button").click()
    expect(docs.locator("#post_image pre").last).to_contain_text("unsupported_media")


def test_a_key_is_asked_for_only_where_it_is_needed_and_then_sent(docs: Page):
    docs.locator("#post_text summary").click()
    expect(docs.locator("#key")).to_be_hidden()
    docs.evaluate("document.getElementById('key').hidden = false")  # as it is where the document lists credentials
    docs.locator("#key input").fill("ms_key")
    with docs.expect_request("**/v1/text") as asked:
        docs.locator("#post_text button").click()
    assert asked.value.headers["authorization"] == "Bearer ms_key"
    expect(docs.locator("#post_text .good")).to_have_text("200")
    expect(docs.locator("#post_text")).not_to_contain_text("ms_key")


def test_the_page_fits_a_phone(docs: Page):
    expect(docs.locator("#routes details").first).to_be_visible()
    assert docs.evaluate("document.documentElement.scrollWidth") <= 390
