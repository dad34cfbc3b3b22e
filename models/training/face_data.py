"""Faces with votes: what FER+ rows are worth as targets and labels, and where the landmarks of their pictures lie."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from models.training.data import data_folder, read_table
from models.training.fingerprint import fingerprint
from service.features.face import TEMPLATE, align, decode_yunet

VOTES = {
    "neutral": "neutral",
    "happy": "happiness",
    "surprised": "surprise",
    "sad": "sadness",
    "angry": "anger",
    "disgust": "disgust",
    "fearful": "fear",
    "contempt": "contempt",
}
"""Our name of an emotion to FER+'s; the order is that of the model's logits."""

EMOTIONS = tuple(VOTES)
COLUMNS = tuple(f"votes_{name}" for name in (*VOTES.values(), "unknown", "NF"))
COARSE_EMOTIONS = ("neutral", "happy", "surprised", "angry", "sad", "fearful")
"""The muxspace labels that are mostly right when looked at; the others hardly ever are."""

COARSE_TRUST = 0.8
"""Share of a muxspace face's target on its label (one student's word); the rest is spread evenly."""

CROP_INTERPOLATION = "cubic"
"""How faces to learn from are sampled; the registry's entry says so of what was trained."""

PICTURE_SIDE = 48
ENLARGEMENT = 4
BORDER = 32
"""Of 300 FER+ pictures YuNet finds 0.977 enlarged four times with a grey border of 32 pixels, 0.927 enlarged twice."""

TEACHER = "models/face_detection_yunet_2023mar.onnx"
TEACHER_THRESHOLD = 0.5

ALIKE = 0.985
"""Correlation of two pictures of 12 x 12 pixels above which they count as the same."""

Votes = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Faces:
    """Grey pictures with landmarks and targets.

    `pictures` uint8 (n, side, side); `landmarks` (n, 5, 2) in picture pixels, those of the whole picture where none
    were `found` (n,); `targets` (n, 8) distributions over `EMOTIONS`; `labels` (n,) the strict majority, -1 where there
    is none.
    """

    pictures: NDArray[np.uint8]
    landmarks: NDArray[np.float32]
    found: NDArray[np.bool_]
    targets: NDArray[np.float32]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def rows(self, chosen: NDArray) -> Faces:
        """The rows that a mask or an array of numbers names."""
        return Faces(
            self.pictures[chosen], self.landmarks[chosen], self.found[chosen], self.targets[chosen], self.labels[chosen]
        )

    def crops(self, size: int, *, aligned: bool = True, interpolation: str = CROP_INTERPOLATION) -> NDArray[np.uint8]:
        """Faces as serving sees them, RGB uint8 (n, size, size, 3); the plain pictures, scaled, unless `aligned`."""
        landmarks = self.landmarks if aligned else np.broadcast_to(whole_picture(self.side), self.landmarks.shape)
        pairs = zip(self.pictures, landmarks, strict=True)
        grey = np.stack([align(picture, five, size, interpolation=interpolation) for picture, five in pairs])
        return np.repeat(grey[..., None], 3, axis=-1)

    def scaled(self, side: int) -> Faces:
        """The same faces in pictures of another side."""
        pictures = [cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA) for picture in self.pictures]
        return replace(self, pictures=np.stack(pictures), landmarks=self.landmarks * np.float32(side / self.side))

    def joined(self, other: Faces) -> Faces:
        """These faces and then the others, in pictures of the same side."""
        pairs = {field.name: (getattr(self, field.name), getattr(other, field.name)) for field in fields(self)}
        return Faces(**{name: np.concatenate(pair) for name, pair in pairs.items()})

    @property
    def side(self) -> int:
        """Height and width of the pictures in pixels."""
        return self.pictures.shape[-1]


def strike_single_votes(votes: Votes) -> Votes:
    """Votes (n, 10) without those that one person alone gave, as in FER+ (Barsoum et al. 2016)."""
    return np.where(votes > 1, votes, 0)


def vote_distribution(votes: Votes) -> NDArray[np.float32]:
    """Targets (n, 8) from votes (n, 10): single votes, unknown and no-face struck out, the rest normalised.

    Where that leaves nothing the single votes for emotions count; a row without any vote for an emotion is all zero.
    """
    struck, single = strike_single_votes(votes)[:, : len(EMOTIONS)], votes[:, : len(EMOTIONS)]
    counted = np.where(struck.sum(axis=1, keepdims=True) > 0, struck, single)
    return (counted / np.maximum(counted.sum(axis=1, keepdims=True), 1)).astype(np.float32)


def strict_majority(votes: Votes) -> NDArray[np.int64]:
    """The emotion (n,) with more than half of the votes (n, 10) once single ones are struck out.

    -1 where no emotion has: the winner may be unknown or no-face, which are votes like the others.
    """
    struck = strike_single_votes(votes)
    winner = struck.argmax(axis=1)
    won = (2 * struck.max(axis=1) > struck.sum(axis=1)) & (winner < len(EMOTIONS))
    return np.where(won, winner, -1)


def cut_out(picture: NDArray[np.uint8], landmarks: NDArray[np.float32], size: int) -> NDArray[np.uint8]:
    """A face to learn from, as serving cuts it out for a model trained on such ones."""
    return align(picture, landmarks, size, interpolation=CROP_INTERPOLATION)


def whole_picture(side: int) -> NDArray[np.float32]:
    """Landmarks (5, 2) whose alignment is the whole square picture: for faces on which none were found."""
    return TEMPLATE * side


