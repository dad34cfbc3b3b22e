"""`GET /v1/models`: what answers, what it scored, and on what terms it may be used."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import fields

import orjson
from starlette.requests import Request
from starlette.responses import Response

from models.registry import ModelEntry, load_registry
from service.access import use
from service.api.backend import backend_of
from service.api.documented import ETAG_HEADER, NOT_MODIFIED, problem_responses, routes_about
from service.api.schemas import ModelList, ModelView, ProfileView, UseView
from service.runners import ModelInfo
from service.runners.profile import Profile

router = routes_about("models")


@router.get(
    "/v1/models",
    response_model=ModelList,
    responses={200: {"headers": ETAG_HEADER}, 304: NOT_MODIFIED, **problem_responses("internal")},
)
async def get_models(request: Request) -> Response:
    """Every model: what it is, what it scored, and its licence; the declared use, and the recalibration in use."""
    backend = backend_of(request)
    models = backend.tools.models if backend.tools else None
    views = model_views(load_registry(), models.info if models else {})
    profile = profile_view(models.profile) if models and models.profile else None
    answer = {"models": views, "use": declared_use(backend.settings.use), "profile": profile}
    return with_etag(request, orjson.dumps(answer), "application/json")


def declared_use(declared: use.Use) -> UseView:
    """What the operator declared, and what is not judged therefore."""
    return UseView(name=declared, restricted=use.restricted(declared), reason=use.reason(declared))


def profile_view(profile: Profile) -> ProfileView:
    """What a profile is made from and does."""
    same = {field.name: getattr(profile, field.name) for field in fields(ProfileView) if field.name != "min_confidence"}
    return ProfileView(**same, min_confidence={what: one.min_confidence for what, one in profile.judged.items()})


def model_views(entries: Mapping[str, ModelEntry], served: Mapping[str, ModelInfo]) -> list[ModelView]:
    """The registry's models, then those that a setting brought in."""
    identifiers = {info.identifier for info in served.values()}
    known = {entry.identifier for entry in entries.values()}
    return [
        *(_registered(entry, entry.identifier in identifiers) for entry in entries.values()),
        *(_foreign(name, info) for name, info in served.items() if info.identifier not in known),
    ]


def with_etag(request: Request, content: bytes, media_type: str) -> Response:
    """The content with its digest as `ETag`; 304 if the client has it already."""
    etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers={"ETag": etag})
    return Response(content, headers={"ETag": etag}, media_type=media_type)


def _registered(entry: ModelEntry, served: bool) -> ModelView:
    return ModelView(
        name=entry.name,
        version=entry.version,
        task=entry.task,
        modality=entry.modality,
        sha256=entry.sha256,
        labels=entry.labels,
        languages=entry.languages,
        scores=entry.scores,
        licence=entry.licence,
        commercial_use=entry.commercial_use,
        limits=entry.limits,
        served=served,
    )


def _foreign(task: str, info: ModelInfo) -> ModelView:
    name, _, version = info.identifier.partition("@")
    return ModelView(
        name=name,
        version=version,
        task=task,
        modality=task if task in ("text", "speech", "face") else None,
        sha256=None,
        labels=(),
        languages=info.languages,
        scores={},
        licence=None,
        commercial_use=None,
        limits=(),
        served=True,
    )
