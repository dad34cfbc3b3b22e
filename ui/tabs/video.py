"""A video in, a verdict over faces, voice and words, and its course over time, out."""

from __future__ import annotations

import gradio as gr

from ui.client import Analysis
from ui.notices import duty
from ui.result import EMPTY
from ui.tabs.asking import Desk, Payload, Room, asks, example, lends, options
from ui.tabs.controls import label, threshold, transcribe


def build(desk: Desk) -> None:
    """The tab."""
    with gr.Row():
        with gr.Column(scale=5, min_width=300, elem_classes="ms-inputs"):
            video = gr.Video(label="Video", sources=["upload", "webcam"], include_audio=True, buttons=[])
            run = gr.Button("Analyse", variant="primary", elem_classes="ms-run")
            label("Or try this")
            with gr.Row(elem_classes="ms-tries"):
                clip = str(desk.examples / "portrait_speaks.mp4")
                tries = [example("A still portrait with a speech", [clip], [video])]
            with gr.Accordion("Options", open=False):
                heard = transcribe()
                sure = threshold()
            gr.HTML(duty(desk.uploads.keep_seconds, camera=True))
        with gr.Column(scale=7, min_width=300):
            verdict = gr.HTML(EMPTY)

    async def ask(payload: Payload, heard: bool, sure: float) -> Analysis:
        path = desk.given(
            payload, "There is no video yet, or it is still on its way: upload one, or record with the webcam."
        )
        return await desk.client.video(path, **options(sure, transcribe=heard))

    room = Room(verdict, [run, *(button for button, _ in tries)], "The service is watching and listening…")
    for trigger in (run.click, *(then for _, then in tries)):
        asks(trigger, ask, [video, heard, sure], room)
    lends(video, "video", desk, verdict)
