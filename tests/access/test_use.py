from __future__ import annotations

import pytest

from service.access.use import USES, UseRestricted, check, reason, restricted

FORBIDDEN = ("workplace", "education")


@pytest.mark.parametrize("use", FORBIDDEN)
@pytest.mark.parametrize("kind", ["audio", "image", "video", "speech", "face"])
def test_at_work_and_in_education_neither_face_nor_voice_is_judged(use, kind):
    with pytest.raises(UseRestricted, match=r"Article 5\(1\)\(f\).*Text stays available"):
        check(["text", kind], use)


@pytest.mark.parametrize("use", USES)
def test_text_is_judged_in_every_use(use):
    check(["text"], use)


@pytest.mark.parametrize("use", [use for use in USES if use not in FORBIDDEN])
def test_elsewhere_and_for_medical_or_safety_reasons_everything_is_judged(use):
    check(["text", "audio", "image", "video", "speech", "face"], use)
    assert restricted(use) == () and reason(use) is None
