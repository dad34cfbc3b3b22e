"""An `Analysis` as one piece of HTML that reads at a glance: the verdict first, then what it rests on."""

from __future__ import annotations

from ui.answers import Analysis
from ui.result.details import models_and_timings, raw_json, transcript
from ui.result.evidence import emotions, modalities, probabilities
from ui.result.faces import faces
from ui.result.over_time import over_time
from ui.result.reasons import reasons
from ui.result.states import CALLED_OFF, EMPTY, advancing, failed, working
from ui.result.verdict import notices, verdict
from ui.result.words import words

__all__ = ["CALLED_OFF", "EMPTY", "advancing", "failed", "render", "working"]


def render(answer: Analysis, picture_url: str | None = None) -> str:
    """The whole result. `picture_url` is where the browser finds the analysed picture, to draw faces on it."""
    cards = (
        verdict(answer),
        notices(answer.warnings),
        over_time(answer),
        faces(answer, picture_url),
        f'<div class="ms-pair">{probabilities(answer)}{emotions(answer.emotions)}</div>',
        words(answer),
        reasons(answer),
        modalities(answer),
        transcript(answer.transcript),
        models_and_timings(answer),
        raw_json(answer),
    )
    return f'<section class="ms-result" aria-label="Result">{"".join(cards)}</section>'
