"""What the verdict rests on: the parts that move it furthest, each with where it is and the verdict without it."""

from __future__ import annotations

from collections.abc import Sequence

from ui.answers import Analysis, Reason
from ui.markup import clock, signed, style, text
from ui.result.evidence import chip

SHOWN = 8

FAINTEST = 0.005
"""Reasons that move the valence by less read as 0.00."""

KEY = """<p class="ms-small">What was said then moves the verdict towards
<span class="ms-tow ms-positive">positive</span> or towards <span class="ms-tow ms-negative">negative</span>.</p>"""

SINGLE = {"text": "Words", "speech": "Voice", "face": "Face"}
LANES = {"sentence": "Words", "segment": "Voice"}


def reasons(answer: Analysis) -> str:
    """The strongest reasons, but for single words, which stand coloured in their text; nothing where one is all."""
    found = answer.explanation.reasons if answer.explanation else ()
    parts = [reason for reason in found if reason.kind != "word" and abs(reason.weight) >= FAINTEST]
    if len(parts) < 2:
        return ""
    strongest = max(abs(reason.weight) for reason in parts)
    rows = "".join(_row(reason, strongest) for reason in parts[:SHOWN])
    return (
        f'<article class="ms-card"><h3>What moves the verdict</h3><ul class="ms-reasons">{rows}</ul>'
        '<p class="ms-small">How far each part moves the verdict, on a scale from \u22121, negative, to +1, positive, '
        "and the verdict without it.</p></article>"
    )


def lanes(answer: Analysis, seconds: float) -> str:
    """Below a timeline: stretches of words and voice where they are, coloured by how they move the verdict."""
    found = answer.explanation.reasons if answer.explanation else ()
    rows = "".join(_lane(name, [one for one in found if one.kind == kind], seconds) for kind, name in LANES.items())
    return f'<div class="ms-reason-lanes">{rows}{KEY}</div>' if rows else ""


def _row(reason: Reason, strongest: float) -> str:
    kind = _tone(reason)
    share = style(share=abs(reason.weight) / strongest)
    return (
        f'<li class="ms-reason ms-{kind}" data-kind="{text(reason.kind)}"><b>{SINGLE[reason.modality]}</b>'
        f'<span class="ms-what">{_what(reason)}</span>'
        f'<div class="ms-bar" {share}><i></i></div><b class="ms-share">{text(signed(reason.weight))}</b>'
        f'<span class="ms-small">without: {chip(reason.without)}</span></li>'
    )


def _what(reason: Reason) -> str:
    """What it is and where: a moment can be clicked."""
    when = _moment(reason.seconds) if reason.seconds else ""
    if reason.text is not None:
        return f'{when}<q title="{text(reason.text)}">{text(reason.text)}</q>'
    if reason.track is not None:
        return f'<span class="ms-number">{reason.track}</span>{when}'
    return when


def _moment(seconds: tuple[float, float]) -> str:
    start, end = seconds
    return (
        f'<button type="button" class="ms-seek" data-seek="{start:.3f}">{text(clock(start))} to '
        f"{text(clock(end))}</button>"
    )


def _lane(name: str, found: Sequence[Reason], seconds: float) -> str:
    timed = [(reason, reason.seconds) for reason in found if reason.seconds]
    if not timed or seconds <= 0:
        return ""
    strongest = max([abs(reason.weight) for reason, _ in timed] + [FAINTEST])
    bars = "".join(_bar(reason, start, end, seconds, strongest) for reason, (start, end) in timed)
    return f'<div class="ms-reason-lane"><span>{name}</span><div>{bars}</div></div>'


def _bar(reason: Reason, start: float, end: float, seconds: float, strongest: float) -> str:
    place = style(
        left=f"{100 * start / seconds:.2f}%",
        width=f"{100 * (end - start) / seconds:.2f}%",
        strength=abs(reason.weight) / strongest,
    )
    said = f"{clock(start)} to {clock(end)}: moves the verdict by {signed(reason.weight)}"
    return f'<i class="ms-{_tone(reason)}" {place} title="{text(said)}"></i>'


def _tone(reason: Reason) -> str:
    return "positive" if reason.weight > 0 else "negative"
