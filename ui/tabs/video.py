"""A video in, a verdict over faces, voice and words, and its course over time, out."""

from __future__ import annotations

from functools import partial

import gradio as gr

from ui.notices import duty
from ui.result import EMPTY
from ui.tabs.asking import Desk, Payload, Question, Room, asks, calls_off, example, lends, options
from ui.tabs.controls import cancel, keep, label, threshold, transcribe


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
                kept = keep()
            gr.HTML(duty(desk.uploads.keep_seconds, camera=True))
        with gr.Column(scale=7, min_width=300):
            verdict = gr.HTML(EMPTY)
            stop = cancel()

    def ask(payload: Payload, heard: bool, sure: float, kept: bool) -> Question:
        path = desk.given(
            payload, "There is no video yet, or it is still on its way: upload one, or record with the webcam."
        )
        chosen = options(sure, transcribe=heard, keep=kept)
        return Question(
            partial(desk.client.video, path, **chosen), partial(desk.client.jobs.submit, video=path, **chosen)
        )

    buttons = [run, *(button for button, _ in tries)]
    room = Room(desk, "video", verdict, buttons, "The service is watching and listening…", stop)
    calls_off(room)
    for trigger in (run.click, *(then for _, then in tries)):
        asks(trigger, ask, [video, heard, sure, kept], room)
    lends(video, "video", desk, verdict)
