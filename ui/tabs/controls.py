"""The few controls that several tabs have."""

from __future__ import annotations

import gradio as gr


def threshold() -> gr.Slider:
    """Below this confidence the service is to abstain."""
    return gr.Slider(
        0,
        95,
        value=0,
        step=5,
        label="Answer only when at least this sure (%)",
        info="0 leaves it to the service.",
    )


def transcribe() -> gr.Checkbox:
    """Whether speech is turned into words as well."""
    return gr.Checkbox(value=True, label="Transcribe what is said, and judge the words too")


def keep() -> gr.Checkbox:
    """Whether the service is to keep the answer."""
    return gr.Checkbox(
        value=False,
        label="Keep the answer in the history",
        info="With its text or transcript, until you delete it; recordings and pictures are never kept.",
    )


def cancel() -> gr.Button:
    """There while a job runs."""
    return gr.Button("Cancel", size="sm", visible=False, elem_classes="ms-cancel")


def label(words: str) -> None:
    """A quiet line of text above a group of controls."""
    gr.HTML(f'<p class="ms-label">{words}</p>')
