"""A recording in, a verdict over voice and words out."""

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
                kept = keep()
            gr.HTML(duty(desk.uploads.keep_seconds, camera=False))
        with gr.Column(scale=7, min_width=300):
            verdict = gr.HTML(EMPTY)
            stop = cancel()

    def ask(payload: Payload, heard: bool, sure: float, kept: bool) -> Question:
        path = desk.given(
            payload, "There is no recording yet, or it is still on its way: upload one, or record with the microphone."
        )
        chosen = options(sure, transcribe=heard, keep=kept)
        return Question(
            partial(desk.client.audio, path, **chosen), partial(desk.client.jobs.submit, audio=path, **chosen)
        )

    buttons = [run, *(button for button, _ in tries)]
    room = Room(desk, "audio", verdict, buttons, "The service is listening…", stop)
    calls_off(room)
    for trigger in (run.click, *(then for _, then in tries)):
        asks(trigger, ask, [recording, heard, sure, kept], room)
    lends(recording, "audio", desk, verdict)
