"""Faces boxed on the picture, or listed with when they are seen in a video.

The boxes are an overlay in the picture's own pixels: the browser decodes and turns the picture, nothing here does.
"""

from __future__ import annotations

from collections.abc import Sequence

from ui.answers import Analysis, Face, Heatmap
from ui.markup import clock, percent, style, text
from ui.plots import tone
from ui.result import heat
from ui.result.evidence import chip


def faces(answer: Analysis, picture_url: str | None = None) -> str:
    """The picture with its faces (if there is one), and a line for each face; nothing without faces."""
    part = answer.modalities.face
    if part is None or not part.faces:
        return ""
    maps = answer.explanation.heatmaps if answer.explanation else ()
    picture = _picture(answer, part.faces, maps, picture_url)
    key = heat.key(switch=bool(picture)) if maps else ""
    seconds = answer.media.seconds if answer.media and answer.media.seconds else 0.0
    rows = "".join(face_row(face, seconds) for face in part.faces)
    title = "Face" if len(part.faces) == 1 else f"{len(part.faces)} faces"
    shown = picture or heat.sketches(maps)
    return f'<article class="ms-card"><h3>{title}</h3>{shown}{key}<ul class="ms-faces">{rows}</ul></article>'


def _picture(answer: Analysis, found: Sequence[Face], maps: Sequence[Heatmap], url: str | None) -> str:
    media = answer.media
    if url is None or media is None or not media.width or not media.height:
        return ""
    boxes = "".join(face_box(face, media.width, media.height) for face in found)
    frame = style(ratio=f"{media.width}/{media.height}", aspect=media.width / media.height)
    return (
        f'<div class="ms-picture" {frame}><img src="{text(url)}" alt="The picture; faces marked: {len(found)}">'
        f"{heat.overlays(maps, media.width, media.height)}{boxes}</div>"
    )


def face_box(face: Face, width: float, height: float) -> str:
    x, y, w, h = face.box
    left, top = 100 * x / width, 100 * y / height
    kind = tone(face.sentiment) if face.sentiment else "undecided"
    place = style(
        left=f"{left:.2f}%", top=f"{top:.2f}%", width=f"{100 * w / width:.2f}%", height=f"{100 * h / height:.2f}%"
    )
    return f'<div class="ms-box ms-{kind}" {place}><span>{face.track}</span></div>'


def face_row(face: Face, seconds: float) -> str:
    emotion = max(face.emotions, key=face.emotions.__getitem__, default="")
    said = f"{emotion} {percent(face.emotions[emotion])}" if emotion else ""
    kind = tone(face.sentiment) if face.sentiment else "undecided"
    facts = [said, f"quality {percent(face.quality)}"]
    if face.start is not None and face.end is not None:
        facts.append(f"{clock(face.start)} to {clock(face.end)}")
    listed = text(" · ".join(fact for fact in facts if fact))
    return (
        f'<li class="ms-face"><span class="ms-number ms-{kind}">{face.track}</span>{chip(face.sentiment)}'
        f"<span>{listed}</span>{_when(face, seconds, kind)}</li>"
    )


def _when(face: Face, seconds: float, kind: str) -> str:
    """A small lane that shows when in a video the face is seen."""
    if face.start is None or face.end is None or seconds <= 0:
        return ""
    place = style(left=f"{100 * face.start / seconds:.1f}%", width=f"{100 * (face.end - face.start) / seconds:.1f}%")
    return f'<div class="ms-lane"><i class="ms-{kind}" {place}></i></div>'
