"""Probabilities, emotions, and what each modality contributed, as bars."""

from __future__ import annotations

from collections.abc import Mapping

from ui.answers import LABELS, Analysis, FacePart, Modality, Sentiment, SpeechPart, TextPart
from ui.markup import percent, style, text
from ui.plots import tone

NAMES = {"text": "Words", "speech": "Voice", "face": "Faces"}
MOST_EMOTIONS = 6
FAINTEST_EMOTION = 0.01


def bar(name: str, share: float, kind: str) -> str:
    """A named horizontal bar with its share in words."""
    return (
        f'<li class="ms-row ms-{text(kind)}"><span class="ms-row-name">{text(name)}</span>'
        f'<div class="ms-bar" {style(share=share)}><i></i></div><b>{text(percent(share))}</b></li>'
    )


def probabilities(answer: Analysis) -> str:
    """The three calibrated probabilities, and the set of labels if one was asked for."""
    sentiment = answer.sentiment
    if not sentiment.grounded:
        return ""
    bars = "".join(bar(label, sentiment.probabilities.get(label, 0.0), label) for label in reversed(LABELS))
    title = "Sentiment, withheld" if sentiment.abstained else "Sentiment"
    return f'<article class="ms-card"><h3>{title}</h3><ul class="ms-bars">{bars}</ul>{_set(answer)}</article>'


def _set(answer: Analysis) -> str:
    """The labels that were asked for with a coverage."""
    found = answer.prediction_set
    if found is None:
        return ""
    said = " or ".join(found.labels)
    return f'<p class="ms-small">In {percent(found.coverage)} of such cases it is {text(said)}.</p>'


def emotions(found: Mapping[str, float]) -> str:
    """The strongest emotions, strongest first."""
    clear = [item for item in found.items() if item[1] >= FAINTEST_EMOTION]
    ranked = sorted(clear, key=lambda item: -item[1])[:MOST_EMOTIONS]
    if not ranked:
        return ""
    bars = "".join(bar(name, share, "emotion") for name, share in ranked)
    return f'<article class="ms-card"><h3>Emotions</h3><ul class="ms-bars">{bars}</ul></article>'


def chip(sentiment: Sentiment | None) -> str:
    """A verdict as a small coloured word."""
    if sentiment is None:
        return ""
    kind = tone(sentiment)
    said = kind if sentiment.grounded else "no evidence"
    return f'<span class="ms-chip ms-{kind}">{text(said)}</span>'


def modalities(answer: Analysis) -> str:
    """What each modality says, how much it weighed, and what the verdict would be without it."""
    present = answer.modalities.present()
    if len(present) < 2:
        return ""
    rows = "".join(_modality(name, part, answer) for name, part in present.items())
    return (
        f'<article class="ms-card"><h3>What each contributed</h3><ul class="ms-modalities">{rows}</ul>'
        f"<p class='ms-small'>{text(agreement(answer.fusion.conflict))}</p></article>"
    )


def agreement(conflict: float) -> str:
    """The divergence between modalities in words."""
    degree = "agree" if conflict < 0.1 else "differ a little" if conflict < 0.3 else "differ"
    return f"They {'contradict each other' if conflict >= 0.6 else degree}: conflict {conflict:.2f} of 1."


def _modality(name: Modality, part: TextPart | SpeechPart | FacePart, answer: Analysis) -> str:
    fusion = answer.fusion
    share = fusion.contributions.get(name, 0.0)
    facts = [f"input quality {percent(fusion.quality[name])}"] if name in fusion.quality else []
    if isinstance(part, SpeechPart):
        facts.append(f"{part.speech_seconds:.1f} s of speech")
    if isinstance(part, FacePart):
        facts.append(f"{len(part.faces)} face{'' if len(part.faces) == 1 else 's'}")
    without = fusion.without.get(name)
    listed = " · ".join(facts)
    left = f"<span>without: {chip(without)}</span>" if without else ""
    return (
        f'<li class="ms-modality ms-from-{name}"><div class="ms-modality-head"><b>{NAMES[name]}</b>'
        f"{chip(part.sentiment)}</div>"
        f'<div class="ms-bar" {style(share=share)}><i></i></div><b class="ms-share">{text(percent(share))}</b>'
        f'<p class="ms-small"><span>{text(listed)}</span>{left}</p></li>'
    )
