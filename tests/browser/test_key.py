"""A service that asks for a key, a page that has none, and a visitor who has one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.browser.conftest import Visitor
from tests.ui.conftest import served
from tests.ui.page_running import RunningPage, running_page
from tests.ui.service_made_up import problem, service_made_up

pytestmark = pytest.mark.browser

KEY = "ms_visitors_own"
DOCUMENT = {"paths": {"/v1/text": {"post": {"security": [{"bearer": ["analyze"]}]}}}}


class Keyed:
    """Lets in who has the key."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        known = (b"authorization", f"Bearer {KEY}".encode()) in scope.get("headers", ())
        if scope["type"] == "http" and scope["path"].startswith("/v1/") and not known:
            await problem("unauthenticated", 401, "Send a key.")(scope, receive, send)
        else:
            await self.app(scope, receive, send)


@pytest.fixture(scope="module")
def keyed_page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPage]:
    app = service_made_up()
    app.routes.append(Route("/docs.json", lambda _: JSONResponse(DOCUMENT)))
    with served(Keyed(app)) as address, running_page(address, tmp_path_factory.mktemp("page")) as page:
        yield page


def test_a_visitor_s_key_is_asked_for_sent_for_that_page_and_gone_with_it(browser: Browser, keyed_page: RunningPage):
    context = browser.new_context()
    page = context.new_page()
    page.goto(keyed_page.address)
    visitor = Visitor(page)
    box = page.get_by_label("API key")
    expect(box).to_be_visible()
    assert box.get_attribute("type") == "password"
    words = page.get_by_label("Text", exact=True)
    words.fill("I love it")
    visitor.analyse()
    expect(visitor.panel.locator(".ms-failed")).to_contain_text("Send a key.")
    box.fill(KEY)
    box.press("Enter")
    expect(page.get_by_text("This key is used from now on.")).to_be_visible()
    visitor.panel.get_by_role("button", name="Analyse").click()
    expect(visitor.verdict).to_be_visible()

    other = context.new_page()
    other.goto(keyed_page.address)
    other.get_by_label("Text", exact=True).fill("I love it")
    Visitor(other).analyse()
    expect(Visitor(other).panel.locator(".ms-failed")).to_contain_text("Send a key.")
    context.close()
