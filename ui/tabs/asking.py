"""Ask the service, and say on the page that it works, what it found, or why it could not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr
from gradio.components import Component

from ui.client import (
    Analysis,
    AsyncClient,
    Job,
    JobCancelled,
    JobEvent,
    Options,
    Problem,
    Progress,
    ServiceError,
)
from ui.client.address import DEFAULT_URL
from ui.client.steps import settled
from ui.result import CALLED_OFF, EMPTY, advancing, failed, render, working
from ui.tabs.errands import Errands, Place
from ui.uploads import UploadGone, Uploads
from ui.visitors import VisitorKeys, session_now

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
    errands: Errands = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "errands", Errands(self.client))

    def given(self, payload: Payload, missing: str) -> Path:
        """The file of a component. Raises `NothingGiven` with the sentence `missing`, or `UploadGone`."""
        path = self.uploads.path(payload)
        if path is None:
            raise NothingGiven(missing)
        return path


@dataclass(frozen=True)
class Question:
    """What a tab wants to know: at once if that can be, else as a job; `show` makes the result's HTML of a job."""

    at_once: Callable[[], Awaitable[Analysis]] | None = None
    as_job: Callable[[], Awaitable[Job]] | None = None
    show: Callable[[Job], Awaitable[str]] | None = None


@dataclass(frozen=True)
class Room:
    """One tab's parts that change while it asks; `cancel` is there while a job runs, where there can be one."""

    desk: Desk
    name: str
    verdict: gr.HTML
    buttons: Sequence[gr.Button]
    waiting: str
    cancel: gr.Button | None = None

    @property
    def place(self) -> Place:
        """The tab, in the page that the event which runs now came from."""
        return session_now() or "", self.name

    @property
    def outputs(self) -> list[Component]:
        """Everything that changes."""
        return [self.verdict, *self.buttons, *([self.cancel] if self.cancel else [])]

    def looks(self, html: str, *, busy: bool, cancellable: bool = False) -> tuple[Any, ...]:
        """Values for `outputs`."""
        cancel = [gr.update(visible=cancellable)] if self.cancel else []
        return html, *[BUSY if busy else READY] * len(self.buttons), *cancel


def options(
    min_confidence_percent: float,
    *,
    transcribe: bool | None = None,
    aspects: Sequence[str] = (),
    keep: bool = False,
) -> Options:
    """What the page always asks for, and what was chosen; 0 % leaves the threshold to the service."""
    chosen: Options = {"explain": True, "detail": "full"}
    if min_confidence_percent > 0:
        chosen["min_confidence"] = min_confidence_percent / 100
    if transcribe is not None:
        chosen["transcribe"] = "auto" if transcribe else "never"
    if aspects:
        chosen["aspects"] = aspects
    if keep:
        chosen["store"] = True
    return chosen


def picture_url(path: Path) -> str:
    """Where the browser finds an uploaded file."""
    return f"gradio_api/file={quote(str(path))}"


def asks(
    trigger: Any,
    ask: Callable[..., Question],
    inputs: Sequence[Component],
    room: Room,
    picture: Callable[..., str | None] = lambda *_: None,
) -> None:
    """When `trigger` happens, ask with what the inputs hold; the room's buttons rest meanwhile.

    Inputs come unprocessed, so that nothing here decodes what strangers upload. `picture` gives the address of the
    picture to draw faces on.
    """
    event = trigger(
        answering(ask, room, picture),
        inputs=list(inputs),
        outputs=room.outputs,
        preprocess=False,
        show_progress="hidden",
        scroll_to_output=True,
        api_visibility="private",
    )
    wrong = failed(Exception("Something went wrong on this page; please try again."))
    event.failure(lambda: room.looks(wrong, busy=False), outputs=room.outputs, api_visibility="private")


def calls_off(room: Room) -> None:
    """The room's cancel button stops the job that its page waits for."""

    async def cancel() -> None:
        await room.desk.errands.cancel(room.place)

    if room.cancel is not None:
        room.cancel.click(cancel, queue=False, show_progress="hidden", api_visibility="private")


def answering(
    ask: Callable[..., Question], room: Room, picture: Callable[..., str | None]
) -> Callable[..., AsyncIterator[tuple[Any, ...]]]:
    """What `asks` runs: gives the room first while it works, then with the answer or with why there is none."""

    async def answer(*values: Any) -> AsyncIterator[tuple[Any, ...]]:
        shown = working(room.waiting)
        yield room.looks(shown, busy=True)
        try:
            question, url = ask(*values), picture(*values)
            answer = await _at_once(question)
            if answer is not None:
                shown = render(answer, url)
            else:
                async for shown, cancellable in _as_job(question, room, url):
                    yield room.looks(shown, busy=True, cancellable=cancellable)
        except JobCancelled:
            shown = CALLED_OFF
        except (ServiceError, UploadGone, NothingGiven) as error:
            shown = failed(error)
        yield room.looks(shown, busy=False)

    return answer


async def _at_once(question: Question) -> Analysis | None:
    """The answer; None where it takes a job. Raises `ServiceError`."""
    if question.at_once is None:
        return None
    try:
        return await question.at_once()
    except Problem as problem:
        if question.as_job is None or problem.code != "too_large":
            raise
        return None


async def _as_job(question: Question, room: Room, picture_url: str | None) -> AsyncIterator[tuple[str, bool]]:
    """What to show as the job goes on, its result last; and whether there is something to call off."""
    if question.as_job is None:
        raise ValueError("there is neither an answer at once nor a job")
    yield working("This takes longer, so it goes as a job\u2026"), False
    client = room.desk.client
    job = await question.as_job()
    async with room.desk.errands.under_way(room.place, job.id):
        event: JobEvent | None = None
        async for event in client.jobs.events(job):
            if isinstance(event, Progress):
                yield advancing(event), True
        settled(event)
        show = question.show
        html = await show(job) if show else render(await client.jobs.result(job), picture_url)
    yield html, False


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
