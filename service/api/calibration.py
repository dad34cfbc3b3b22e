"""`GET /v1/models/{name}/calibration`: how right and how honest a model is, on which data and when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from models.registry import load_calibration, load_registry, shipped
from service.api.backend import backend_of
from service.api.documented import ETAG_HEADER, NOT_MODIFIED, problem_responses, routes_about
from service.api.models import with_etag
from service.api.problems import ProblemError
from service.api.schemas import AppliedProfile, CalibrationView, MeasuredCalibration
from service.domain.labels import Modality
from service.runners.profile import HeadProfile, Profile

router = routes_about("models")

FUSION = "fusion"
JSON = "application/json"
SHARED = tuple(field.name for field in fields(MeasuredCalibration))


@router.get(
    "/v1/models/{name}/calibration",
    response_model=CalibrationView,
    responses={200: {"headers": ETAG_HEADER}, 304: NOT_MODIFIED, **problem_responses("not_found", "internal")},
)
async def get_calibration(name: str, request: Request) -> Response:
    """ECE, Brier score, reliability bins, risk-coverage and prediction sets of a model, or of `fusion`."""
    record = load_calibration(name)
    if record is None:
        known = ", ".join(one for one in (*load_registry(), FUSION) if load_calibration(one))
        raise ProblemError("not_found", f"No calibration of {name[:60]!r} was measured; there is one of {known}.")
    tools = backend_of(request).tools
    return with_etag(request, orjson.dumps(view(name, record, tools.models.profile if tools else None)), JSON)


def view(name: str, record: Mapping[str, Any], profile: Profile | None = None) -> CalibrationView:
    """A record as the contract shows it."""
    judged = record.get("subsets") or {load_registry()[name].modality or name: record}
    return CalibrationView(
        name=name,
        **{key: record[key] for key in ("model", "data", "data_sha256", "weights_sha256", "date", "commit")},
        current=dict(record["weights_sha256"]).items() <= shipped().items(),
        measured={what: MeasuredCalibration(**{key: one[key] for key in SHARED}) for what, one in judged.items()},
        robustness=record.get("robustness"),
        profile=applied(name, profile) if profile else None,
    )


def applied(name: str, profile: Profile) -> AppliedProfile | None:
    """What a profile does to a model, or to the fused verdict; None if that is nothing."""
    heads: dict[Modality, HeadProfile] = {
        modality: head for modality, head in profile.heads.items() if name in (FUSION, head.model.split("@")[0])
    }
    if not heads:
        return None
    return AppliedProfile(
        profile=profile.identifier,
        date=profile.date,
        data=profile.data,
        data_sha256=profile.data_sha256,
        temperatures={modality: head.temperature for modality, head in heads.items()},
        judged={
            what: one for what, one in profile.judged.items() if ("+" in what if name == FUSION else what in heads)
        },
    )
