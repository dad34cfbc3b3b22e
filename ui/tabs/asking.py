"""Ask the service, and say on the page that it works, what it found, or why it could not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr
from gradio.components import Component

from ui.client import Analysis, AsyncClient, Options, ServiceError
from ui.client.address import DEFAULT_URL
from ui.result import EMPTY, failed, render, working
from ui.uploads import UploadGone, Uploads
from ui.visitors import VisitorKeys

Payload = Mapping[str, object] | None
"""What a media component holds: Gradio's file record, or nothing."""

READY, BUSY = gr.update(interactive=True), gr.update(interactive=False)


class NothingGiven(Exception):
    """There is nothing to analyse yet; says what to give."""


@dataclass(frozen=True)
class Desk:
    """What every tab works with."""

    client: AsyncClient
    uploads: Uploads
    examples: Path
    visitors: VisitorKeys = field(default_factory=VisitorKeys)
    api_url: str = DEFAULT_URL
    keyless: bool = True
    """Whether the page has no key of its own to send."""

    def given(self, payload: Payload, missing: str) -> Path:
        """The file of a component. Raises `NothingGiven` with the sentence `missing`, or `UploadGone`."""
        path = self.uploads.path(payload)
        if path is None:
            raise NothingGiven(missing)
        return path


@dataclass(frozen=True)
class Room:
    """One tab's parts that change while it asks."""

    verdict: gr.HTML
    buttons: Sequence[gr.Button]
    waiting: str


def options(min_confidence_percent: float, *, transcribe: bool | None = None, aspects: Sequence[str] = ()) -> Options:
    """What the page always asks for, and what was chosen; 0 % leaves the threshold to the service."""
    chosen: Options = {"explain": True, "detail": "full"}
    if min_confidence_percent > 0:
        chosen["min_confidence"] = min_confidence_percent / 100
    if transcribe is not None:
        chosen["transcribe"] = "auto" if transcribe else "never"
    if aspects:
        chosen["aspects"] = aspects
    return chosen


def picture_url(path: Path) -> str:
    """Where the browser finds an uploaded file."""
    return f"gradio_api/file={quote(str(path))}"


def asks(
    trigger: Any,
    ask: Callable[..., Awaitable[Analysis]],
    inputs: Sequence[Component],
    room: Room,
    picture: Callable[..., str | None] = lambda *_: None,
) -> None:
    """When `trigger` happens, ask with what the inputs hold; the room's buttons rest meanwhile.

    Inputs come unprocessed, so that nothing here decodes what strangers upload. `picture` gives the address of the
    picture to draw faces on.
    """
    outputs = [room.verdict, *room.buttons]
    event = trigger(
        answering(ask, room, picture),
        inputs=list(inputs),
        outputs=outputs,
        preprocess=False,
        show_progress="hidden",
        scroll_to_output=True,
        api_visibility="private",
    )
    event.failure(
        lambda: (
            failed(Exception("Something went wrong on this page; please try again.")),
            *[READY] * len(room.buttons),
        ),
        outputs=outputs,
        api_visibility="private",
    )


def answering(
    ask: Callable[..., Awaitable[Analysis]], room: Room, picture: Callable[..., str | None]
) -> Callable[..., AsyncIterator[tuple[Any, ...]]]:
    """What `asks` runs: gives the room first while it works, then with the answer or with why there is none."""
    rest = len(room.buttons)

    async def answer(*values: Any) -> AsyncIterator[tuple[Any, ...]]:
        yield working(room.waiting), *[BUSY] * rest
        try:
            url = picture(*values)
            shown = render(await ask(*values), url)
        except (ServiceError, UploadGone, NothingGiven) as error:
            shown = failed(error)
        yield shown, *[READY] * rest

    return answer


def lends(component: Any, place: str, desk: Desk, verdict: gr.HTML) -> None:
    """Delete the component's file once it shows another or none, and the verdict that no longer fits."""

    async def shows(payload: Any, request: gr.Request) -> None:
        desk.uploads.show(str(request.session_hash), place, payload)

    component.change(
        shows, inputs=[component], preprocess=False, queue=False, show_progress="hidden", api_visibility="private"
    )
    gr.on(
        [component.clear, component.upload],
        lambda: EMPTY,
        outputs=[verdict],
        queue=False,
        show_progress="hidden",
        api_visibility="private",
    )


def example(
    name: str,
    values: Sequence[Any],
    inputs: Sequence[Component],
) -> tuple[gr.Button, Any]:
    """A button that fills the inputs, and the trigger that follows when they are filled."""
    button = gr.Button(name, size="sm", min_width=90)
    filled = button.click(
        lambda: values[0] if len(values) == 1 else list(values),
        outputs=list(inputs),
        show_progress="hidden",
        api_visibility="private",
    )
    return button, filled.then
