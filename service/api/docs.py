"""Pages and documents: the OpenAPI document, a page to try it, the short page at `/`, and what each problem means."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from dataclasses import asdict
from pathlib import Path
from string import Template

import orjson
from starlette.requests import Request
from starlette.responses import Response

from service import __version__
from service.api.documented import ETAG_HEADER, NOT_MODIFIED, problem_responses, routes_about
from service.api.models import with_etag
from service.api.problems import PROBLEMS, ProblemError, ProblemKind
from service.api.schemas import json_response

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


@router.get(
    "/problems/{code}",
    response_class=Response,
    responses={200: _EITHER, **problem_responses("not_found")},
    openapi_extra={"parameters": [_CODE]},
)
async def get_problem(request: Request) -> Response:
    """What a problem means and what helps: HTML, or JSON if `Accept` asks for it."""
    kind = PROBLEMS.get(request.path_params["code"])
    if kind is None:
        raise ProblemError("not_found", f"No problem has this code; these exist: {', '.join(PROBLEMS)}.")
    if "html" in request.headers.get("accept", ""):
        return _problem_page(kind)
    return json_response(kind)


def _problem_page(kind: ProblemKind) -> Response:
    return _page("problem.html", **asdict(kind))


def _page(name: str, **values: object) -> Response:
    """A page with its values filled in; it may load nothing and run only its own script."""
    text = Template((PAGES / name).read_text(encoding="utf-8")).substitute(
        style=(PAGES / "style.css").read_text(encoding="utf-8"),
        **{key: html.escape(str(value)) for key, value in values.items()},
    )
    return Response(text, headers={"Content-Security-Policy": _policy(text)}, media_type="text/html")


def _policy(text: str) -> str:
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in _SCRIPT.findall(text)]
    scripts = " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"
    own = "style-src 'unsafe-inline'; img-src data: blob:; connect-src 'self'"
    shut = "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    return f"default-src 'none'; {own}; script-src {scripts}; {shut}"
