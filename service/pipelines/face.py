"""Faces: found, aligned, judged; followed through a video."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from service.domain.analysis import Face, FacePart, Media, Notice
from service.domain.explanation import Piece
from service.domain.fusion import Opinion
from service.domain.leaving_out import Vote, without_each
from service.domain.sentiment import NO_EVIDENCE, Prediction, verdict
from service.domain.timeline import Moment, mean
from service.domain.tracks import Box, match
from service.features.face import CROP_SIZE, LOW_QUALITY, Detection, align, placement, quality
from service.features.occlusion import FaceView, placed
from service.media.decoder import Picture
from service.media.stream import Frames
from service.pipelines.found import Found
from service.runners import Models

POOR_SHARE = 0.1
"""Views that can only be judged badly are worth a warning when they are more than this share of all."""

FORGET_SECONDS = 2.0
"""A face that is unseen for longer is a new one when it comes back."""

MOST_VIEWS = 32
"""Of so many faces of a video it is kept how they were seen best, a few kilobytes each."""


@dataclass(frozen=True)
class Sighting:
    """One face in one frame; the box is in pixels of the upright frame as it was sent."""

    time: float
    box: Box
    score: float
    quality: float
    prediction: Prediction
    view: FaceView | None = None
    """How it was seen, where that is needed to explain the answer."""


async def see(
    pictures: Sequence[NDArray[np.uint8]], scales: Sequence[float], models: Models, *, keep_views: bool = False
) -> list[list[Sighting]]:
    """The faces of each picture, largest first. `scales` are pixels of the picture given over pixels as sent.

    What the detector finds is looked at once more by the face model, which knows some animals and things from faces.
    """
    found = await models.detect(pictures)
    settings = models.info["face"].settings
    size, least = settings.get("crop_size", CROP_SIZE), settings.get("presence_threshold", 0.0)
    sampled = settings.get("crop_interpolation", "linear")
    crops = [
        align(picture, face.landmarks, size, interpolation=sampled)
        for picture, faces in zip(pictures, found, strict=True)
        for face in faces
    ]
    said = iter(zip(crops, await models.face(crops) if crops else (), strict=True))
    told = [[(face, *next(said)) for face in faces] for faces in found]
    return [
        sorted(
            (
                _sighting(face, picture, scale, says, crop if keep_views else None)
                for face, crop, says in seen
                if says.presence >= least
            ),
            key=lambda sighting: -sighting.box[2] * sighting.box[3],
        )
        for picture, seen, scale in zip(pictures, told, scales, strict=True)
    ]


async def read_picture(picture: Picture, min_quality: float, models: Models, *, explain: bool = False) -> Found:
    """A still picture: every face, and what those that are seen well enough say together."""
    (sightings,) = await see([picture.pixels], [picture.scale], models, keep_views=explain)
    faces = tuple(_face([sighting], number) for number, sighting in enumerate(sightings, start=1))
    media = Media(width=picture.width, height=picture.height, frames_read=1)
    notices = (
        [Notice("truncated", "The picture ends early; what could be read of it was used.")] if picture.truncated else []
    )
    if not faces:
        notices.append(Notice("no_face", "No face was found in the picture."))
    tracks = [[sighting] for sighting in sightings]
    found = _found(tracks, faces, models, min_quality=min_quality, media=media, notices=tuple(notices))
    views = {number: one.view for number, one in enumerate(sightings, start=1) if one.view}
    return _explainable(found, tracks, views, min_quality) if explain else found


@dataclass
class Watcher:
    """Follows faces through the frames of a video."""

    models: Models
    frame_seconds: float
    explain: bool = False
    """Whether it is to be kept what an explanation needs."""
    width: int = 1
    """Pixels of the upright frames as they were sent; known once the file is open."""
    tracks: dict[int, list[Sighting]] = field(default_factory=dict)
    best: dict[int, Sighting] = field(default_factory=dict)
    """By track the sighting of highest quality, with its view."""
    frames_read: int = 0

    async def feed(self, frames: Frames) -> None:
        """Look at some frames more, in the order of time."""
        scales = [picture.shape[1] / self.width for picture in frames.pictures]
        seen = await see(frames.pictures, scales, self.models, keep_views=self.explain)
        for time, sightings in zip(frames.times, seen, strict=True):
            self.follow(time, sightings)

    def finish(self, min_quality: float, media: Media) -> Found:
        """What all faces say over the whole time."""
        lasting = {n: track for n, track in self.tracks.items() if len(track) > 1 or self.frames_read <= 3}
        tracks = list(lasting.values())
        faces = tuple(_face(track, number, self.frame_seconds) for number, track in enumerate(tracks, start=1))
        notices = () if faces else (Notice("no_face", f"No face was found in {self.frames_read} sampled frames."),)
        found = _found(
            tracks,
            faces,
            self.models,
            min_quality=min_quality,
            media=media,
            notices=notices,
            frame_seconds=self.frame_seconds,
        )
        best = {number: self.best.get(track) for number, track in enumerate(lasting, start=1)}
        views = {number: replace(one.view, seconds=one.time) for number, one in best.items() if one and one.view}
        return _explainable(found, tracks, views, min_quality) if self.explain else found

    def since(self, lengths: Mapping[int, int]) -> list[tuple[int, Sighting]]:
        """What has been added to the tracks since they had these lengths: numbers of tracks, and sightings."""
        return [(number, seen) for number, track in self.tracks.items() for seen in track[lengths.get(number, 0) :]]

    def resume(self, sightings: Iterable[tuple[int, Sighting]], frames_read: int, best: Mapping[int, Sighting]) -> None:
        """Go on where another watcher was, whose sightings these are."""
        self.frames_read, self.best = frames_read, dict(best)
        for number, sighting in sightings:
            self.tracks.setdefault(number, []).append(sighting)

    def follow(self, time: float, sightings: Sequence[Sighting]) -> list[int]:
        """Take in what is seen in the next frame; the track of each sighting."""
        self.frames_read += 1
        seen = [replace(sighting, time=time) for sighting in sightings]
        recent = {n: track[-1].box for n, track in self.tracks.items() if time - track[-1].time <= FORGET_SECONDS}
        numbers = []
        for sighting, track in zip(seen, match(recent, [s.box for s in seen]), strict=True):
            numbers.append(track or len(self.tracks) + 1)
            self.tracks.setdefault(numbers[-1], []).append(sighting)
            if sighting.view:
                self.tracks[numbers[-1]][-1] = replace(sighting, view=None)
                self._keep_best(numbers[-1], sighting)
        return numbers

    def _keep_best(self, track: int, sighting: Sighting) -> None:
        """Keep the view if it is the best of its track; of too many tracks the one that was seen least goes."""
        if track not in self.best or sighting.quality > self.best[track].quality:
            self.best[track] = sighting
        if len(self.best) > MOST_VIEWS:
            del self.best[min(self.best, key=lambda number: len(self.tracks[number]))]


def _found(
    tracks: Sequence[Sequence[Sighting]],
    faces: tuple[Face, ...],
    models: Models,
    *,
    min_quality: float,
    media: Media,
    notices: tuple[Notice, ...],
    frame_seconds: float = 0.0,
) -> Found:
    """Fuse what is seen well enough; say what is not."""
    sightings = sorted((sighting for track in tracks for sighting in track), key=lambda sighting: sighting.time)
    clear = _clear(sightings, min_quality)
    notices = (*notices, *_doubts(sightings, min_quality))
    used = ("face", "detector") if sightings else ("detector",)
    if not clear:
        return Found(face=FacePart(NO_EVIDENCE, {}, faces), media=media, models=used, notices=notices)
    whole = mean([(sighting.prediction, sighting.quality) for sighting in clear])
    opinion = Opinion(whole, float(np.mean([s.quality for s in clear])), models.info["face"].reliability)
    return Found(
        opinions={"face": opinion},
        face=FacePart(verdict(whole.probabilities), whole.emotions, faces),
        moments={"face": [Moment(s.time, s.time + frame_seconds, s.prediction, s.quality) for s in clear]},
        media=media,
        models=used,
        notices=notices,
    )


def _clear(sightings: Sequence[Sighting], min_quality: float) -> list[Sighting]:
    return [sighting for sighting in sightings if sighting.quality > 0 and sighting.quality >= min_quality]


def _explainable(
    found: Found, tracks: Sequence[Sequence[Sighting]], views: Mapping[int, FaceView], min_quality: float
) -> Found:
    """The same with what the faces say without each of them, and with how those that count were seen."""
    if found.face is None or "face" not in found.opinions:
        return found
    groups = [[_vote(sighting) for sighting in _clear(track, min_quality)] for track in tracks]
    others = without_each(groups, found.opinions["face"].reliability)
    pieces = tuple(
        Piece("face", "face", without, box=face.box, track=face.track, seconds=_seen_seconds(face))
        for face, without in zip(found.face.faces, others, strict=True)
    )
    counted = {number for number, group in enumerate(groups, start=1) if group}
    return replace(found, pieces=pieces, views={number: view for number, view in views.items() if number in counted})


def _seen_seconds(face: Face) -> tuple[float, float] | None:
    return None if face.start is None or face.end is None else (face.start, face.end)


def _vote(sighting: Sighting) -> Vote:
    return Vote(sighting.prediction.probabilities, sighting.quality, sighting.quality)


def _doubts(sightings: Sequence[Sighting], min_quality: float) -> Iterator[Notice]:
    """What to say of faces that can't be judged, or only so far."""
    bad = sum(sighting.quality < min_quality for sighting in sightings)
    poor = sum(sighting.quality < LOW_QUALITY for sighting in sightings) - bad
    why = "too small, dark, blurred, compressed, covered or turned"
    if bad:
        yield Notice("low_quality", f"{bad} of {len(sightings)} views of a face are {why} to be judged.")
    elif poor > POOR_SHARE * len(sightings):
        yield Notice("low_quality", f"{poor} of {len(sightings)} views of a face are {why} to be judged well.")


def _sighting(
    face: Detection,
    picture: NDArray[np.uint8],
    scale: float,
    prediction: Prediction,
    crop: NDArray[np.uint8] | None,
) -> Sighting:
    """A face as it was detected and judged; with its view if the crop is given."""
    x, y, width, height = (side / scale for side in face.box)
    seen_well = quality(picture, face, prediction.clarity)
    view = None if crop is None else FaceView(crop, placed(placement(face.landmarks, len(crop)), scale), prediction)
    return Sighting(0.0, (x, y, width, height), face.score, seen_well, prediction, view)


def _face(track: Sequence[Sighting], number: int, frame_seconds: float | None = None) -> Face:
    """A track as one face: where it was best seen, and what it says over its time."""
    best = max(track, key=lambda sighting: sighting.quality)
    whole = mean([(sighting.prediction, max(sighting.quality, 1e-3)) for sighting in track])
    return Face(
        box=best.box,
        score=best.score,
        quality=float(np.mean([sighting.quality for sighting in track])),
        sentiment=verdict(whole.probabilities),
        emotions=whole.emotions,
        track=number,
        start=None if frame_seconds is None else track[0].time,
        end=None if frame_seconds is None else track[-1].time + frame_seconds,
    )
