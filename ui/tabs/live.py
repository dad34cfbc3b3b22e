"""Camera and microphone as they run: a verdict over the last seconds, and the whole when they stop."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.context import get_blocks_context, get_render_context

from ui.client.stream import AsyncStream
from ui.live import LiveSession
from ui.microphone import MAX_CHUNK_BYTES, NotSound
from ui.notices import live_duty
from ui.result import failed, render
from ui.result.live import WAITING, live
from ui.tabs.asking import Desk, Payload
from ui.uploads import UploadGone

PICTURE_EVERY_SECONDS = 0.3
SOUND_EVERY_SECONDS = 0.5
TELL_EVERY_SECONDS = 0.4
"""Apart from the devices' events, whose answers would hold up the next frame."""
MAX_PICTURE_CHARACTERS = 4_000_000
MAX_PAGES = 200
_JPEG = "data:image/jpeg;base64,"

Leave = Callable[[str], Awaitable[None]]
"""Told the page that was closed."""

STOP, AGAIN = "Stop and sum up", "Start again"


class Booths:
    """The live session of each open page."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._sessions: dict[str, LiveSession] = {}
        self._shown: dict[str, int] = {}

    def of(self, page: str) -> LiveSession:
        """A page's session; made when it is asked for first."""
        if page not in self._sessions:
            self._forget_ended()
            self._sessions[page] = LiveSession(self._stream)
        return self._sessions[page]

    def news(self, page: str) -> tuple[Any, Any]:
        """What page and button show now; nothing if that has not changed since this was asked last."""
        session = self.of(page)
        if self._shown.get(page) == session.seen.version:
            return gr.skip(), gr.skip()
        self._shown[page] = session.seen.version
        return shown(session), button_of(session)

    async def leave(self, page: str) -> None:
        """The page was closed."""
        session = self._sessions.pop(page, None)
        self._shown.pop(page, None)
        if session is not None:
            await session.close()

    def _forget_ended(self) -> None:
        """Pages of browsers that crashed are never closed."""
        if len(self._sessions) >= MAX_PAGES:
            for page in [page for page, session in self._sessions.items() if session.seen.state == "ended"]:
                del self._sessions[page]
                self._shown.pop(page, None)

    def _stream(self, transcribe: bool) -> AsyncStream:
        desk = self._desk
        key = desk.visitors.key() if desk.keyless else None
        return desk.client.stream(api_key=key, transcribe="auto" if transcribe else "never", detail="full")


def shown(session: LiveSession) -> str:
    """The session as HTML: live, summed up, or why it ended."""
    seen = session.seen
    if seen.state != "ended":
        return live(seen)
    parts = [failed(seen.error)] if seen.error else []
    parts += [f'<div class="ms-summed">{render(seen.summary)}</div>'] if seen.summary else []
    return "".join(parts) or WAITING


@dataclass(frozen=True)
class Parts:
    """What the tab is made of."""

    camera: gr.Image
    microphone: gr.Audio
    heard: gr.Checkbox
    button: gr.Button
    verdict: gr.HTML
    clock: gr.Timer


def button_of(session: LiveSession) -> Any:
    """What the button does next."""
    state = session.seen.state
    if state == "ended":
        return gr.update(value=AGAIN, interactive=True)
    return gr.update(value=STOP, interactive=state in ("opening", "live"))


def build(desk: Desk) -> Leave:
    """The tab; what it gives is to be called when a page is closed."""
    booths = Booths(desk)
    with gr.Row():
        with gr.Column(scale=5, min_width=300, elem_classes="ms-inputs ms-devices"):
            gr.HTML(live_duty())
            camera = gr.Image(
                label="Camera",
                sources=["webcam"],
                streaming=True,
                type="filepath",
                height=300,
                buttons=[],
                webcam_options=gr.WebcamOptions(mirror=False),
            )
            microphone = gr.Audio(
                label="Microphone", sources=["microphone"], streaming=True, type="filepath", buttons=[]
            )
            heard = gr.Checkbox(
                value=False, label="Transcribe what is said, and judge the words too", info="Choose before you start."
            )
            button = gr.Button(STOP, variant="primary", elem_classes="ms-run", interactive=False)
        with gr.Column(scale=7, min_width=300):
            verdict = gr.HTML(WAITING)
    clock = gr.Timer(TELL_EVERY_SECONDS, active=False)
    _only_when_open(clock)
    _wire(booths, desk, Parts(camera, microphone, heard, button, verdict, clock))
    return booths.leave


def _only_when_open(clock: gr.Timer) -> None:
    """The page asks for news from when the tab is opened first; who never opens it asks nothing."""
    tab = get_render_context()
    assert isinstance(tab, gr.Tab)  # where a tab is built
    tab.select(
        lambda: gr.Timer(active=True), outputs=[clock], queue=False, show_progress="hidden", api_visibility="private"
    )


def _ask_each_time(event: Any) -> None:
    """Let each chunk of a device be a request of its own, as other events are.

    By default Gradio keeps one request open for a device and hands it the latest chunk alone: of several that come
    together on a busy machine all but one are lost.
    """
    blocks = get_blocks_context()
    assert blocks is not None  # where a tab is built
    blocks.fns[event["id"]].connection = "sse"


def _wire(booths: Booths, desk: Desk, parts: Parts) -> None:
    """What happens when a picture or sound comes, or the button is pressed."""

    async def see(payload: Payload, transcribe: bool, request: gr.Request) -> None:
        data = picture_of(payload)
        if data is not None:
            session = booths.of(str(request.session_hash))
            session.transcribe = transcribe
            session.picture(data)

    async def hear(payload: Payload, transcribe: bool, request: gr.Request) -> None:
        wav = sound_of(payload, desk)
        if wav is not None:
            session = booths.of(str(request.session_hash))
            session.transcribe = transcribe
            with suppress(NotSound):  # nobody but a forger sends another kind
                session.sound(wav)

    async def press(request: gr.Request) -> tuple[Any, Any]:
        session = booths.of(str(request.session_hash))
        if session.seen.state == "ended":
            session.again()
        else:
            await session.stop()
        return booths.news(str(request.session_hash))

    async def tell(request: gr.Request) -> tuple[Any, Any]:
        return booths.news(str(request.session_hash))

    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    for device, take, every in (
        (parts.camera, see, PICTURE_EVERY_SECONDS),
        (parts.microphone, hear, SOUND_EVERY_SECONDS),
    ):
        event = device.stream(
            take,
            inputs=[device, parts.heard],
            preprocess=False,
            stream_every=every,
            queue=False,
            trigger_mode="multiple",
            **quiet,
        )
        _ask_each_time(event)
    told = [parts.verdict, parts.button]
    parts.clock.tick(tell, outputs=told, queue=False, **quiet)
    parts.button.click(press, outputs=told, concurrency_limit=None, **quiet)


def picture_of(payload: Payload) -> bytes | None:
    """The JPEG that the browser sent in place of a file."""
    url = str((payload or {}).get("url") or "")
    if not url.startswith(_JPEG) or len(url) > MAX_PICTURE_CHARACTERS:
        return None
    try:
        return base64.b64decode(url.removeprefix(_JPEG), validate=True)
    except binascii.Error:
        return None


def sound_of(payload: Payload, desk: Desk) -> bytes | None:
    """A chunk of the microphone; its file is gone as soon as it is read."""
    try:
        path = desk.uploads.path(payload)
    except UploadGone:  # of two equal chunks (silence) the browser makes one file
        return None
    if path is None or path.stat().st_size > MAX_CHUNK_BYTES:
        return None
    data = path.read_bytes()
    desk.uploads.forget(path)
    return data
