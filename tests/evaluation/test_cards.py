"""The cards, the page of scores, the registry and the README say the same numbers, and the plots are of them."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from PIL import Image

from models.evaluation import examined, report, sections
from models.evaluation.examined import PLOTS
from models.evaluation.sections import IN_CARDS, Picture, of_card, of_scores, with_section
from models.registry import FOLDER, load_calibration, load_registry, shipped

HEADS = ("text-minilm", "speech-whisper", "face-emotion")
LARGEST = 60_000
README = FOLDER.parent / "README.md"

HEADLINES = {
    "text-minilm": [("test_int8", name) for name in ("macro_recall", "accuracy", "ece", "brier")],
    "speech-whisper": [("ravdess_test", "uar"), ("ravdess_test", "ece"), ("nemo_test", "uar"), ("nemo_test", "ece")],
    "face-emotion": [("accuracy",), ("macro_f1",), ("ece_after",), ("sentiment_accuracy",)],
}
"""Scores of the registry that a card must give, to three digits."""


def record(name: str) -> dict[str, Any]:
    return dict(load_calibration(name) or {})


def card(name: str) -> str:
    return (FOLDER / "cards" / f"{name}.md").read_text()


def all_pictures() -> list[Picture]:
    found = [
        one
        for name, stored in examined.read().items()
        for one in sections.pictures(name, stored, record(name)).values()
    ]
    return [*found, sections.fused_picture(record("fusion"))]


@pytest.mark.parametrize("name", HEADS)
def test_a_card_says_what_was_measured_through_the_service(name: str) -> None:
    section = of_card(name, examined.read()[name], record(name))
    assert section in card(name), (
        "`make evaluate`; if only the card is new, `python -m models.evaluation.illustrations`"
    )


def test_the_page_of_scores_says_what_was_measured_of_damage_and_groups() -> None:
    assert of_scores(examined.read(), record("fusion")) in report.PAGE.read_text()


@pytest.mark.parametrize("name", HEADS)
def test_damage_and_groups_were_measured_with_the_weights_that_are_shipped(name: str) -> None:
    measured = examined.read()[name].about["weights_sha256"]
    assert measured
    assert measured.items() <= shipped().items()


@pytest.mark.parametrize("name", HEADS)
def test_what_is_taken_for_what_adds_up_to_the_accuracy_of_the_record(name: str) -> None:
    confusion = examined.read()[name].confusions[0]
    assert sum(map(sum, confusion.counts)) == record(name)["rows"]
    assert confusion.accuracy == pytest.approx(record(name)["accuracy"], abs=0.002)


def test_every_plot_is_small_and_of_the_numbers_that_are_stored() -> None:
    for picture in all_pictures():
        path = PLOTS / picture.file
        assert path.stat().st_size < LARGEST
        with Image.open(path) as image:
            assert image.info["numbers"] == examined.digest(picture.numbers), picture.file


def test_every_plot_is_shown_somewhere_with_words_for_those_who_cannot_see_it() -> None:
    pages = "".join(path.read_text() for path in (*(FOLDER / "cards").glob("*.md"), report.PAGE))
    shown = dict(re.findall(r"!\[([^\]]+)\]\((?:cards/)?plots/([^)]+)\)", pages))
    assert {path.name for path in PLOTS.glob("*.png")} == set(shown.values())
    assert all(len(alt) > 60 for alt in shown)


@pytest.mark.parametrize("name", HEADS)
def test_a_card_gives_the_scores_of_the_registry(name: str) -> None:
    written = card(name).partition(IN_CARDS)[0]
    for keys in HEADLINES[name]:
        score: Any = load_registry()[name].scores
        for key in keys:
            score = score[key]
        assert f"{score:.3f}" in written, keys


def test_the_readme_gives_the_fused_scores_of_the_page() -> None:
    (paragraph,) = re.findall(r"\*\*Fused\*\*.*?\n\n", README.read_text(), re.DOTALL)
    for name, subset in record("fusion")["subsets"].items():
        assert f"{subset['accuracy']:.3f}" in paragraph, name
        assert f"{subset['ece']:.3f}" in paragraph, name


def test_a_section_takes_the_place_of_its_like_and_leaves_the_rest() -> None:
    page = "# A model\n\n## Limits\nFew.\n"
    once = with_section(page, "## Measured\nOld.\n")
    assert once == page + "\n## Measured\nOld.\n"
    more = once + "\n## Run it again\nSo.\n"
    assert with_section(more, "## Measured\nNew.\n") == page + "\n## Measured\nNew.\n\n## Run it again\nSo.\n"
    assert with_section(with_section(page, "## Measured\nNew.\n"), "## Measured\nNew.\n") == with_section(
        page, "## Measured\nNew.\n"
    )


def test_plots_can_be_drawn_from_what_is_stored() -> None:
    pytest.importorskip("matplotlib", reason="needs the extra [train]")
    from models.evaluation import illustrations, plots

    for name, stored in examined.read().items():
        for kind, picture in sections.pictures(name, stored, record(name)).items():
            drawn = plots.png(illustrations.draw(kind, stored, record(name)), examined.digest(picture.numbers))
            with Image.open(io.BytesIO(drawn)) as new, Image.open(PLOTS / picture.file) as kept:
                assert (new.size, new.info["numbers"]) == (kept.size, kept.info["numbers"])
