"""One request, from what was sent to one `Analysis`."""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from service.domain.analysis import Analysis, FacePart, Kind, Media, Modalities
from service.domain.fusion import FusionRule, Opinion, fuse
from service.domain.labels import Modality
from service.domain.sentiment import verdict
from service.domain.timeline import TimelinePoint, mean, timeline
from service.pipelines import LanguageUnsupported, Options
from service.pipelines.checkpoint import Notebook
from service.pipelines.explain import explained
from service.pipelines.found import Found, Stopwatch, together
from service.pipelines.media import Tools, read_audio, read_image, read_video
from service.pipelines.sets import check_coverage, set_of
from service.pipelines.text import read_text, read_texts
from service.runners import Models

CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


@dataclass(frozen=True)
class Inputs:
    """What was sent: a text, and the private files of the uploads."""

    text: str | None = None
    audio: Path | None = None
    image: Path | None = None
    video: Path | None = None

    @property
    def kind(self) -> Kind:
        """The one thing that was sent, or `multimodal`."""
        kinds: dict[Kind, object] = {"text": self.text, "audio": self.audio, "image": self.image, "video": self.video}
        present: list[Kind] = [kind for kind, value in kinds.items() if value is not None]
        return present[0] if len(present) == 1 else "multimodal"

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """The models of a modality that may be asked: a recording may hold words."""
        heard = self.audio is not None or self.video is not None
        seen = self.image is not None or self.video is not None
        asked: dict[Modality, bool] = {"text": self.text is not None or heard, "speech": heard, "face": seen}
        return tuple(name for name, may in asked.items() if may)


async def analyze_texts(texts: Sequence[str], options: Options, tools: Tools) -> list[Analysis]:
    """One answer a text, in order. Raises `LanguageUnsupported` and `RunnerError`."""
    check_language(options, tools.models, ("text",))
    check_coverage(options, tools.models, ("text",))
    watch = Stopwatch()
    with watch("text"):
        found = await read_texts(texts, options, tools.models)
    if options.explain:
        rule = rule_of(options, tools)
        with watch("explain"):
            found = await together(*(explained(one, rule, tools.models) for one in found))
    return [answer("text", one, options, tools, watch) for one in found]


async def analyze(
    inputs: Inputs, options: Options, tools: Tools, notebooks: Mapping[str, Notebook] | None = None
) -> Analysis:
    """One fused answer over all that was sent. Raises `LanguageUnsupported`, `MediaError` and `RunnerError`.

    A text that comes with a recording stands for its words: then nothing is transcribed. A recording that comes with a
    video stands for its sound. `notebooks` for `audio` and `video` let a pass that was stopped go on where it was.
    """
    watch = Stopwatch()
    check_coverage(options, tools.models, inputs.modalities)
    with watch("total"):
        found = await findings(inputs, options, tools, watch, notebooks)
        if options.explain:
            with watch("explain"):
                found = await explained(found, rule_of(options, tools), tools.models)
    return answer(inputs.kind, found, options, tools, watch)


async def findings(
    inputs: Inputs,
    options: Options,
    tools: Tools,
    watch: Stopwatch,
    notebooks: Mapping[str, Notebook] | None = None,
) -> Found:
    """All that was found in what was sent, before fusion; raises what `analyze` raises."""
    return joined(await together(*_work(inputs, options, tools, watch, notebooks or {})))


def _work(
    inputs: Inputs, options: Options, tools: Tools, watch: Stopwatch, notebooks: Mapping[str, Notebook]
) -> list[Awaitable[Found]]:
    """What there is to do, after a look at the language."""
    words = options.transcribe == "auto" and inputs.text is None
    if inputs.text is not None:
        check_language(options, tools.models, ("text",))
    elif inputs.audio is not None or inputs.video is not None:
        check_language(options, tools.models, ("speech", "transcript"))
    work: list[Awaitable[Found]] = []
    if inputs.text is not None:
        work.append(read_text(inputs.text, options, tools.models))
    if inputs.audio is not None:
        work.append(read_audio(inputs.audio, options, tools, watch, words=words, notebook=notebooks.get("audio")))
    if inputs.image is not None:
        work.append(read_image(inputs.image, options, tools, watch))
    if inputs.video is not None:
        sound = inputs.audio is None
        words = words and sound
        notebook = notebooks.get("video")
        work.append(read_video(inputs.video, options, tools, watch, sound=sound, words=words, notebook=notebook))
    return work


def check_language(options: Options, models: Models, names: Sequence[str]) -> None:
    """Raises `LanguageUnsupported` unless one of the named models speaks the language."""
    spoken = [models.info[name].languages for name in names if name in models.info]
    tag = options.language.lower().split("-")[0]
    if spoken and all(languages and tag not in languages for languages in spoken):
        raise LanguageUnsupported(options.language, tuple(sorted({tag for tags in spoken for tag in tags})))


