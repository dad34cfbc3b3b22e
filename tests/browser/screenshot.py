"""Takes the README's picture of the page: `python -m tests.browser.screenshot`, with Chromium installed."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from tests.browser.conftest import QUIET, Visitor
from tests.serving import CHECKOUT, running_service
from tests.ui.page_running import running_page

PICTURE = CHECKOUT / "docs" / "images" / "ui.png"
SIZE = {"width": 1160, "height": 790}
SHOWN_SHARE = 0.6
"""Which moment of the video is shown."""


def main(address: str | None) -> None:
    """Of a service that is started for it, or of the one at `address`."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if address:
            photograph(address, folder)
            return
        with running_service(folder) as service:
            photograph(service.address, folder)


def photograph(address: str, folder: Path) -> None:
    """The example video with its verdict."""
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    with running_page(address, folder) as page, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=QUIET)
        visitor = Visitor(browser.new_page(viewport=SIZE, color_scheme="light"))
        visitor.page.goto(page.address)
        visitor.open("Video")
        visitor.panel.get_by_role("button", name="A still portrait").click()
        visitor.wait()
        video = visitor.panel.locator("video")
        video.evaluate("(video, share) => { video.currentTime = share * video.duration; }", SHOWN_SHARE)
        visitor.page.mouse.move(0, 0)
        visitor.page.evaluate("() => { document.activeElement.blur(); scrollTo(0, 0); }")
        visitor.page.wait_for_timeout(1000)
        visitor.page.screenshot(path=PICTURE)
        browser.close()
    Image.open(PICTURE).convert("RGB").save(PICTURE, optimize=True)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
