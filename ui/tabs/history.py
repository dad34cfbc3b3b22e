"""What was kept: listed, filtered, opened again, exported, deleted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import gradio as gr
from gradio.context import Context

from ui.answers import LABELS, MODALITIES
from ui.client import Analysis, Problem, ServiceError
from ui.markup import percent
from ui.result import failed, render
from ui.result.table import fetch
from ui.tabs.asking import Desk, picture_url
from ui.visitors import session_now

PAGE = 25
COLUMNS = ["UTC", "Verdict", "Words", "What", "Sure"]
"""What matters most first: on a phone the rest lies beside the screen."""
WHAT = {"text": "Text", "audio": "Voice", "image": "Picture", "video": "Video", "multimodal": "Several"}
ALL = "all"
NOTHING = """<section class="ms-result ms-blank"><p>{}</p></section>"""
CHOOSE = NOTHING.format("Choose a line to see all of it again.")
EMPTY = NOTHING.format("Nothing is kept. Tick <b>Keep the answer in the history</b> under Options to have it here.")
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}


@dataclass(frozen=True)
class Parts:
    """What the tab is made of."""

    label: gr.Dropdown
    modality: gr.Dropdown
    listed: gr.Dataframe
    more: gr.Button
    csv: gr.Button
    json: gr.Button
    link: gr.HTML
    clear: gr.Button
    sure: gr.Column
    yes: gr.Button
    no: gr.Button
    shown: gr.HTML
    forget: gr.Button
    ids: gr.State
    opened: gr.State
    wanted: gr.State

    @property
    def list_outputs(self) -> list[Any]:
        """What changes with the list."""
        return [self.listed, self.ids, self.more, self.shown, self.forget, self.opened, self.sure, self.link]


def build(desk: Desk) -> None:
    """The tab."""
    tab = Context.block
    parts = _parts()
    shelf = Shelf(desk)
    filters = [parts.label, parts.modality]

    async def fresh(label: str, modality: str) -> tuple[Any, ...]:
        return (PAGE, *await shelf.listed(label, modality, PAGE))

    async def further(label: str, modality: str, wanted: int) -> tuple[Any, ...]:
        return (wanted + PAGE, *await shelf.listed(label, modality, wanted + PAGE))

    outputs = [parts.wanted, *parts.list_outputs]
    for trigger in (parts.label.change, parts.modality.change, *([tab.select] if isinstance(tab, gr.Tab) else [])):
        trigger(fresh, inputs=filters, outputs=outputs, **QUIET)
    parts.more.click(further, inputs=[*filters, parts.wanted], outputs=outputs, **QUIET)
    parts.listed.select(shelf.opened, inputs=[parts.ids], outputs=[parts.shown, parts.forget, parts.opened], **QUIET)
    for button, kind in ((parts.csv, "csv"), (parts.json, "json")):
        button.click(shelf.exporting(kind), inputs=filters, outputs=[parts.link], **QUIET)
    parts.forget.click(
        shelf.forgotten, inputs=[parts.opened, *filters, parts.wanted], outputs=parts.list_outputs, **QUIET
    )
    parts.clear.click(lambda: gr.update(visible=True), outputs=[parts.sure], **QUIET)
    parts.no.click(lambda: gr.update(visible=False), outputs=[parts.sure], **QUIET)
    parts.yes.click(shelf.cleared, outputs=parts.list_outputs, **QUIET)


class Shelf:
    """What the tab asks of the service, and what it then shows."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def listed(self, label: str, modality: str, wanted: int) -> tuple[Any, ...]:
        """So many of the newest, as the list shows them."""
        try:
            found = [one async for one in self._newest(label, modality, wanted + 1)]
        except ServiceError as error:
            return _list([], failed(error))
        chosen = label != ALL or modality != ALL
        nothing = NOTHING.format("Nothing kept is like that.") if chosen else EMPTY
        return _list(found[:wanted], CHOOSE if found else nothing, more=len(found) > wanted)

    async def opened(self, ids: list[str], event: gr.SelectData) -> tuple[Any, ...]:
        """One of the list, as it was answered."""
        row = event.index[0] if isinstance(event.index, (list, tuple)) else event.index
        if row >= len(ids):
            return CHOOSE, gr.update(visible=False), None
        try:
            return render(await self._desk.client.history.get(ids[row])), gr.update(visible=True), ids[row]
        except ServiceError as error:
            return failed(error), gr.update(visible=False), None

    def exporting(self, kind: str) -> Any:
        """What makes a document of the list, and a link to it."""

        async def export(label: str, modality: str) -> str:
            path = self._desk.uploads.new(f"history.{kind}")
            try:
                await self._desk.client.history.export(path, kind, **_filters(label, modality))
            except ServiceError as error:
                return failed(error)
            self._desk.uploads.show(session_now() or "", f"history-{kind}", {"path": str(path)})
            return fetch(picture_url(path), path.name, f"Save {path.name}", self._desk.uploads.keep_seconds)

        return export

    async def forgotten(self, opened: str | None, label: str, modality: str, wanted: int) -> tuple[Any, ...]:
        """The list without what was open."""
        try:
            if opened:
                await self._desk.client.history.delete(opened)
        except ServiceError as error:
            if not isinstance(error, Problem) or error.status != 404:
                return _list([], failed(error))
        return await self.listed(label, modality, wanted)

    async def cleared(self) -> tuple[Any, ...]:
        """Nothing is left."""
        try:
            receipt = await self._desk.client.history.clear()
        except ServiceError as error:
            return _list([], failed(error))
        return _list([], NOTHING.format(f"{receipt.removed:,} deleted; nothing is kept any more."))

    async def _newest(self, label: str, modality: str, most: int) -> AsyncIterator[Analysis]:
        found = 0
        async for one in self._desk.client.history.list(page_size=min(most, 100), **_filters(label, modality)):
            yield one
            found += 1
            if found == most:
                return


