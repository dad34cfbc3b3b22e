"""Text in, a verdict with coloured words out; or a table of texts in, and a table of verdicts out."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from ui.client import Job, Options
from ui.result import EMPTY
from ui.result.table import read_rows, table
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
from ui.tabs.controls import cancel, keep, label, threshold
from ui.visitors import session_now

EXAMPLES = {
    "Praise": "I love it! Best purchase I have made all year 😍",
    "Complaint": "Two hours on hold, and then they hung up on me. Never again.",
    "Plain fact": "The meeting is at noon.",
    "Mixed feelings": "The food was wonderful and the view breathtaking. But the waiter was rude and slow.",
}
TABLES = [".csv", ".tsv", ".jsonl", ".txt"]


def build(desk: Desk) -> None:
    """The tab."""
    with gr.Row():
        with gr.Column(scale=5, min_width=300):
            words = gr.Textbox(
                label="Text", lines=7, max_lines=16, placeholder="Type or paste something…", autofocus=True
            )
            many = gr.File(
                label="Or a table of texts (CSV, TSV, JSONL, TXT)",
                file_types=TABLES,
                height=116,
                elem_classes="ms-many",
            )
            run = gr.Button("Analyse", variant="primary", elem_classes="ms-run")
            label("Or try one of these")
            with gr.Row(elem_classes="ms-tries"):
                tries = [example(name, [text, None], [words, many]) for name, text in EXAMPLES.items()]
            with gr.Accordion("Options", open=False):
                terms = gr.Textbox(label="Terms to look at", placeholder="food, waiter", info="Separated by commas.")
                column = gr.Textbox(label="Column with the texts", placeholder="text", info="Of a CSV, TSV or JSONL.")
                sure = threshold()
                kept = keep()
        with gr.Column(scale=7, min_width=300):
            verdict = gr.HTML(EMPTY)
            stop = cancel()

    def ask(text: str, file: Payload, *chosen: Any) -> Question:
        terms, column, sure, kept = chosen
        path = desk.uploads.path(file)
        aspects = [term.strip() for term in (terms or "").split(",") if term.strip()]
        if path is not None:
            named = (column or "").strip() or None
            submit = partial(desk.client.jobs.submit, file=path, column=named, **_of_a_table(sure, aspects))
            return Question(as_job=submit, show=partial(_shown, desk))
        if not (text or "").strip():
            raise NothingGiven("There is no text yet: type or paste some.")
        return Question(partial(desk.client.text, text, **options(sure, aspects=aspects, keep=kept)))

    room = Room(desk, "text", verdict, [run, *(button for button, _ in tries)], "The service is reading…", stop)
    calls_off(room)
    for trigger in (run.click, words.submit, *(then for _, then in tries)):
        asks(trigger, ask, [words, many, terms, column, sure, kept], room)
    lends(many, "text", desk, verdict)


def _of_a_table(sure: float, aspects: list[str]) -> Options:
    """A table shows verdicts alone, and is not kept: what only the full answer shows is not asked for."""
    chosen = options(sure, aspects=aspects)
    return {**chosen, "explain": False, "detail": "summary"}


async def _shown(desk: Desk, job: Job) -> str:
    """Fetch the verdicts of all rows, for whoever wants to download them while the page is open."""
    path: Path = desk.uploads.new("sentiment.csv")
    await desk.client.jobs.save(job, path)
    desk.uploads.show(session_now() or "", "text-result", {"path": str(path)})
    rows = await asyncio.to_thread(read_rows, path)
    return table(rows, picture_url(path), desk.uploads.keep_seconds)
