"""The routes that take files: `/v1/audio`, `/v1/image`, `/v1/video`, and `/v1/analyze` for any of them together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from service.access import use
from service.api.backend import Backend, backend_of
from service.api.documented import (
    ANSWER_PROBLEMS,
    FILE_PROBLEMS,
    form_body,
    option_parameters,
    problem_responses,
    routes_about,
)
from service.api.history import check_store, keep
from service.api.options import options_from_form
from service.api.problems import ProblemError, invalid, problem_of
from service.api.schemas import json_response
from service.api.text import check_length
from service.api.uploads import Form, FormRules, receive_form
from service.domain.analysis import Analysis
from service.observability import metrics
from service.pipelines.analyze import Inputs, analyze

MAX_BYTES_OF_A_CHARACTER = 4
"""In UTF-8."""

router = routes_about("analyse")

_FILE = FormRules(files=("file",))
_PROBLEMS = problem_responses("use_restricted", *FILE_PROBLEMS, *ANSWER_PROBLEMS)


def _documented(description: str, *, text: bool = False) -> dict:
    files = ("audio", "image", "video") if text else ("file",)
    return {"requestBody": form_body(description, files, text=text), "parameters": option_parameters()}


@router.post(
    "/v1/audio",
    response_model=Analysis,
    responses=_PROBLEMS,
    openapi_extra=_documented("A recording: WAV, MP3, M4A, Ogg, FLAC, WebM and what else FFmpeg reads."),
)
async def post_audio(request: Request) -> Response:
    """What a voice says: its emotion, and its words where they can be transcribed."""
    return await _answer_file(request, "audio")


@router.post(
    "/v1/image",
    response_model=Analysis,
    responses=_PROBLEMS,
    openapi_extra=_documented("A picture: JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF."),
)
async def post_image(request: Request) -> Response:
    """What the faces on a picture say."""
    return await _answer_file(request, "image")


@router.post(
    "/v1/video",
    response_model=Analysis,
    responses=_PROBLEMS,
    openapi_extra=_documented("A video: MP4, MOV, WebM, MKV, AVI and what else FFmpeg reads."),
)
async def post_video(request: Request) -> Response:
    """What faces, voice and words of a video say, fused, and over time."""
    return await _answer_file(request, "video")


@router.post(
    "/v1/analyze",
    response_model=Analysis,
    responses=problem_responses("use_restricted", "too_long", *FILE_PROBLEMS, *ANSWER_PROBLEMS),
    openapi_extra=_documented("Any of a text, a recording, a picture and a video, at least one.", text=True),
)
async def post_analyze(request: Request) -> Response:
    """One verdict over all that is sent."""
    backend = backend_of(request)
    longest = backend.settings.max_text_characters * MAX_BYTES_OF_A_CHARACTER
    rules = FormRules(files=("audio", "image", "video"), texts={"text": longest})
    async with receive_form(request, rules, backend.folder) as form:
        text = form.texts.get("text")
        if text is None and not form.files:
            raise invalid("", "Send at least one of text, audio, image and video.")
        if text is not None:
            check_length(text, backend.settings)
        return await _answer(request, backend, _inputs(form.files, text), form)


async def _answer_file(request: Request, kind: str) -> Response:
    backend = backend_of(request)
    async with receive_form(request, _FILE, backend.folder) as form:
        if "file" not in form.files:
            raise invalid("/file", f"The field `file` with the {kind} is missing.")
        return await _answer(request, backend, _inputs({kind: form.files["file"]}), form)


def _inputs(files: Mapping[str, Path], text: str | None = None) -> Inputs:
    return Inputs(text=text, audio=files.get("audio"), image=files.get("image"), video=files.get("video"))


def _given(inputs: Inputs) -> list[str]:
    return [field.name for field in fields(inputs) if getattr(inputs, field.name) is not None]


async def _answer(request: Request, backend: Backend, inputs: Inputs, form: Form) -> Response:
    use.check(_given(inputs), backend.settings.use)
    options = options_from_form(form.options, request.query_params)
    check_store(options, request)
    tools = backend.require_tools()
    try:
        analysis = await analyze(inputs, options, tools)
    except Exception as error:
        problem = problem_of(error)
        _count_refusal(inputs, problem)
        raise problem from error
    metrics.predicted(analysis)
    if "decode" in analysis.timings:
        metrics.decoded(inputs.kind, analysis.timings["decode"])
    request.scope["timings"] = analysis.timings
    if options.store:
        (analysis,) = await keep([analysis], request)
    return json_response(analysis)


def _count_refusal(inputs: Inputs, problem: ProblemError) -> None:
    if problem.kind.code in FILE_PROBLEMS:
        metrics.rejected(inputs.kind, problem.kind.code)