def _filters(label: str, modality: str) -> dict[str, Any]:
    chosen = {"label": label, "modality": modality}
    return {name: value for name, value in chosen.items() if value and value != ALL}


def _list(found: list[Analysis], shown: str, *, more: bool = False) -> tuple[Any, ...]:
    """Values for `Parts.list_outputs`; nothing is open then."""
    rows = [_row(one) for one in found]
    ids = [one.id for one in found]
    hidden = gr.update(visible=False)
    return gr.update(value=rows, visible=bool(rows)), ids, gr.update(visible=more), shown, hidden, None, hidden, ""


def _row(one: Analysis) -> list[str]:
    verdict = one.sentiment
    part = one.modalities.text
    return [
        _when(one.created),
        (verdict.label or "undecided").capitalize(),
        " ".join((part.text if part else "").split())[:160],
        WHAT.get(one.kind, one.kind),
        percent(verdict.confidence) if verdict.telling else "",
    ]


def _when(created: str) -> str:
    """`24 Nov 10:06`, in UTC as the service says it."""
    return datetime.fromisoformat(created.replace("Z", "+00:00")).strftime("%d %b %H:%M")


def _parts() -> Parts:
    with gr.Row():
        with gr.Column(scale=5, min_width=300):
            with gr.Row():
                label = gr.Dropdown([ALL, *LABELS, "abstained"], value=ALL, label="Verdict", min_width=130)
                modality = gr.Dropdown([ALL, *MODALITIES], value=ALL, label="With", min_width=130)
            listed = gr.Dataframe(
                headers=COLUMNS,
                interactive=False,
                visible=False,
                show_search="none",
                buttons=[],
                max_height=520,
                column_widths=["116px", "92px", "200px", "80px", "64px"],
                elem_classes="ms-list",
            )
            more = gr.Button("Show more", size="sm", visible=False)
            with gr.Row(elem_classes="ms-tries"):
                csv, json = gr.Button("Export CSV", size="sm"), gr.Button("Export JSON", size="sm")
                clear = gr.Button("Delete all", size="sm", elem_classes="ms-danger")
            link = gr.HTML("")
            with gr.Column(visible=False, elem_classes="ms-sure") as sure:
                gr.HTML('<p role="alert">Delete everything that was kept, for good?</p>')
                with gr.Row(elem_classes="ms-tries"):
                    yes = gr.Button("Yes, delete all", size="sm", elem_classes="ms-danger")
                    no = gr.Button("No", size="sm")
        with gr.Column(scale=7, min_width=300):
            shown = gr.HTML(EMPTY)
            with gr.Row(elem_classes="ms-tries"):
                forget = gr.Button("Delete this one", size="sm", visible=False, elem_classes="ms-danger")
    ids, opened, wanted = gr.State([]), gr.State(None), gr.State(PAGE)
    return Parts(
        label=label,
        modality=modality,
        listed=listed,
        more=more,
        csv=csv,
        json=json,
        link=link,
        clear=clear,
        sure=sure,
        yes=yes,
        no=no,
        shown=shown,
        forget=forget,
        ids=ids,
        opened=opened,
        wanted=wanted,
    )
