"""`make evaluate DATA=labels.csv`, from a file of labels to a profile that the service takes."""

from __future__ import annotations

import csv
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import pytest_asyncio

from models.evaluation.evidence import evidence_of
from models.evaluation.labelled import LabelledRow
from models.evaluation.own_labels import TooFewRows, main, measure, parser, run
from models.registry import default_model
from models.training.data import DataMissing, read_table
from service.domain.fusion import FusionRule
from service.domain.labels import MODALITIES, Modality
from service.domain.sets import least_probability
from service.jobs.toolbox import Toolbox
from service.pipelines import Options
from service.pipelines.analyze import Inputs, analyze_texts, findings
from service.pipelines.found import Stopwatch
from service.pipelines.media import Tools
from service.runners.profile import HeadProfile, WrongProfile, load_profile
from service.settings import Settings
from tests.profiles_made import PROFILE, TEXT, made

in_module = pytest.mark.asyncio(loop_scope="module")

ROWS = 150
ASKED_SHARE = 0.8
TEMPERATURES: Mapping[Modality, float] = {"text": 1.7, "speech": 0.6, "face": 2.3}
LONG_TEXT = "The staff were rude and the room was cold. Still, the view made up for it. " * 20


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tools() -> AsyncIterator[Tools]:
    """What pipelines work with."""
    toolbox = Toolbox(Settings())
    async with toolbox.open() as opened:
        yield opened
    await toolbox.close()


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tweets with their labels as somebody might have written them down."""
    try:
        rows = read_table("text/tweet_sentiment", "val")[:ROWS]
    except DataMissing as missing:
        pytest.skip(str(missing))
    path = tmp_path_factory.mktemp("labels") / "tweets.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("text", "label"))
        writer.writerows((row["text"], row["label"]) for row in rows)
    return path


@in_module
@pytest.mark.parametrize(
    "given",
    [
        {"text": "Well, that was a waste of an evening."},
        {"text": LONG_TEXT},
        {"audio": "audio/ravdess_happy_strong_female.ogg"},
        {"image": "image/three_smiling.jpg"},
        {"text": "What a lovely day!", "image": "image/portrait_stern.jpg"},
        {"video": "video/portrait_with_speech.mp4"},
    ],
    ids="+".join,
)
async def test_a_temperature_that_is_tried_gives_what_the_service_would_with_it(
    tools: Tools, samples: Path, given: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {kind: samples / file for kind, file in given.items() if kind != "text"}
    inputs = Inputs(text=given.get("text"), **files)
    (row,) = await evidence_of([LabelledRow(1, 2, inputs, 0)], Options(), tools, pytest.fail)
    assert row.evidence
    shipped = (await findings(inputs, Options(), tools, Stopwatch())).opinions
    heads = {name: HeadProfile("", "", 1.0, TEMPERATURES[name], 100) for name in MODALITIES}
    monkeypatch.setattr(tools.models, "profile", made(heads=heads))
    recalibrated = (await findings(inputs, Options(), tools, Stopwatch())).opinions
    for temperatures, served in (({}, shipped), (TEMPERATURES, recalibrated)):
        tried = row.opinions(temperatures)
        assert tried.keys() == served.keys()
        for name, opinion in served.items():
            assert tried[name].prediction.probabilities == pytest.approx(opinion.prediction.probabilities, abs=1e-6)
            assert (tried[name].quality, tried[name].reliability) == (opinion.quality, opinion.reliability)


@in_module
async def test_a_file_that_cannot_be_read_is_told_and_left_out(tools: Tools, samples: Path) -> None:
    rows = [
        LabelledRow(1, 2, Inputs(image=samples / "image" / "not_an_image.jpg"), 0),
        LabelledRow(2, 3, Inputs(image=samples / "image" / "no_face_coffee.jpg"), 1),
    ]
    refused: list[str] = []
    (left,) = await evidence_of(rows, Options(), tools, refused.append)
    assert (left.label, left.evidence) == (1, {})
    assert len(refused) == 1
    assert refused[0].startswith("Row 1 (line 2) is left out: ")
    asked = SimpleNamespace(rows=[left], rule=FusionRule(), models={}, profile=None)
    with pytest.raises(TooFewRows, match=r"At least 100 rows .* here text in 0, speech in 0, face in 0 do"):
        measure(asked, {}, None)  # type: ignore[arg-type]


def test_labels_become_a_card_and_a_profile_that_answers_carry(
    labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card, path = tmp_path / "card.json", tmp_path / "tweets.toml"
    given = [labels, "--profile", path, "--json", card, "--answered", ASKED_SHARE]
    run(parser().parse_args([str(one) for one in given]), Settings(transcript_model="off"))
    printed, record, profile = capsys.readouterr().out, json.loads(card.read_text()), load_profile(path)
    assert f"Calibration on tweets.csv\n\n{ROWS} rows" in printed
    assert f"tweets@1 is written: SENTIMENT_CALIBRATION_PROFILE={path}" in printed
    assert record["data_sha256"] == profile.data_sha256
    assert record["measured"]["text"]["before"]["rows"] == ROWS
    assert profile.heads["text"].weights_sha256 == default_model("text-sentiment").sha256
    assert profile.heads["text"].temperature == record["temperatures"]["text"]
    assert profile.judged["text"].answered == pytest.approx(ASKED_SHARE, abs=0.08)
    assert profile.judged["text"].before.accuracy == profile.judged["text"].after.accuracy


@in_module
async def test_answers_with_a_profile_carry_its_name_and_keep_to_it(
    tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ["I love it.", "It is a table.", "The worst film in years.", "Not what I hoped for, but fine."]
    plain = await analyze_texts(texts, Options(), tools)
    assert all("calibration" not in one.models for one in plain)
    sure = max(one.sentiment.confidence for one in plain)
    monkeypatch.setattr(tools.models, "profile", made(judged={"text": replace(TEXT, min_confidence=sure)}))
    with_it = await analyze_texts(texts, Options(coverage=0.9), tools)
    assert {one.models["calibration"] for one in with_it} == {PROFILE.identifier}
    assert all(one.sentiment.reason == "low_confidence" for one in with_it)
    bound = least_probability(PROFILE.judged["text"].least_probability, 0.9)
    for one in with_it:
        assert one.prediction_set is not None
        kept = {label for label, p in one.sentiment.probabilities.items() if p >= bound}
        assert kept <= set(one.prediction_set.labels)
    asked = await analyze_texts(texts, Options(min_confidence=0.0), tools)
    assert [one.sentiment.label for one in asked] == [
        max(one.sentiment.probabilities, key=one.sentiment.probabilities.__getitem__) for one in plain
    ]


def test_a_profile_is_not_made_on_top_of_another(tmp_path: Path) -> None:
    settings = Settings(calibration_profile=tmp_path / "served.toml")
    with pytest.raises(WrongProfile, match="unset SENTIMENT_CALIBRATION_PROFILE first"):
        run(parser().parse_args(["labels.csv", "--profile", "new.toml"]), settings)


def test_the_command_ends_with_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("text,label\nFine.,good\n")
    monkeypatch.setattr("sys.argv", ["own_labels", str(path)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == "Row 1 (line 2): its label, 'good', is none of negative, neutral, positive."
