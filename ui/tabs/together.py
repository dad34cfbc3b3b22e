"""Any of a text, a recording, a picture and a video in, one fused verdict out."""

from __future__ import annotations

from functools import partial
from typing import Any

import gradio as gr

from ui.notices import duty
from ui.result import EMPTY
from ui.tabs.asking import (
    Desk,
    NothingGiven,
    Payload,
    Question,
    Room,
    asks,
    calls_off,
    example,
    lends,
    options,
    picture_url,
)
from ui.tabs.controls import cancel, keep, label, threshold, transcribe

MEDIA = ("audio", "image", "video")
KIND, BITTER = "Thank you all, this is the best day of my life!", "This is the worst day of my life. I hate all of it."


def build(desk: Desk) -> None:
    """The tab."""
    with gr.Row():
        with gr.Column(scale=5, min_width=300):
            given = _inputs()
            run = gr.Button("Analyse together", variant="primary", elem_classes="ms-run")
            label("Or try one of these")
            with gr.Row(elem_classes="ms-tries"):
                tries = _examples(desk, given)
            with gr.Accordion("Options", open=False):
                heard = transcribe()
                sure = threshold()
                kept = keep()
            gr.HTML(duty(desk.uploads.keep_seconds, camera=True))
        with gr.Column(scale=7, min_width=300):
            verdict = gr.HTML(EMPTY)
            stop = cancel()

    def ask(text: str, *media_and_options: Any) -> Question:
        *media, heard, sure, kept = media_and_options
        files = {name: path for name, payload in zip(MEDIA, media, strict=True) if (path := desk.uploads.path(payload))}
        words = text if (text or "").strip() else None
        if not files and words is None:
            raise NothingGiven("There is nothing yet: give a text, a recording, a picture or a video.")
        given: dict[str, Any] = {"text": words, **files, **options(sure, transcribe=heard, keep=kept)}
        return Question(partial(desk.client.analyze, **given), partial(desk.client.jobs.submit, **given))

    def shown(_text: str, _audio: Payload, image: Payload, video: Payload, *_: Any) -> str | None:
        path = desk.uploads.path(image) if not video else None
        return picture_url(path) if path else None

    buttons = [run, *(button for button, _ in tries)]
    room = Room(desk, "together", verdict, buttons, "The service is reading, listening and looking…", stop)
    calls_off(room)
    for trigger in (run.click, *(then for _, then in tries)):
        asks(trigger, ask, [*given, heard, sure, kept], room, shown)
    for name, component in zip(MEDIA, given[1:], strict=True):
        lends(component, f"together-{name}", desk, verdict)


def _inputs() -> list[Any]:
    """Text, audio, image, video: all optional."""
    words = gr.Textbox(label="Text", lines=2, max_lines=8, placeholder="Optional")
    audio = gr.Audio(label="Recording", sources=["upload", "microphone"], type="filepath", editable=False, buttons=[])
    with gr.Row():
        image = gr.Image(
            label="Picture",
            sources=["upload", "webcam", "clipboard"],
            type="filepath",
            image_mode=None,
            height=270,
            min_width=200,
            buttons=[],
        )
        video = gr.Video(
            label="Video", sources=["upload", "webcam"], include_audio=True, height=270, min_width=200, buttons=[]
        )
    return [words, audio, image, video]


def _examples(desk: Desk, given: list[Any]) -> list[tuple[gr.Button, Any]]:
    portrait, speech = str(desk.examples / "portrait.jpg"), str(desk.examples / "inaugural.ogg")
    return [
        example("A smile and kind words", [KIND, None, portrait, None], given),
        example("A smile and bitter words", [BITTER, None, portrait, None], given),
        example("Words, voice and face", [KIND, speech, portrait, None], given),
    ]
