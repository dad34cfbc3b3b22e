"""The text itself, each word coloured by how far it moves the verdict, and what each sentence says."""

from __future__ import annotations

from collections.abc import Sequence

from ui.answers import Analysis, Aspect, Sentence, WordWeight
from ui.markup import signed, style, text
from ui.result.evidence import chip

WEAKEST_FULL_COLOUR = 0.25
"""A word that moves the valence by less is paler, even if it is the strongest of its text."""

KEY = """<p class="ms-small">The stronger a word is coloured, the further it moves the verdict: towards
<span class="ms-tow ms-positive">positive</span> or towards <span class="ms-tow ms-negative">negative</span>.</p>"""

FAINTEST_SHARE = 0.15
"""Words that move the valence by less than this share of the strongest stay uncoloured: they are noise to the eye."""


def words(answer: Analysis) -> str:
    """Coloured words, aspects and sentences; nothing if no text was given or heard."""
    part = answer.modalities.text
    if part is None or not part.text:
        return ""
    weights = answer.explanation.words if answer.explanation else ()
    origin = " <small>as heard</small>" if part.source == "transcript" else ""
    body = coloured(part.text, weights)
    key = KEY if "<mark" in body else ""
    return (
        f'<article class="ms-card"><h3>Words{origin}</h3>'
        f'<p class="ms-text" dir="auto">{body}</p>{key}'
        f"{_aspects(part.aspects)}{_sentences(part.sentences)}</article>"
    )


def coloured(whole: str, weights: Sequence[WordWeight]) -> str:
    """The text with its weighed spans marked. Spans that overlap an earlier one, or lie outside, are left out."""
    strongest = max([abs(word.weight) for word in weights] + [WEAKEST_FULL_COLOUR])
    pieces, cursor = [], 0
    for word in sorted(weights, key=lambda word: word.start):
        if word.start < cursor or not word.start < word.end <= len(whole):
            continue
        pieces += [text(whole[cursor : word.start]), _mark(whole[word.start : word.end], word.weight, strongest)]
        cursor = word.end
    return "".join([*pieces, text(whole[cursor:])])


def _mark(word: str, weight: float, strongest: float) -> str:
    if abs(weight) < FAINTEST_SHARE * strongest:
        return text(word)
    kind = "positive" if weight > 0 else "negative"
    strength = style(strength=abs(weight) / strongest)
    return f'<mark class="ms-{kind}" {strength} title="{text(signed(weight))}">{text(word)}</mark>'


def _aspects(aspects: Sequence[Aspect]) -> str:
    if not aspects:
        return ""
    rows = "".join(f"<li>{chip(aspect.sentiment)}<span>{text(aspect.term)}</span></li>" for aspect in aspects)
    return f'<h4>Asked about</h4><ul class="ms-sentences">{rows}</ul>'


def _sentences(sentences: Sequence[Sentence]) -> str:
    if len(sentences) < 2:
        return ""
    rows = "".join(f"<li>{chip(one.sentiment)}<span>{text(one.text)}</span></li>" for one in sentences)
    return f'<details><summary>Sentence by sentence</summary><ul class="ms-sentences">{rows}</ul></details>'
