"""Faces in a picture."""

from __future__ import annotations

import numpy as np
import pytest

from service.domain.sentiment import NO_EVIDENCE, Prediction
from service.media.decoder import Picture
from service.media.sniff import UNKNOWN
from service.pipelines import face
from service.pipelines.media import Tools

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_face_of_no_quality_is_no_evidence_however_low_the_bar(
    tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    worthless = face.Sighting(0.0, (10, 10, 90, 90), 0.9, 0.0, Prediction((0.1, 0.2, 0.7), {"happy": 1.0}))

    async def see(*_: object, **__: object) -> list[list[face.Sighting]]:
        return [[worthless]]

    monkeypatch.setattr(face, "see", see)
    picture = Picture(np.zeros((120, 120, 3), np.uint8), 120, 120, 1.0, 1, truncated=False, format=UNKNOWN)
    found = await face.read_picture(picture, 0.0, tools.models)
    assert found.opinions == {}
    assert found.face is not None
    assert found.face.sentiment == NO_EVIDENCE
