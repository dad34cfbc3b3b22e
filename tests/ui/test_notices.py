"""People are told before a camera or a microphone can be started (EU AI Act, Article 50(3))."""

from __future__ import annotations

from typing import Any

import gradio as gr
import pytest

from ui.client import AsyncClient
from ui.notices import duty, live_duty
from ui.page import TABS, page
from ui.tabs.asking import Desk
from ui.uploads import Uploads

WITH_DEVICE = {"Audio", "Image", "Video", "Together", "Live"}


@pytest.fixture(scope="module")
def tabs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, gr.Tab]:
    """Each tab of the page, by its name."""
    folder = tmp_path_factory.mktemp("uploads")
    blocks = page(Desk(AsyncClient("http://127.0.0.1:9"), Uploads(folder, 300), folder))
    return {block.label: block for block in blocks.blocks.values() if isinstance(block, gr.Tab)}


def below(block: Any) -> list[Any]:
    """All that is in a block."""
    return [inner for child in getattr(block, "children", []) for inner in (child, *below(child))]


def uses_device(block: Any) -> bool:
    sources = getattr(block, "sources", None) or []
    return bool({"webcam", "microphone"} & set(sources))


@pytest.mark.parametrize("name", TABS)
def test_every_tab_with_a_device_shows_the_notice_as_soon_as_it_is_shown(tabs, name):
    blocks = below(tabs[name])
    notices = [block for block in blocks if isinstance(block, gr.HTML) and "Article 50(3)" in str(block.value)]
    assert bool(notices) == any(uses_device(block) for block in blocks) == (name in WITH_DEVICE)
    assert all(notice.visible for notice in notices)


def test_the_notice_says_what_is_done_and_that_others_must_be_told():
    for notice in (duty(300, camera=True), duty(300, camera=False), live_duty()):
        assert "infers emotions" in notice and "tell everyone" in notice.lower()
