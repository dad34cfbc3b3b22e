"""The application: every route, and the OpenAPI document that describes them."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from fastapi import FastAPI
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from service import __version__
from service.api import analyze, calibration, docs, history, jobs, models, stream, system
from service.api.backend import Backend
from service.api.documented import (
    ANSWER_PROBLEMS,
    TEXT_PROBLEMS,
    document_access,
    operation_id,
    option_parameters,
    problem_responses,
    text_body,
)
from service.api.examples import EXPLAINED
from service.api.messages import message_schemas
from service.api.problems import PROBLEMS
from service.api.routes import Routes
from service.api.schemas import Results
from service.api.system import Probe
from service.api.temp_folder import TempFolder
from service.api.text import post_text
from service.domain.analysis import Analysis
from service.settings import Settings

DESCRIPTION = """\
Text, a voice, a face or a whole video goes in; one fused, calibrated sentiment verdict comes out.

The service **abstains** rather than guesses: then `label` is null and `reason` says why. Every error, from every layer,
is a Problem (RFC 9457) whose `code` is listed under `/problems/{code}`.
"""


class Application(FastAPI):
    """FastAPI without its layers that answer errors: the edge outside answers them all, in one shape."""

    def build_middleware_stack(self) -> ASGIApp:
        """The router, and what closes its dependencies."""
        return AsyncExitStackMiddleware(self.router)

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI 3.1 document."""
        return self._document

    @cached_property
    def _document(self) -> dict[str, Any]:
        document = super().openapi()
        for path in document["paths"].values():
            for operation in path.values():
                operation["summary"] = operation.pop("description")
        schemas = document["components"]["schemas"]
        schemas["Problem"]["properties"]["code"]["enum"] = list(PROBLEMS)
        # pydantic takes "defaults are required" from the dataclass around it, though a modality may be absent.
        del schemas["Modalities"]["required"]
        schemas["Explanation"]["examples"] = [EXPLAINED]  # here, since FastAPI leaves members out that are null
        document["paths"][stream.PATH]["get"]["description"] = stream.DESCRIPTION
        document["components"]["schemas"] = message_schemas() | schemas
        document_access(document, self.state.backend.settings)
        return document


def build(settings: Settings) -> Application:
    """The application for these settings; its backend gets its tools when the service has started."""
    app = Application(
        title="Multimodal Sentiment",
        version=__version__,
        description=DESCRIPTION,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=operation_id,
    )
    backend = app.state.backend = Backend(settings, TempFolder(settings.temp_folder))
    backend.checks["database"] = backend.database.ping
    backend.checks["queue"] = backend.jobs.check
    app.state.probe = Probe()
    app.add_api_route(
        "/v1/text",
        post_text,
        methods=["POST"],
        tags=["analyse"],
        response_model=Analysis | Results,
        responses=problem_responses(*TEXT_PROBLEMS, *ANSWER_PROBLEMS),
        openapi_extra={
            "requestBody": text_body(settings.max_texts, settings.max_text_characters),
            "parameters": option_parameters(),
        },
    )
    for module in (analyze, stream, jobs, history, models, calibration, system, docs):
        # Not `include_router`: newer versions keep included routes out of `app.routes`, where paths are looked up.
        app.router.routes.extend(module.router.routes)
    return app


def routes(app: Application) -> Routes:
    """Who answers which path; the text route without the framework around it."""

    async def text(scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"] = app
        response = await post_text(Request(scope, receive))
        await response(scope, receive, send)

    return Routes(app, {("POST", "/v1/text"): text})
