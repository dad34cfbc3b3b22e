"""Draws the plots and writes the sections of the cards and of `models/SCORES.md` from the numbers that are stored.

python -m models.evaluation.illustrations   seconds; after a card was written anew, or to change a plot
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from models.evaluation import examined, plots, report, sections
from models.evaluation.examined import PLOTS, Examined
from models.evaluation.sections import Picture
from models.registry import FOLDER, load_calibration

CARDS = FOLDER / "cards"


def write(found: Mapping[str, Examined], folder: Path = CARDS) -> None:
    """Every plot, and every section in its page."""
    PLOTS.mkdir(exist_ok=True)
    for name, one in found.items():
        record = load_calibration(name) or {}
        for kind, picture in sections.pictures(name, one, record).items():
            keep(picture, draw(kind, one, record))
        put(folder / f"{name}.md", sections.of_card(name, one, record))
    fused = load_calibration("fusion") or {}
    keep(sections.fused_picture(fused), plots.fused(fused["subsets"]))
    put(report.PAGE, sections.of_scores(found, fused))


def draw(kind: str, one: Examined, record: Mapping[str, Any]) -> Figure:
    """The plot of this kind."""
    colour = plots.MODALITY[one.curves[0].modality]
    drawn = {
        "verdicts": lambda: plots.verdicts(one.confusions[0], record, colour),
        "emotions": lambda: plots.emotions(one.confusions[1:]),
        "robustness": lambda: plots.robustness(one.curves, colour),
        "groups": lambda: plots.groups(one.groups, record["macro_recall"], colour),
    }
    return drawn[kind]()


def keep(picture: Picture, figure: Figure) -> None:
    """The plot as a file that says what numbers it was drawn from."""
    (PLOTS / picture.file).write_bytes(plots.png(figure, examined.digest(picture.numbers)))


def put(page: Path, section: str) -> None:
    """The section into its page."""
    page.write_text(sections.with_section(page.read_text(), section))


if __name__ == "__main__":
    write(examined.read())
