"""A real browser before the real page, which asks the real service."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, Response, expect, sync_playwright

from tests.browser.devices import camera_file, microphone_file
from tests.serving import RunningService
from tests.ui.page_running import RunningPage, running_page

ANSWER_MILLISECONDS = 180_000
PAGE_MILLISECONDS = 90_000
expect.set_options(timeout=PAGE_MILLISECONDS)  # a busy machine draws a page slowly
QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


CAMERA_SHOWS = """() => {
    const video = [...document.querySelectorAll("[role=tabpanel] video")].find((one) => one.offsetParent);
    if (!video || video.readyState < HTMLMediaElement.HAVE_CURRENT_DATA || !video.videoWidth) return false;
    const canvas = Object.assign(document.createElement("canvas"), {width: 32, height: 32});
    const context = canvas.getContext("2d");
    context.drawImage(video, 0, 0, 32, 32);
    const pixels = context.getImageData(0, 0, 32, 32).data.filter((_, place) => place % 4 === 1);
    return Math.max(...pixels) - Math.min(...pixels) > 60;
}"""
"""Whether the camera's picture is on the page: light and dark, as faces are, where before it all is of one colour."""


class Visitor:
    """Somebody with the page open."""

    def __init__(self, page: Page) -> None:
        self.page = page

    @property
    def panel(self) -> Locator:
        """The open tab."""
        return self.page.locator("[role=tabpanel]:visible")

    def open(self, tab: str) -> None:
        """Go to a tab."""
        self.page.get_by_role("tab", name=tab, exact=True).click()

    def upload(self, path: Path) -> None:
        """Choose a file in the open tab, and wait until it has arrived."""
        with self.giving():
            self.panel.locator("input[type=file]").first.set_input_files(path)

    @contextmanager
    def giving(self) -> Iterator[None]:
        """Do something that gives the open tab a file, and wait until page and server both have it.

        A recording is played back before it is uploaded, so what is seen does not tell; the page then reports the file
        that it holds.
        """
        with self.page.expect_response(_reports_a_file, timeout=ANSWER_MILLISECONDS):
            yield
        expect(self.clear).to_be_visible()

    def turn_on_camera(self) -> None:
        """Turn the camera of the open tab on, and wait until its picture is there.

        The button that takes a picture comes before the first frame does, and would take an empty one.
        """
        self.panel.get_by_role("button", name="Click to Access Webcam").click()
        deadline = time.monotonic() + ANSWER_MILLISECONDS / 1000
        while not self.page.evaluate(CAMERA_SHOWS):
            assert time.monotonic() < deadline, "the camera shows nothing"
            self.page.wait_for_timeout(50)

    @property
    def clear(self) -> Locator:
        """The button that takes the file away again."""
        return self.panel.get_by_role("button", name=re.compile("^(Clear|Remove Image)$")).first

    def analyse(self) -> None:
        """Press the button and wait until there is an answer or a reason for none."""
        self.panel.get_by_role("button", name="Analyse").click()
        self.wait()

    def wait(self) -> None:
        """Wait for an answer, or for a reason why there is none."""
        answer = self.panel.locator(".ms-verdict, .ms-failed")
        expect(answer.first).to_be_visible(timeout=ANSWER_MILLISECONDS)

    @property
    def verdict(self) -> Locator:
        """The card with the verdict."""
        return self.panel.locator(".ms-verdict")


def _reports_a_file(response: Response) -> bool:
    return "/gradio_api/run/" in response.url and '"path"' in (response.request.post_data or "")


@pytest.fixture(scope="session")
def page_address(service: RunningService, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPage]:
    """The page, started once."""
    with running_page(service.address, tmp_path_factory.mktemp("page")) as running:
        yield running


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of an installed Chromium."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = os.environ.get("CHROMIUM") or next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("There is no Chromium; install Debian's package `chromium`, or set CHROMIUM to its path.")
    return found


@pytest.fixture(scope="module")
def browser(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser whose microphone plays a speech and whose camera sees a portrait.

    One a module, not one a session: while Playwright runs, no test of another module could use asyncio.
    """
    folder = tmp_path_factory.mktemp("devices")
    devices = (
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={microphone_file(folder)}",
        f"--use-file-for-fake-video-capture={camera_file(folder)}",
    )
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=[*QUIET, *devices])
        yield launched
        launched.close()


@pytest.fixture
def visitor(browser: Browser, page_address: RunningPage) -> Iterator[Visitor]:
    """Somebody who has just opened the page; in the end, nothing may have been asked of another host."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PAGE_MILLISECONDS)
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(page_address.address)
    page.get_by_role("tab", name="Text", exact=True).wait_for()
    yield Visitor(page)
    context.close()
    own = urlsplit(page_address.address).netloc
    assert [url for url in asked if urlsplit(url).scheme not in ("blob", "data") and urlsplit(url).netloc != own] == []
