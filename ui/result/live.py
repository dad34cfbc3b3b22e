"""What a live session shows while it runs: the verdict over the last seconds, faces, the last minute, what was said."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import replace

from ui.answers import Face, TimelinePoint, TranscriptSegment
from ui.client.stream import StreamResult, StreamWarning
from ui.live import Seen
from ui.markup import percent, style, text
from ui.plots import gauge, timeline, tone
from ui.result.evidence import NAMES, chip
from ui.result.faces import face_box, face_row
from ui.result.verdict import TITLES

WAITING = """<section class="ms-result ms-blank"><p>Turn on the camera, the microphone, or both. The verdict over the
last seconds will stand here as you go, and the whole when you stop.</p></section>"""

OPENING = """<section class="ms-result ms-working"><p>Connecting to the service\u2026</p>
<div class="ms-track" aria-hidden="true"><i></i></div></section>"""


def live(seen: Seen) -> str:
    """The page's live part; the summary and errors are rendered as everywhere."""
    if seen.state == "waiting":
        return WAITING
    if seen.result is None:
        return OPENING
    cards = (
        _verdict(seen.result),
        _warning(seen.warning),
        _measures(seen),
        _over_time(list(seen.points)),
        _picture(seen),
        _words(seen.words),
    )
    return f'<section class="ms-result ms-live" aria-label="Live">{"".join(cards)}</section>'


def _verdict(result: StreamResult) -> str:
    """As the card of a whole answer, without being read aloud at every change."""
    sentiment = result.sentiment
    kind = tone(sentiment)
    said = _because(result) if sentiment.grounded else "Nothing to go on."
    return f"""<article class="ms-card ms-verdict ms-{kind}" data-label="{kind}">
<div class="ms-verdict-words"><p class="ms-eyebrow">The last seconds</p><h2>{TITLES[kind]}</h2>
<p class="ms-sentence">{said}</p></div>{gauge(sentiment)}</article>"""


def _because(result: StreamResult) -> str:
    shares = sorted(result.contributions.items(), key=lambda item: -item[1])
    parts = [f"{text(NAMES.get(name, name))} {chip(result.modalities.get(name))}" for name, _ in shares]
    why = {"conflict": "They contradict each other.", "low_confidence": "Too unsure to be said."}
    reason = f" {why[result.sentiment.reason]}" if result.sentiment.reason in why else ""
    return f'<span class="ms-live-parts">{"".join(f"<span>{part}</span>" for part in parts)}</span>{reason}'


def _measures(seen: Seen) -> str:
    """How far behind it is, and what it left out: small, but always there."""
    facts = [("Latency", f"{1000 * seen.latency:.0f} ms") if seen.latency is not None else None]
    facts += [("Results", str(seen.result.sequence)) if seen.result else None]
    facts += [("Pictures dropped", str(seen.dropped))]
    items = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in filter(None, facts))
    return f'<dl class="ms-measures" aria-label="Measures">{items}</dl>'


def _picture(seen: Seen) -> str:
    """The last picture that was looked at, with its faces."""
    result = seen.faces
    if result is None or seen.picture is None:
        return ""
    size = jpeg_size(seen.picture)
    if size is None:
        return ""
    width, height = size
    boxes = "".join(face_box(face, width, height) for face in result.faces)
    source = base64.b64encode(seen.picture).decode()
    frame = style(ratio=f"{width}/{height}", aspect=width / height)
    rows = "".join(face_row(_still(face), 0.0) for face in result.faces)
    listed = f'<ul class="ms-faces">{rows}</ul>' if rows else '<p class="ms-small">No face in this picture.</p>'
    return (
        f'<article class="ms-card"><h3>What was seen</h3><div class="ms-picture" {frame}>'
        f'<img src="data:image/jpeg;base64,{source}" alt="The last picture; faces marked: {len(result.faces)}">{boxes}'
        f"</div>{listed}</article>"
    )


def _still(face: Face) -> Face:
    """As on a picture: when it was seen is now."""
    return replace(face, start=None, end=None)


def _over_time(points: Sequence[TimelinePoint]) -> str:
    """The last minute; it begins at 0 once more than that has passed."""
    if not points:
        return ""
    first = points[0].start
    moved = [replace(point, start=point.start - first, end=point.end - first) for point in points]
    since = "since the start" if first < 1 else f"the last {moved[-1].end:.0f} seconds"
    return (
        f'<article class="ms-card"><h3>Over time <small>{since}</small></h3>'
        f"{timeline(moved, max(moved[-1].end, 10.0))}</article>"
    )


def _words(words: Sequence[TranscriptSegment]) -> str:
    if not words:
        return ""
    rows = "".join(
        f'<li><span class="ms-small">{text(percent(segment.confidence))}</span><span>{text(segment.text)}</span></li>'
        for segment in words
    )
    return f'<article class="ms-card"><h3>What was said</h3><ul class="ms-transcript">{rows}</ul></article>'


def _warning(warning: StreamWarning | None) -> str:
    if warning is None:
        return ""
    return (
        f'<ul class="ms-notices" aria-label="Worth knowing"><li data-code="{text(warning.code)}">'
        f"{text(warning.detail)}</li></ul>"
    )


def jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Width and height by the frame header (ITU-T T.81, B.2.2); None if there is none."""
    at = 2
    while at + 9 < len(data) and data[:2] == b"\xff\xd8" and data[at] == 0xFF:
        marker = data[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = int.from_bytes(data[at + 5 : at + 7], "big"), int.from_bytes(data[at + 7 : at + 9], "big")
            return (width, height) if width and height else None
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None
