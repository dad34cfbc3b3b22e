"""A picture in, its faces boxed and a verdict over them out."""

from __future__ import annotations

from functools import partial

import gradio as gr

from ui.notices import duty
from ui.result import EMPTY
from ui.tabs.asking import Desk, Payload, Question, Room, asks, example, lends, options, picture_url
from ui.tabs.controls import keep, label, threshold


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
                kept = keep()
            gr.HTML(duty(desk.uploads.keep_seconds, camera=True))
        with gr.Column(scale=7, min_width=300):
            verdict = gr.HTML(EMPTY)

    def ask(payload: Payload, sure: float, kept: bool) -> Question:
        path = desk.given(
            payload, "There is no picture yet, or it is still on its way: upload one, or take one with the webcam."
        )
        return Question(partial(desk.client.image, path, **options(sure, keep=kept)))

    def shown(payload: Payload, *_: object) -> str | None:
        path = desk.uploads.path(payload)
        return picture_url(path) if path else None

    buttons = [run, *(button for button, _ in tries)]
    room = Room(desk, "image", verdict, buttons, "The service is looking…")
    for trigger in (run.click, *(then for _, then in tries)):
        asks(trigger, ask, [picture, sure, kept], room, shown)
    lends(picture, "image", desk, verdict)
