"""What few need but some want: the transcript, models and timings, the JSON itself."""

from __future__ import annotations

import json

from ui.answers import Analysis, Transcript
from ui.markup import clock, percent, text


def transcript(said: Transcript | None) -> str:
    """What was said, by segments that play when clicked."""
    if said is None or not said.text:
        return ""
    rows = "".join(
        f'<li><button type="button" class="ms-seek" data-seek="{segment.start:.3f}">'
        f"{text(clock(segment.start))}</button>"
        f"<span>{text(segment.text)}</span></li>"
        for segment in said.segments
    )
    body = f'<ul class="ms-transcript">{rows}</ul>' if rows else f"<p>{text(said.text)}</p>"
    sure = f"{percent(said.confidence)} sure of the words · {said.language}"
    return _folded("Transcript", f'{body}<p class="ms-small">{text(sure)}</p>')


def models_and_timings(answer: Analysis) -> str:
    """Which models answered, what was read, and how long each step took."""
    total = answer.timings.get("total")
    steps = "".join(
        _fact(name, f"{1000 * seconds:.0f} ms") for name, seconds in answer.timings.items() if name != "total"
    )
    took = _fact("in all", f"{1000 * total:.0f} ms") if total is not None else ""
    models = "".join(_fact(name, model) for name, model in answer.models.items())
    body = f"<dl>{models}</dl><dl>{_media(answer)}</dl><dl>{steps}{took}</dl>"
    return _folded("Models and timings", f'<div class="ms-facts">{body}</div>')


def raw_json(answer: Analysis) -> str:
    """The answer as the service gave it, to copy or save."""
    body = json.dumps(answer.raw, ensure_ascii=False, indent=2)
    buttons = (
        '<button type="button" class="ms-small-button" data-copy>Copy</button>'
        f'<button type="button" class="ms-small-button" data-save="analysis-{text(answer.id)}.json">Download</button>'
    )
    return _folded(
        "JSON", f'<div class="ms-buttons">{buttons}</div><pre class="ms-json" tabindex="0">{text(body)}</pre>'
    )


def _media(answer: Analysis) -> str:
    media = answer.media
    if media is None:
        return ""
    facts = [
        ("length", clock(media.seconds)) if media.seconds is not None else None,
        ("size", f"{media.width} \u00d7 {media.height} px") if media.width and media.height else None,
        ("frames read", str(media.frames_read)) if media.frames_read is not None else None,
    ]
    return "".join(_fact(*fact) for fact in facts if fact)


def _fact(name: str, value: str) -> str:
    return f"<div><dt>{text(name)}</dt><dd>{text(value)}</dd></div>"


def _folded(title: str, body: str) -> str:
    return f'<details class="ms-card"><summary>{text(title)}</summary>{body}</details>'
