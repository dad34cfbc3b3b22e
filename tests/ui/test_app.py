"""The application around the page, served for real in a process of its own."""

from __future__ import annotations

import re
import stat
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.ui.conftest import StandIn
from tests.ui.page_running import RunningPage, running_page

get, post = partial(httpx.get, timeout=60), partial(httpx.post, timeout=60)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("ui")
    with running_page("http://127.0.0.1:9", folder, UI_MAX_UPLOAD_BYTES=1000) as running:
        yield running


def test_the_page_and_its_health_are_served(page: RunningPage) -> None:
    assert get(f"{page.address}/health").json() == {"status": "healthy"}
    assert "Multimodal Sentiment" in get(page.address).text


def test_the_browser_is_told_to_load_nothing_from_elsewhere(page: RunningPage) -> None:
    policy = get(page.address).headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "http" not in policy


def test_what_never_changes_may_be_kept_and_nothing_else(page: RunningPage) -> None:
    text = get(page.address).text
    hashed = re.findall(r'(?:href|src)="\./(assets/[^"]+)"', text)
    assert len(hashed) >= 2
    kept = {name: get(f"{page.address}/{name}").headers["cache-control"] for name in hashed}
    assert set(kept.values()) == {"public, max-age=31536000, immutable"}
    others = ("", "config", "theme.css", "manifest.json", "health", "assets/absent-0123abcd.js")
    assert {get(f"{page.address}/{name}").headers["cache-control"] for name in others} == {"no-store"}


@pytest.mark.parametrize(
    "route", ["file=http://127.0.0.1:9/x", "file=HTTPS://example.org/", "proxy=http://127.0.0.1:9/"]
)
def test_no_visitor_makes_the_page_fetch_an_address(page: RunningPage, route: str) -> None:
    answer = get(f"{page.address}/gradio_api/{route}")
    assert (answer.status_code, answer.text) == (404, "Not found.")


def test_no_history_of_runs_and_no_public_api(page: RunningPage) -> None:
    config = get(f"{page.address}/config").json()
    assert config.get("run_history", False) is False
    assert config["analytics_enabled"] is False
    shown = [dependency for dependency in config["dependencies"] if dependency["api_visibility"] == "public"]
    assert shown == []


def test_an_upload_lands_in_the_private_folder_and_a_large_one_nowhere(page: RunningPage) -> None:
    upload = f"{page.address}/gradio_api/upload"
    (path,) = post(upload, files={"files": ("a.txt", b"x" * 500)}).json()
    assert Path(path).is_relative_to(page.uploads)
    assert stat.S_IMODE(page.uploads.stat().st_mode) == 0o700
    assert post(upload, files={"files": ("b.txt", b"x" * 5000)}).status_code == 413


def test_stopping_wipes_the_uploads(tmp_path: Path, stand_in: StandIn) -> None:
    with running_page(stand_in.address, tmp_path) as page:
        post(f"{page.address}/gradio_api/upload", files={"files": ("a.txt", b"private")})
        assert [path for path in page.uploads.rglob("*") if path.is_file()]
    assert not list(page.uploads.rglob("*"))
