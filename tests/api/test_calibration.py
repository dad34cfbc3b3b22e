"""What was measured of the models, as the API tells it, and sets that rest on it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from models.registry import default_model, load_calibration, load_registry
from service.api.application import Application
from service.api.calibration import FUSION, view
from service.domain.sentiment import NO_EVIDENCE, verdict
from service.pipelines import CoverageUnknown, Options
from service.pipelines.analyze import Inputs
from service.pipelines.sets import check_coverage, set_of
from service.runners import ModelInfo
from service.runners.profile import Profile
from tests.profiles_made import PROFILE, made

HEADS = ("text-minilm", "speech-whisper", "face-emotion")
CHOICES = {"text+speech", "text+face", "speech+face", "text+speech+face"}


class Served:
    """Models as far as their names go."""

    profile: Profile | None = None

    def __init__(self, **identifiers: str) -> None:
        entries = {entry.modality: entry.identifier for entry in load_registry().values() if entry.modality}
        self.info = {name: ModelInfo(identifiers.get(name, one)) for name, one in entries.items()}


@pytest.mark.parametrize("name", [*HEADS, FUSION])
def test_every_record_was_measured_with_the_weights_that_are_shipped(name: str) -> None:
    shown = view(name, load_calibration(name) or {})
    assert shown.current
    assert set(shown.measured) == (CHOICES if name == FUSION else {load_registry()[name].modality})


@pytest.mark.parametrize("name", [*HEADS, FUSION])
def test_bins_and_curves_add_up(name: str) -> None:
    for measured in view(name, load_calibration(name) or {}).measured.values():
        rows = sum(one["rows"] for one in measured.bins)
        gap = sum(one["rows"] * abs(one["accuracy"] - one["confidence"]) for one in measured.bins) / rows
        assert rows == measured.rows
        assert gap == pytest.approx(measured.ece, abs=0.001)
        assert measured.risk_coverage[-1] == {"coverage": 1.0, "accuracy": measured.accuracy}


def test_a_card_says_what_the_profile_in_use_does_to_its_model() -> None:
    entry = default_model("text-sentiment")
    shown = view(entry.name, load_calibration(entry.name) or {}, PROFILE).profile
    assert shown is not None
    assert (shown.profile, shown.data, shown.temperatures) == ("support-chats@3", "chats.csv", {"text": 1.6})
    assert shown.judged["text"].after.ece < shown.judged["text"].before.ece


def test_a_card_of_a_model_that_the_profile_leaves_alone_says_nothing_of_it() -> None:
    name = default_model("face-emotion").name
    assert view(name, load_calibration(name) or {}, PROFILE).profile is None
    assert view(name, load_calibration(name) or {}).profile is None


def test_the_fused_card_says_what_was_judged_fused() -> None:
    both = made(judged={**PROFILE.judged, "text+face": PROFILE.judged["text"]})
    shown = view(FUSION, load_calibration(FUSION) or {}, both).profile
    assert shown is not None
    assert (set(shown.judged), shown.temperatures) == ({"text+face"}, {"text": 1.6})


async def test_models_and_cards_name_the_profile_in_use(app: Application, client: httpx.AsyncClient) -> None:
    card = f"/v1/models/{default_model('text-sentiment').name}/calibration"
    assert [(await client.get(path)).json()["profile"] for path in ("/v1/models", card)] == [None, None]
    served = Served()
    served.profile = PROFILE
    app.state.backend.tools = SimpleNamespace(models=served)
    listed, shown = [(await client.get(path)).json()["profile"] for path in ("/v1/models", card)]
    assert (listed["name"], listed["version"], listed["min_confidence"]) == ("support-chats", 3, {"text": 0.52})
    assert listed["heads"]["text"]["weights_sha256"] == default_model("text-sentiment").sha256
    assert shown["profile"] == "support-chats@3"


def test_the_fused_verdict_is_calibrated_for_every_choice_of_modalities() -> None:
    assert all(one.ece <= 0.03 for one in view(FUSION, load_calibration(FUSION) or {}).measured.values())


def test_a_set_is_given_only_when_asked_for_and_holds_everything_without_evidence() -> None:
    said = verdict((0.2, 0.2, 0.6))
    assert set_of(said, {"text"}, Options(), Served()) is None
    assert set_of(NO_EVIDENCE, (), Options(coverage=0.9), Served()).labels == ("positive", "neutral", "negative")


def test_more_coverage_asks_for_more_labels() -> None:
    said = verdict((0.15, 0.25, 0.6))
    sizes = [len(set_of(said, {"text"}, Options(coverage=share), Served()).labels) for share in (0.8, 0.9, 0.99)]
    assert sizes == sorted(sizes)
    assert sizes[-1] == 3


def test_nobody_knows_the_coverage_of_a_model_that_was_never_measured() -> None:
    with pytest.raises(CoverageUnknown, match="hf:somebody/else"):
        check_coverage(Options(coverage=0.9), Served(text="hf:somebody/else"))
    check_coverage(Options(), Served(text="hf:somebody/else"))
    check_coverage(Options(coverage=0.9), Served(text="hf:somebody/else"), Inputs(image=Path("face.jpg")).modalities)
