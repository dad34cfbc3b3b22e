"""What the page closes where the operator declared a use in which faces and voices must not be judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr

from ui.client import ServiceError
from ui.notices import restriction
from ui.tabs.asking import Desk

TABS: Mapping[str, Sequence[str]] = {
    "Audio": ("speech",),
    "Image": ("face",),
    "Video": ("face", "speech"),
    "Together": ("face", "speech"),
    "Live": ("face", "speech"),
}
"""Tabs with a device or an upload, and what is inferred in them."""


async def closed(desk: Desk) -> list[Any]:
    """Updates for the note above the tabs, and for each of `TABS`; the service refuses in any case."""
    try:
        use = await desk.client.use()
    except ServiceError:
        return [gr.skip()] * (1 + len(TABS))
    note = restriction(use.reason) if use.reason else ""
    return [
        gr.update(value=note, visible=bool(note)),
        *(gr.update(interactive=not set(inferred) & set(use.restricted)) for inferred in TABS.values()),
    ]
