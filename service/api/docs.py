"""Pages and documents: the OpenAPI document, a page to try it, the short page at `/`, and what each problem means."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Mapping
from pathlib import Path
from string import Template
from types import MappingProxyType

import orjson
from starlette.requests import Request
from starlette.responses import Response

from service import __version__
from service.api.backend import backend_of
from service.api.documented import ETAG_HEADER, NOT_MODIFIED, problem_responses, routes_about
from service.api.models import with_etag
from service.api.problem_pages import catalogue, entry, limits_of, sentence
from service.api.problems import PROBLEMS, ProblemError, ProblemKind
from service.api.schemas import json_response
from service.settings import Settings

PAGES = Path(__file__).parent / "pages"
_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)

_PAGE = {"description": "A page.", "content": {"text/html": {"schema": {"type": "string"}}}}
_EITHER = {
    "description": "HTML, or JSON unless `Accept` asks for HTML.",
    "content": {"application/json": {"schema": {"type": "object"}}, **_PAGE["content"]},
}
_CODE = {"name": "code", "in": "path", "required": True, "schema": {"enum": list(PROBLEMS)}}
_DOCUMENT = {
    "description": "This document.",
    "headers": ETAG_HEADER,
    "content": {"application/json": {"schema": {"type": "object"}}},
}

router = routes_about("documentation")


@router.get(
    "/openapi.json",
    name="get_openapi",
    response_class=Response,
    responses={200: _DOCUMENT, 304: NOT_MODIFIED},
)
@router.get(
    "/docs.json",
    response_class=Response,
    responses={200: _DOCUMENT, 304: NOT_MODIFIED},
)
async def get_document(request: Request) -> Response:
    """The OpenAPI 3.1 document of this service."""
    return with_etag(request, orjson.dumps(request.app.openapi()), "application/json")


@router.get("/docs", response_class=Response, responses={200: _PAGE})
async def get_docs() -> Response:
    """A page that lists every route and lets one try it."""
    return _page("docs.html", version=__version__)


@router.get("/", response_class=Response, responses={200: _PAGE})
async def get_home(request: Request) -> Response:
    """A short page with links."""
    return _page("home.html", version=__version__, address=str(request.base_url).rstrip("/"))


@router.get("/problems", response_class=Response, responses={200: _EITHER})
async def get_problems(request: Request) -> Response:
    """Every problem: cause, remedy and the limits in force; HTML, or JSON unless `Accept` asks for HTML."""
    settings = backend_of(request).settings
    if _wants_html(request):
        return _page("problems.html", {"problems": "".join(_problem_row(kind) for kind in PROBLEMS.values())})
    return json_response({"problems": catalogue(settings)})


@router.get(
    "/problems/{code}",
    response_class=Response,
    responses={200: _EITHER, **problem_responses("not_found")},
    openapi_extra={"parameters": [_CODE]},
)
async def get_problem(request: Request) -> Response:
    """What a problem means, what helps, and the limits in force; HTML, or JSON unless `Accept` asks for HTML."""
    kind = PROBLEMS.get(request.path_params["code"])
    if kind is None:
        raise ProblemError("not_found", "No problem has this code; /problems lists those that exist.")
    settings = backend_of(request).settings
    return _problem_page(kind, settings) if _wants_html(request) else json_response(entry(kind, settings))


def _wants_html(request: Request) -> bool:
    return "html" in request.headers.get("accept", "")


def _problem_page(kind: ProblemKind, settings: Settings) -> Response:
    return _page(
        "problem.html",
        {"limits": _limits(kind, settings)},
        code=kind.code,
        status=kind.status,
        title=kind.title,
        cause=kind.cause,
        remedy=kind.remedy,
    )


def _limits(kind: ProblemKind, settings: Settings) -> str:
    """The limits of a problem as HTML; nothing if it has none."""
    items = "".join(f"<li>{html.escape(sentence(limit))}</li>" for limit in limits_of(kind.code, settings))
    return f"<h2>Limits in force</h2>\n<ul>{items}</ul>" if items else ""


def _problem_row(kind: ProblemKind) -> str:
    title = html.escape(kind.title)
    return f'<li><a href="/problems/{kind.code}">{kind.status} {kind.code}<span>{title}</span></a></li>\n'


def _page(name: str, parts: Mapping[str, str] = MappingProxyType({}), **values: object) -> Response:
    """A page with its values filled in, `parts` being HTML; it may load nothing and run only its own script."""
    text = Template((PAGES / name).read_text(encoding="utf-8")).substitute(
        style=(PAGES / "style.css").read_text(encoding="utf-8"),
        **parts,
        **{key: html.escape(str(value)) for key, value in values.items()},
    )
    return Response(text, headers={"Content-Security-Policy": _policy(text)}, media_type="text/html")


def _policy(text: str) -> str:
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in _SCRIPT.findall(text)]
    scripts = " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"
    own = "style-src 'unsafe-inline'; img-src data: blob:; connect-src 'self'"
    shut = "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    return f"default-src 'none'; {own}; script-src {scripts}; {shut}"
