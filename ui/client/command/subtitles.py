"""Subtitles: what was said, and how it was meant, at its moment. SubRip (.srt) and WebVTT (.vtt)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from ui.answers import LABELS, Analysis, Sentiment, TimelinePoint


@dataclass(frozen=True)
class Cue:
    """One subtitle: its words (none where nothing was transcribed), and the verdict over its time."""

    start: float
    end: float
    words: str
    verdict: str


def srt(analysis: Analysis) -> str:
    """As SubRip."""
    blocks = (
        f"{number}\n{_clock(cue.start, ',')} --> {_clock(cue.end, ',')}\n{_lines(cue)}\n"
        for number, cue in enumerate(cues(analysis), start=1)
    )
    return "\n".join(blocks)


def vtt(analysis: Analysis) -> str:
    """As WebVTT."""
    blocks = (
        f"{_clock(cue.start, '.')} --> {_clock(cue.end, '.')}\n{_escaped(_lines(cue))}\n" for cue in cues(analysis)
    )
    return "\n".join(["WEBVTT\n", *blocks])


def cues(analysis: Analysis) -> list[Cue]:
    """A cue for each stretch of the transcript; without one, for each stretch of the timeline with one verdict."""
    segments = analysis.transcript.segments if analysis.transcript else ()
    if segments:
        spans = [(segment.start, segment.end, segment.text) for segment in segments]
    else:
        spans = [(start, end, "") for start, end in _runs(analysis.timeline)]
    return [Cue(start, end, _plain(words), _verdict(analysis, start, end)) for start, end, words in spans]


def _verdict(analysis: Analysis, start: float, end: float) -> str:
    """`[positive 81 %, happy]`, `[undecided]`, or nothing where there is nothing to go on."""
    points = [(point.sentiment, _overlap(point.start, point.end, start, end)) for point in analysis.timeline]
    heard = [(sentiment, seconds) for sentiment, seconds in points if seconds > 0 and sentiment.grounded]
    if not heard:
        return ""
    decided = [(sentiment, seconds) for sentiment, seconds in heard if sentiment.label]
    if 2 * _seconds(decided) < _seconds(heard):
        return "[undecided]"
    shares = _mean((sentiment.probabilities, seconds) for sentiment, seconds in decided)
    label = max(LABELS, key=lambda name: shares.get(name, 0.0))
    emotion = _emotion(analysis, start, end)
    return f"[{label} {100 * shares[label]:.0f} %{f', {emotion}' if emotion else ''}]"


def _emotion(analysis: Analysis, start: float, end: float) -> str:
    """The strongest emotion of voice and faces in this time; of all of it where they are not told apart."""
    speech, face = analysis.modalities.speech, analysis.modalities.face
    parts = [
        (part.emotions, _overlap(part.start, part.end, start, end)) for part in (speech.segments if speech else ())
    ]
    for one in face.faces if face else ():
        if one.start is not None and one.end is not None:
            parts.append((one.emotions, _overlap(one.start, one.end, start, end)))
    emotions = _mean((shares, seconds) for shares, seconds in parts if seconds > 0) or dict(analysis.emotions)
    return max(emotions, key=emotions.__getitem__, default="")


def _mean(parts: Iterable[tuple[Mapping[str, float], float]]) -> dict[str, float]:
    sums: dict[str, float] = {}
    total = 0.0
    for shares, weight in parts:
        total += weight
        for name, share in shares.items():
            sums[name] = sums.get(name, 0.0) + weight * share
    return {name: value / total for name, value in sums.items()} if total else {}


def _runs(points: Sequence[TimelinePoint]) -> Iterator[tuple[float, float]]:
    """Neighbours that say the same as one span; what says nothing is left out."""
    for (grounded, _), run in groupby(points, key=lambda point: (point.sentiment.grounded, point.sentiment.label)):
        together = list(run)
        if grounded:
            yield together[0].start, together[-1].end


def _overlap(start: float, end: float, other_start: float, other_end: float) -> float:
    return max(0.0, min(end, other_end) - max(start, other_start))


def _seconds(heard: Iterable[tuple[Sentiment, float]]) -> float:
    return sum(seconds for _, seconds in heard)


def _lines(cue: Cue) -> str:
    """A blank line would end the cue."""
    return "\n".join(line for line in (cue.words, cue.verdict) if line) or "\u2026"


def _plain(words: str) -> str:
    return " ".join(words.split())


def _escaped(words: str) -> str:
    return words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _clock(seconds: float, point: str) -> str:
    milliseconds = round(1000 * max(0.0, seconds))
    minutes, milliseconds = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{milliseconds // 1000:02}{point}{milliseconds % 1000:03}"
