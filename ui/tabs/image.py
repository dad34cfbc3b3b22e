"""A picture in, its faces boxed and a verdict over them out."""

from __future__ import annotations

import gradio as gr

from ui.client import Analysis
from ui.notices import duty
from ui.result import EMPTY
from ui.tabs.asking import Desk, Payload, Room, asks, example, lends, options, picture_url
from ui.tabs.controls import label, threshold


def build(desk: Desk) -> None:
    """The tab."""
    with gr.Row():
        with gr.Column(scale=5, min_width=300, elem_classes="ms-inputs"):
            picture = gr.Image(
                label="Picture",
                sources=["upload", "webcam", "clipboard"],
                type="filepath",
                image_mode=None,
                height=340,
                buttons=[],
            )
            run = gr.Button("Analyse", variant="primary", elem_classes="ms-run")
            label("Or try one of these")
            with gr.Row(elem_classes="ms-tries"):
                portrait, dunes = str(desk.examples / "portrait.jpg"), str(desk.examples / "dunes.jpg")
                tries = [example("A smile", [portrait], [picture]), example("Nobody there", [dunes], [picture])]
            with gr.Accordion("Options", open=False):
                sure = threshold()
            gr.HTML(duty(desk.uploads.keep_seconds, camera=True))
        with gr.Column(scale=7, min_width=300):
            verdict = gr.HTML(EMPTY)

    async def ask(payload: Payload, sure: float) -> Analysis:
        path = desk.given(
            payload, "There is no picture yet, or it is still on its way: upload one, or take one with the webcam."
        )
        return await desk.client.image(path, **options(sure))

    def shown(payload: Payload, _sure: float) -> str | None:
        path = desk.uploads.path(payload)
        return picture_url(path) if path else None

    room = Room(verdict, [run, *(button for button, _ in tries)], "The service is looking…")
    for trigger in (run.click, *(then for _, then in tries)):
        asks(trigger, ask, [picture, sure], room, shown)
    lends(picture, "image", desk, verdict)
