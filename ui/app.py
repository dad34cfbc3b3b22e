"""The user interface as a web application: `python -m ui.app`, then http://127.0.0.1:7860."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import gradio as gr
import uvicorn
from fastapi import FastAPI

from ui.client import AsyncClient
from ui.headers import Shielded
from ui.page import page
from ui.settings import Settings, settings
from ui.tabs.asking import Desk
from ui.theme import theme
from ui.uploads import Uploads

HERE = Path(__file__).parent
EXAMPLES = HERE / "examples"


def create_app(now: Settings) -> FastAPI:
    """The page at `/` and its own `/health`; uploads live in a private folder that is wiped at start and stop."""
    uploads = Uploads(now.uploads / str(now.port), now.keep_seconds, readable=[EXAMPLES])
    uploads.prepare()
    _tell_gradio(uploads)
    client = AsyncClient(now.api_url, api_key=now.api_key, timeout_seconds=now.timeout_seconds)
    app = FastAPI(title="Multimodal Sentiment UI", openapi_url=None, lifespan=_lifespan(uploads, client))

    @app.get("/health")
    async def health() -> dict[str, str]:
        """That this page answers; how the service is, the service says itself."""
        return {"status": "healthy"}

    app.add_middleware(Shielded)
    return _mounted(app, Desk(client, uploads, EXAMPLES), now)


def main() -> None:
    """Serve until told to stop."""
    now = settings()
    uvicorn.run(create_app(now), host=now.host, port=now.port, log_level="warning", timeout_graceful_shutdown=3)


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
        theme=theme(),
        css_paths=HERE / "page.css",
        head=f"<script>{script}</script>",
    )


if __name__ == "__main__":
    main()
