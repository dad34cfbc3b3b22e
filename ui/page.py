"""The page: head, tabs, foot."""

from __future__ import annotations

import gradio as gr

from ui import use
from ui.client import Problem, ServiceError
from ui.key_box import key_box, wanted
from ui.notices import FOOT, head
from ui.tabs import audio, history, image, live, text, together, video
from ui.tabs.asking import Desk

TABS = {
    "Text": text,
    "Audio": audio,
    "Image": image,
    "Video": video,
    "Together": together,
    "Live": live,
    "History": history,
}


def page(desk: Desk) -> gr.Blocks:
    """The whole page; mounted by `ui.app`."""
    with gr.Blocks(title="Multimodal Sentiment", analytics_enabled=False, fill_width=True) as blocks:
        top = gr.HTML(head())
        box = key_box(desk)
        note = gr.HTML("", visible=False)
        leaving, rooms = [], {}
        with gr.Tabs():
            for name, tab in TABS.items():
                with gr.Tab(name) as rooms[name]:
                    leaving.append(tab.build(desk))
        gr.HTML(FOOT)

        async def greet() -> str:
            try:
                return head((await desk.client.health()).status)
            except Problem as problem:
                return head("guarded" if problem.status in (401, 403) else "unhealthy")
            except ServiceError:
                return head("unreachable")

        async def offer() -> dict:
            return gr.update(visible=await wanted(desk))

        async def leave(request: gr.Request) -> None:
            for leave_tab in filter(None, leaving):
                await leave_tab(str(request.session_hash))
            await desk.errands.leave(str(request.session_hash))
            desk.uploads.close(str(request.session_hash))
            desk.visitors.forget(str(request.session_hash))

        async def close_rooms() -> list:
            return await use.closed(desk)

        for ask, shown in ((greet, [top]), (offer, [box]), (close_rooms, [note, *(rooms[name] for name in use.TABS)])):
            blocks.load(ask, outputs=shown, show_progress="hidden", queue=False, api_visibility="private")
        blocks.unload(leave)
    return blocks