def ferplus(split: str, work: Path) -> Faces:
    """The FER+ faces of a split that are worth keeping; decoded pictures and landmarks are cached in `work`.

    Out are rows marked `keep=false` and, of the training split, those without any vote for an emotion. The test split
    keeps every row with a strict majority.
    """
    stored = _stored(split, work)
    votes = stored["votes"]
    faces = Faces(
        stored["pictures"], stored["landmarks"], stored["found"], vote_distribution(votes), strict_majority(votes)
    )
    if split == "train":
        return faces.rows(stored["keep"] & (faces.targets.sum(axis=1) > 0))
    return faces.rows((stored["keep"] | (split == "test")) & (faces.labels >= 0))


def twins(split: str, work: Path) -> NDArray[np.bool_]:
    """Which rows of `ferplus` of this split look like a picture of an earlier one, all of which are `keep=false` there.

    Whoever trains on all rows has seen the answer to these. Alike are pictures whose 12 x 12 pixels correlate by more
    than `ALIKE`, the rule by which rows were marked.
    """
    order = ("train", "val", "test")
    earlier = [_stored(each, work) for each in order[: order.index(split)]]
    seen = np.concatenate([_tiny(each["pictures"][~each["keep"]]) for each in earlier])
    return (_tiny(ferplus(split, work).pictures) @ seen.T > ALIKE).any(axis=1)


def _tiny(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """12 x 12 pixels of each picture, (n, 144), of mean 0 and length 1, so that products are correlations."""
    small = [cv2.resize(each, (12, 12), interpolation=cv2.INTER_AREA).ravel() for each in pictures]
    centred = np.stack(small).astype(np.float32)
    centred -= centred.mean(axis=1, keepdims=True)
    return centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-6)


def _stored(split: str, work: Path) -> dict[str, NDArray]:
    """Pictures, landmarks, votes and marks of every row, from the cache or, where it is not of this data, made anew."""
    cache, teacher = work / f"ferplus-{split}.npz", data_folder() / TEACHER
    made_by = fingerprint(data_folder() / "face/ferplus.parquet", teacher, TEACHER_THRESHOLD, ENLARGEMENT, BORDER)
    if not is_made_by(cache, made_by):
        _write_cache(cache, read_table("face/ferplus", split), teacher, made_by)
    with np.load(cache) as stored:
        return {name: stored[name] for name in stored.files}


def coarse_faces(split: str = "train") -> Faces:
    """The muxspace crops whose label is mostly right, grey, with the teacher's landmarks: for variety, not a score."""
    rows = [row for row in read_table("face/muxspace_faces", split) if row["emotion"] in COARSE_EMOTIONS]
    labels = np.array([EMOTIONS.index(row["emotion"]) for row in rows])
    spread = (1 - COARSE_TRUST) / len(EMOTIONS)
    targets = COARSE_TRUST * np.eye(len(EMOTIONS), dtype=np.float32)[labels] + np.float32(spread)
    landmarks = np.array([row["landmarks"] for row in rows], np.float32).reshape(-1, 5, 2)
    pictures = np.stack([_square(_decode_grey(row["image"]), 96) for row in rows])
    return Faces(pictures, landmarks, np.ones(len(rows), bool), targets, labels)


def enlarged(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A grey picture that is all face, larger and with room around it: so a detector meets it as a portrait."""
    large = cv2.resize(picture, None, fx=ENLARGEMENT, fy=ENLARGEMENT, interpolation=cv2.INTER_CUBIC)
    return cv2.copyMakeBorder(large, *(BORDER,) * 4, cv2.BORDER_CONSTANT, value=128)  # type: ignore[return-value]


def find_landmarks(pictures: Sequence[NDArray[np.uint8]], teacher: Path) -> Iterator[NDArray[np.float32] | None]:
    """Five landmarks (5, 2) of each small grey picture by YuNet (Wu et al. 2023), None where it finds no face.

    YuNet is not made for faces that fill the picture: it sees them enlarged, inside a grey border.
    """
    detector = cv2.FaceDetectorYN.create(str(teacher), "", (0, 0), TEACHER_THRESHOLD)
    for picture in pictures:
        framed = enlarged(picture)
        detector.setInputSize(framed.shape[::-1])
        faces = decode_yunet(detector.detect(cv2.cvtColor(framed, cv2.COLOR_GRAY2BGR))[1])
        best = max(faces, key=lambda face: face.score, default=None)
        yield None if best is None else (best.landmarks - BORDER) / ENLARGEMENT


def is_made_by(cache: Path, made_by: str) -> bool:
    """Whether there is a cache (npz) and it says that it was made from what this fingerprint stands for."""
    if not cache.exists():
        return False
    with np.load(cache) as stored:
        return "made_by" in stored and str(stored["made_by"]) == made_by


def _write_cache(cache: Path, rows: Sequence[dict], teacher: Path, made_by: str) -> None:
    pictures = np.stack([_decode_grey(row["image"]) for row in rows])
    five = list(tqdm(find_landmarks(pictures, teacher), cache.stem, len(rows)))
    found = np.array([points is not None for points in five])
    landmarks = np.stack([whole_picture(PICTURE_SIDE) if points is None else points for points in five])
    cache.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        cache,
        pictures=pictures,
        landmarks=landmarks.astype(np.float32),
        found=found,
        votes=np.array([[row[column] for column in COLUMNS] for row in rows]),
        keep=np.array([row["keep"] for row in rows]),
        made_by=np.array(made_by),
    )


def _decode_grey(encoded: bytes) -> NDArray[np.uint8]:
    return cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_GRAYSCALE)


def _square(picture: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """The picture padded at the right and bottom with its edge, so that landmarks keep their pixels."""
    height, width = picture.shape
    return cv2.copyMakeBorder(picture, 0, side - height, 0, side - width, cv2.BORDER_REPLICATE)