def joined(found: Sequence[Found]) -> Found:
    """All findings as one; faces that come from two files are judged together."""
    faces = [one for one in found if "face" in one.opinions]
    opinions: dict[Modality, Opinion] = {name: opinion for one in found for name, opinion in one.opinions.items()}
    if len(faces) > 1:
        opinions["face"] = _mean_opinion([one.opinions["face"] for one in faces])
    if faces and sum(one.face is not None for one in found) > 1:
        found = _told_apart(found)
    return Found(
        opinions=opinions,
        text=next((one.text for one in found if one.text), None),
        speech=next((one.speech for one in found if one.speech), None),
        face=_face_part([one.face for one in found if one.face], opinions.get("face")),
        moments={name: moments for one in found for name, moments in one.moments.items()},
        transcript=next((one.transcript for one in found if one.transcript), None),
        pieces=tuple(piece for one in found for piece in one.pieces),
        views={track: view for one in found for track, view in one.views.items()},
        media=_longest([one.media for one in found if one.media]),
        models=tuple(dict.fromkeys(name for one in found for name in one.models)),
        notices=tuple(notice for one in found for notice in one.notices),
    )


def _mean_opinion(opinions: Sequence[Opinion]) -> Opinion:
    whole = mean([(opinion.prediction, max(opinion.quality, 1e-3)) for opinion in opinions])
    return Opinion(whole, sum(opinion.quality for opinion in opinions) / len(opinions), opinions[0].reliability)


def _told_apart(found: Sequence[Found]) -> list[Found]:
    """The same with faces numbered through, and for each what all other faces of all files say without it."""
    told: list[Found] = []
    before = 0
    for one in found:
        others = [other.opinions["face"] for other in found if other is not one and "face" in other.opinions]
        pieces = tuple(
            replace(piece, track=before + piece.track, without=_mean_of([piece.without, *others]))
            if piece.track is not None
            else piece
            for piece in one.pieces
        )
        views = {before + track: view for track, view in one.views.items()}
        told.append(replace(one, pieces=pieces, views=views))
        before += len(one.face.faces) if one.face else 0
    return told


def _mean_of(opinions: Sequence[Opinion | None]) -> Opinion | None:
    left = [opinion for opinion in opinions if opinion is not None]
    return _mean_opinion(left) if len(left) > 1 else left[0] if left else None


def _face_part(parts: Sequence[FacePart], opinion: Opinion | None) -> FacePart | None:
    if len(parts) < 2 or opinion is None:
        return parts[0] if parts else None
    faces = (face for part in parts for face in part.faces)
    numbered = tuple(replace(face, track=number) for number, face in enumerate(faces, start=1))
    return FacePart(verdict(opinion.prediction.probabilities), opinion.prediction.emotions, numbered)


def _longest(media: Sequence[Media]) -> Media | None:
    return max(media, key=lambda one: (one.seconds or 0.0, one.frames_read or 0), default=None)


def answer(kind: Kind, found: Found, options: Options, tools: Tools, watch: Stopwatch) -> Analysis:
    rule = rule_of(options, tools)
    with watch("fusion"):
        fused = fuse(found.opinions, rule)
        points = _timeline(found, tools.models, rule)
    return Analysis(
        id=ulid(),
        created=datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        kind=kind,
        sentiment=fused.sentiment,
        emotions=fused.emotions,
        modalities=_modalities(found, options),
        fusion=fused.fusion,
        timeline=points,
        transcript=found.transcript,
        explanation=found.explanation,
        media=found.media,
        models=_provenance(found, tools.models),
        warnings=found.notices,
        timings={step: round(seconds, 6) for step, seconds in watch.seconds.items()},
        prediction_set=set_of(fused.sentiment, found.opinions, options, tools.models),
    )


def rule_of(options: Options, tools: Tools) -> FusionRule:
    """When verdicts are withheld: as the request says, else as the recalibration profile, else as the settings do."""
    settings, profile = tools.settings, tools.models.profile
    if options.min_confidence is not None:
        return FusionRule(options.min_confidence, settings.max_conflict)
    own = profile.min_confidence_of if profile is not None else {}
    return FusionRule(settings.min_confidence, settings.max_conflict, settings.min_margin, own)


def _provenance(found: Found, models: Models) -> dict[str, str]:
    """Which models answered, and the profile that recalibrated them."""
    named = {name: models.info[name].identifier for name in found.models}
    return named if models.profile is None else {**named, "calibration": models.profile.identifier}


def _timeline(found: Found, models: Models, rule: FusionRule) -> tuple[TimelinePoint, ...]:
    seconds = found.media.seconds if found.media else None
    if not seconds:
        return ()
    reliability: dict[Modality, float] = {name: models.info[name].reliability for name in found.moments}
    return timeline(found.moments, reliability, seconds, rule)


def _modalities(found: Found, options: Options) -> Modalities:
    """The parts that are there; without the segments of the voice unless the detail is full."""
    parts: Modalities = {}
    if found.text is not None:
        parts["text"] = found.text
    if found.speech is not None:
        full = options.detail == "full"
        parts["speech"] = found.speech if full else replace(found.speech, segments=())
    if found.face is not None:
        parts["face"] = found.face
    return parts


def ulid() -> str:
    """A sortable identifier: 48 bits of milliseconds and 80 of chance (github.com/ulid/spec)."""
    number = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    return "".join(CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))
