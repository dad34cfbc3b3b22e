"""The card that is read first: the label, how sure, and why not, where the service abstained."""

from __future__ import annotations

from collections.abc import Sequence

from ui.answers import Analysis, Notice, Sentiment
from ui.markup import list_of, percent, style, text
from ui.plots import gauge, tone

TITLES = {"negative": "Negative", "neutral": "Neutral", "positive": "Positive", "undecided": "Undecided"}
GIVEN = {"text": "the words", "speech": "the voice", "face": "the face"}


def verdict(answer: Analysis) -> str:
    """Label, valence, confidence, and one plain sentence."""
    sentiment = answer.sentiment
    kind = tone(sentiment)
    return f"""<article class="ms-card ms-verdict ms-{kind}" data-label="{kind}">
<div class="ms-verdict-words"><p class="ms-eyebrow">Verdict</p><h2>{TITLES[kind]}</h2>
<p class="ms-sentence">{text(sentence(answer))}</p>
{_confidence(sentiment)}</div>{gauge(sentiment)}</article>"""


def sentence(answer: Analysis) -> str:
    """The verdict, or why there is none, in one sentence."""
    sentiment = answer.sentiment
    if sentiment.abstained or sentiment.label is None:
        return _why_undecided(answer)
    basis = list_of([GIVEN[name] for name in answer.modalities.present()])
    return f"Judged by {basis}{_dissent(answer)}." if basis else "Judged by what was given."


def _dissent(answer: Analysis) -> str:
    """`; the voice leans negative`: who would have said something else than the verdict."""
    present = answer.modalities.present().items()
    others = [
        _side(name, part.sentiment)
        for name, part in present
        if part.sentiment.grounded and part.sentiment.leaning != answer.sentiment.label
    ]
    return f"; {list_of(others)}" if others else ""


def _side(name: str, sentiment: Sentiment) -> str:
    """`the words lean positive`."""
    return f"{GIVEN[name]} {'lean' if name == 'text' else 'leans'} {sentiment.leaning}"


def _why_undecided(answer: Analysis) -> str:
    sentiment = answer.sentiment
    if sentiment.reason == "no_evidence":
        return "There was nothing to go on."
    if sentiment.reason == "conflict":
        return f"What was given contradicts itself: {_sides(answer)}. A single verdict would hide that."
    return (
        f"It leans towards {sentiment.leaning}, but at {percent(sentiment.confidence)} that is too unsure to be said "
        "as a verdict."
    )


def _sides(answer: Analysis) -> str:
    """`the words lean positive, the face leans negative`."""
    said = [_side(name, part.sentiment) for name, part in answer.modalities.present().items()]
    return ", ".join(said) or "the parts disagree"


def _confidence(sentiment: Sentiment) -> str:
    if not sentiment.telling:
        return ""
    share = percent(sentiment.confidence)
    of = "" if sentiment.label else f" for {sentiment.leaning}"
    return (
        '<div class="ms-confidence"><span>Confidence</span>'
        f'<div class="ms-bar" {style(share=sentiment.confidence)}><i></i></div>'
        f"<b>{text(share + of)}</b></div>"
    )


def notices(warnings: Sequence[Notice]) -> str:
    """Warnings in the service's own plain words."""
    if not warnings:
        return ""
    items = "".join(f'<li data-code="{text(notice.code)}">{text(notice.detail)}</li>' for notice in warnings)
    return f'<ul class="ms-notices" aria-label="Worth knowing">{items}</ul>'
