"""A recording in, a verdict over voice and words out."""

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
            recording = gr.Audio(
                label="Recording",
                sources=["upload", "microphone"],
                type="filepath",
                editable=False,
                buttons=[],
                waveform_options=gr.WaveformOptions(show_recording_waveform=False),
            )
            run = gr.Button("Analyse", variant="primary", elem_classes="ms-run")
            label("Or try this")
            with gr.Row(elem_classes="ms-tries"):
                speech = str(desk.examples / "inaugural.ogg")
                tries = [example("Inaugural address, 1961", [speech], [recording])]
            with gr.Accordion("Options", open=False):
                heard = transcribe()
                sure = threshold()
            gr.HTML(duty(desk.uploads.keep_seconds, camera=False))
        with gr.Column(scale=7, min_width=300):
            verdict = gr.HTML(EMPTY)

    async def ask(payload: Payload, heard: bool, sure: float) -> Analysis:
        path = desk.given(
            payload, "There is no recording yet, or it is still on its way: upload one, or record with the microphone."
        )
        return await desk.client.audio(path, **options(sure, transcribe=heard))

    room = Room(verdict, [run, *(button for button, _ in tries)], "The service is listening…")
    for trigger in (run.click, *(then for _, then in tries)):
        asks(trigger, ask, [recording, heard, sure], room)
    lends(recording, "audio", desk, verdict)
