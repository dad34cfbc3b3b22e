"""The user interface as a web application: `python -m ui.app`, then http://127.0.0.1:7860."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import gradio as gr
import uvicorn
from fastapi import FastAPI

from ui.client import AsyncClient, Retries
from ui.client.address import LOOPBACK
from ui.headers import Shielded
from ui.login import PatientLogin, logins
from ui.page import page
from ui.settings import Settings, settings
from ui.tabs.asking import Desk
from ui.theme import theme
from ui.uploads import Uploads
from ui.visitors import VisitorKeys

HERE = Path(__file__).parent
EXAMPLES = HERE / "examples"
PATIENCE_SECONDS = 10.0
"""Who looks at a page would rather be told to wait than wait longer without a word."""

log = logging.getLogger(__name__)


def create_app(now: Settings) -> FastAPI:
    """The page at `/` and its own `/health`; uploads live in a private folder that is wiped at start and stop."""
    uploads = Uploads(now.uploads / str(now.port), now.keep_seconds, readable=[EXAMPLES])
    uploads.prepare()
    _tell_gradio(uploads)
    visitors = VisitorKeys()
    key = now.api_key.get_secret_value() if now.api_key else None
    client = AsyncClient(
        now.api_url,
        api_key=key,
        timeout_seconds=now.timeout_seconds,
        retries=Retries(total_seconds=PATIENCE_SECONDS),
        auth=None if key else visitors,
    )
    app = FastAPI(title="Multimodal Sentiment UI", openapi_url=None, lifespan=_lifespan(uploads, client))

    @app.get("/health")
    async def health() -> dict[str, str]:
        """That this page answers; how the service is, the service says itself."""
        return {"status": "healthy"}

    app.add_middleware(PatientLogin)
    app.add_middleware(Shielded)
    return _mounted(app, Desk(client, uploads, EXAMPLES, visitors, now.api_url, keyless=key is None), now)


def main() -> None:
    """Serve until told to stop."""
    now = settings()
    _warn_if_open(now)
    uvicorn.run(create_app(now), host=now.host, port=now.port, log_level="warning", timeout_graceful_shutdown=3)


def _warn_if_open(now: Settings) -> None:
    """Whoever reaches the page asks the service with the page's key."""
    if now.api_key and not (now.auth or now.auth_file) and now.host not in LOOPBACK:
        log.warning("THE PAGE ASKS FOR NO LOGIN and has a key: whoever reaches it uses that key. Set UI_AUTH.")


def _tell_gradio(uploads: Uploads) -> None:
    """Gradio reads these from the environment when blocks are made: no telemetry, no history of runs, our folder."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_RUN_HISTORY"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = str(uploads.folder)
    gr.set_static_paths([EXAMPLES])


def _lifespan(uploads: Uploads, client: AsyncClient):
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        sweeping = asyncio.create_task(uploads.sweep_forever())
        yield
        sweeping.cancel()
        await client.aclose()
        uploads.wipe()

    return lifespan


def _mounted(app: FastAPI, desk: Desk, now: Settings) -> FastAPI:
    blocks = page(desk).queue(default_concurrency_limit=now.at_once, max_size=16 * now.at_once)
    script = (HERE / "page.js").read_text(encoding="utf-8")
    return gr.mount_gradio_app(
        app,
        blocks,
        path="/",
        allowed_paths=[str(EXAMPLES)],
        footer_links=[],
        max_file_size=now.max_upload_bytes,
        show_error=False,
        auth=logins(now),
        theme=theme(),
        css_paths=HERE / "page.css",
        head=f"<script>{script}</script>",
    )


if __name__ == "__main__":
    main()
