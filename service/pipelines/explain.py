"""What a verdict rests on: words, sentences, stretches of voice and faces left out in turn, faces covered in places.

Leaving out is exact: it is the verdict by the same rule over what is left. Nothing here runs unless it is asked for.
"""

from __future__ import annotations

from base64 import b64encode
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from service.domain.explanation import Explanation, Heatmap, Piece, Reason, WordWeight, reasons, strongest
from service.domain.fusion import FusionRule
from service.domain.labels import SENTIMENTS
from service.domain.sentiment import Prediction
from service.features.occlusion import PATCHES, FaceView, box_of, cell_weights, covered, draw, full_colour
from service.features.text import Span, sentences, words
from service.pipelines.found import Found
from service.pipelines.text import without_each
from service.runners import Models

MOST_PIECES = 256
"""So many words, the first ones, and so many sentences, the longest, are left out at the most."""

MOST_HEATMAPS = 4
"""So many faces are covered in places, which asks the face model 24 times each."""


async def explained(found: Found, rule: FusionRule, models: Models) -> Found:
    """The same with an explanation. Raises what `Models.text` and `Models.face` raise."""
    weights, pieces = await _text(found, models)
    ranked = reasons((*found.pieces, *pieces), found.opinions, rule)
    heatmaps = await _heatmaps(found, ranked, models)
    return replace(found, explanation=Explanation(weights, heatmaps, strongest(ranked)))


async def _text(found: Found, models: Models) -> tuple[tuple[WordWeight, ...], list[Piece]]:
    """Each word with its weight, and words and sentences as pieces; nothing for a text that does not count."""
    opinion = found.opinions.get("text")
    if found.text is None or opinion is None:
        return (), []
    text, stretches = found.text.text, _stretches(found)
    single = words(text)[:MOST_PIECES]
    longest = sorted((one.span for one in stretches), key=lambda span: span.start - span.end)[:MOST_PIECES]
    spans = [*single, *longest]
    whole, without = await without_each(text, spans, models)
    pieces = [
        Piece(
            kind="word" if place < len(single) else "sentence",
            modality="text",
            without=replace(opinion, prediction=left) if left else None,
            text=text[span.start : span.end],
            span=(span.start, span.end),
            seconds=_seconds(span, stretches),
        )
        for place, (span, left) in enumerate(zip(spans, without, strict=True))
    ]
    weights = tuple(
        WordWeight(span.start, span.end, text[span.start : span.end], _valence(whole) - _valence(left))
        for span, left in zip(single, without, strict=False)
    )
    return weights, pieces


@dataclass(frozen=True)
class Stretch:
    """A sentence, or what was said in one breath and when."""

    span: Span
    seconds: tuple[float, float] | None = None


def _stretches(found: Found) -> list[Stretch]:
    """The sentences of a text; of a transcript its segments. In their order."""
    assert found.text is not None  # whoever asks has looked
    if found.text.source == "given" or found.transcript is None:
        return [Stretch(span) for span in sentences(found.text.text)]
    stretches, start = [], 0
    for segment in found.transcript.segments:
        end = start + len(segment.text.strip())
        stretches.append(Stretch(Span(start, end), (segment.start, segment.end)))
        start = end + 1  # the space between them
    return stretches


def _seconds(span: Span, stretches: Sequence[Stretch]) -> tuple[float, float] | None:
    """When the stretch was said in which a span begins."""
    place = bisect_right(stretches, span.start, key=lambda stretch: stretch.span.start) - 1
    return stretches[place].seconds if place >= 0 else None


async def _heatmaps(found: Found, ranked: Sequence[Reason], models: Models) -> tuple[Heatmap, ...]:
    """Maps of the faces that move the verdict furthest, all of them in one batch."""
    tracks = [reason.track for reason in ranked if reason.track is not None and reason.track in found.views]
    chosen = [(track, found.views[track]) for track in tracks[:MOST_HEATMAPS]]
    crops = [crop for _, view in chosen for crop in covered(view.crop)]
    said = await models.face(crops) if crops else []
    return tuple(
        _heatmap(track, view, said[place * PATCHES : (place + 1) * PATCHES])
        for place, (track, view) in enumerate(chosen)
    )


def _heatmap(track: int, view: FaceView, said: Sequence[Prediction]) -> Heatmap:
    before = view.said.probabilities
    label = before.index(max(before))
    weights = cell_weights(before[label] - np.array([one.probabilities[label] for one in said]))
    return Heatmap(
        track=track,
        box=box_of(view),
        seconds=view.seconds,
        label=SENTIMENTS[label],
        weights=tuple(tuple(round(weight, 4) for weight in row) for row in weights.tolist()),
        strongest=full_colour(weights),
        png_base64=b64encode(draw(weights, view)).decode(),
    )


def _valence(prediction: Prediction | None) -> float:
    return prediction.probabilities[2] - prediction.probabilities[0] if prediction else 0.0
