"""Text in, a verdict with coloured words out."""

from __future__ import annotations

import gradio as gr

from ui.client import Analysis
from ui.result import EMPTY
from ui.tabs.asking import Desk, NothingGiven, Room, asks, example, options
from ui.tabs.controls import label, threshold

EXAMPLES = {
    "Praise": "I love it! Best purchase I have made all year 😍",
    "Complaint": "Two hours on hold, and then they hung up on me. Never again.",
    "Plain fact": "The meeting is at noon.",
    "Mixed feelings": "The food was wonderful and the view breathtaking. But the waiter was rude and slow.",
}


def build(desk: Desk) -> None:
    """The tab."""
    with gr.Row():
        with gr.Column(scale=5, min_width=300):
            words = gr.Textbox(
                label="Text", lines=7, max_lines=16, placeholder="Type or paste something…", autofocus=True
            )
            run = gr.Button("Analyse", variant="primary", elem_classes="ms-run")
            label("Or try one of these")
            with gr.Row(elem_classes="ms-tries"):
                tries = [example(name, [text], [words]) for name, text in EXAMPLES.items()]
            with gr.Accordion("Options", open=False):
                terms = gr.Textbox(label="Terms to look at", placeholder="food, waiter", info="Separated by commas.")
                sure = threshold()
        with gr.Column(scale=7, min_width=300):
            verdict = gr.HTML(EMPTY)

    async def ask(text: str, terms: str, sure: float) -> Analysis:
        if not (text or "").strip():
            raise NothingGiven("There is no text yet: type or paste some.")
        aspects = [term.strip() for term in (terms or "").split(",") if term.strip()]
        return await desk.client.text(text, **options(sure, aspects=aspects))

    room = Room(verdict, [run, *(button for button, _ in tries)], "The service is reading…")
    for trigger in (run.click, words.submit, *(then for _, then in tries)):
        asks(trigger, ask, [words, terms, sure], room)
