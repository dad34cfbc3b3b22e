"""Where visitors enter an API key of their own, if the service asks for one and this page has none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gradio as gr

from ui.client import ServiceError
from ui.client.address import address
from ui.tabs.asking import Desk
from ui.visitors import MAX_KEY_CHARACTERS

ASKED = "The service asks for a key. It stays in the memory of this page's server until you close the page."


def key_box(desk: Desk) -> gr.Column:
    """The box, hidden until `wanted` says that it is needed."""
    with gr.Column(visible=False) as box:
        field = gr.Textbox(label="API key", type="password", info=ASKED, max_length=MAX_KEY_CHARACTERS)
        said = gr.HTML("", elem_classes="ms-label")

    async def keep(key: str, request: gr.Request) -> str:
        try:
            address(desk.api_url, key.strip() or None, None, 1.0, None)
            desk.visitors.keep(str(request.session_hash), key)
        except (ServiceError, ValueError) as error:
            return f"<p role=status>{error}</p>"
        return f"<p role=status>{'This key is used from now on.' if key.strip() else 'The key was forgotten.'}</p>"

    gr.on(
        [field.submit, field.blur],
        keep,
        inputs=[field],
        outputs=[said],
        show_progress="hidden",
        queue=False,
        api_visibility="private",
    )
    return box


async def wanted(desk: Desk) -> bool:
    """Whether the service asks for a key that this page does not have, as far as it can be reached."""
    if not desk.keyless:
        return False
    try:
        return asks_for_key(await desk.client.document())
    except ServiceError:
        return False


def asks_for_key(document: Mapping[str, Any]) -> bool:
    """Whether an OpenAPI document lists credentials for reading a text."""
    operation = document.get("paths", {}).get("/v1/text", {}).get("post", {})
    return bool(operation.get("security"))
