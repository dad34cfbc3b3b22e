"""A recalibration profile in the service: what it changes, and when it is refused."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from models.evaluation.profiles import write_profile
from models.registry import default_model
from service.domain.sentiment import Prediction, softmax, tempered, verdict
from service.pipelines import CoverageUnknown, Options
from service.pipelines.sets import check_coverage, set_of
from service.runners import ModelInfo
from service.runners.connect import connect
from service.runners.profile import WrongProfile, chosen_profile
from service.settings import Settings
from tests.profiles_made import BOUNDS, HEAD, PROFILE, made

SERVED = {
    name: ModelInfo(default_model(task).identifier)
    for name, task in (("text", "text-sentiment"), ("speech", "speech-emotion"), ("face", "face-emotion"))
}


class Recalibrated:
    """Models as far as their names and a profile go."""

    info = SERVED
    profile = PROFILE


def test_tempering_probabilities_is_dividing_their_logits() -> None:
    logits = (1.3, -0.4, 2.2)
    shipped = softmax(logits, 1.2)
    assert tempered((shipped[0], shipped[1], shipped[2]), 1.6) == pytest.approx(softmax(logits, 1.2 * 1.6))
    assert tempered((0.0, 0.0, 1.0), 2.0)[0] == pytest.approx(math.sqrt(1e-9), rel=0.01)


def test_only_the_sentiments_of_the_named_modality_are_recalibrated() -> None:
    said = Prediction((0.1, 0.1, 0.8), {"happy": 1.0}, presence=0.7)
    assert PROFILE.recalibrated("face", said) is said
    changed = PROFILE.recalibrated("text", said)
    assert replace(changed, probabilities=said.probabilities) == said
    assert changed.probabilities == pytest.approx(tempered(said.probabilities, HEAD.temperature))


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"weights_sha256": "1" * 64}, r"support-chats@3 belongs to .* \(weights 111111111111, .*serves text"),
        ({"shipped_temperature": 9.5}, r"temperature 9\.5\), but .*: make it again with `make evaluate`"),
    ],
)
def test_a_profile_of_other_weights_is_refused_at_start(tmp_path: Path, change: dict, fault: str) -> None:
    path = tmp_path / "profile.toml"
    write_profile(path, made(heads={"text": replace(HEAD, **change)}))
    with pytest.raises(WrongProfile, match=fault) as raised:
        connect(Settings(calibration_profile=path))
    assert "\n" not in str(raised.value)


def test_a_profile_is_refused_for_a_hub_model_in_the_place_of_its_own(tmp_path: Path) -> None:
    write_profile(tmp_path / "profile.toml", PROFILE)
    hub = {**SERVED, "text": ModelInfo("hf:somebody/else")}
    with pytest.raises(WrongProfile, match="but hf:somebody/else serves text"):
        chosen_profile(tmp_path / "profile.toml", hub)
    assert chosen_profile(tmp_path / "profile.toml", SERVED) == PROFILE
    assert chosen_profile(None, hub) is None


def test_prediction_sets_take_the_bounds_of_the_profile() -> None:
    found = set_of(verdict((0.03, 0.3, 0.67)), {"text"}, Options(coverage=0.9), Recalibrated())  # type: ignore[arg-type]
    assert BOUNDS["0.90"] == 0.05
    assert found is not None
    assert found.labels == ("positive", "neutral")


def test_coverage_is_not_promised_where_the_profile_changed_what_was_measured() -> None:
    check_coverage(Options(coverage=0.9), Recalibrated(), ("text",))  # type: ignore[arg-type]
    check_coverage(Options(coverage=0.9), Recalibrated(), ("speech", "face"))  # type: ignore[arg-type]
    with pytest.raises(CoverageUnknown, match="the verdict over text and face with the profile support-chats@3"):
        check_coverage(Options(coverage=0.9), Recalibrated(), ("text", "face"))  # type: ignore[arg-type]
