"""Trains the small network that says how much of a face a crop shows: what is left of it after damage that is known.

It sees FER+ and muxspace crops, most of them damaged (`face_damage`); faces of street scenes with their real masks,
which people have labelled; and animals and things that the detector takes for faces, of which nothing is a face.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional
from tqdm import tqdm

from models.registry import default_model
from models.training.data import data_folder, read_table
from models.training.detector_animals import Animal, animals, hands
from models.training.detector_scenes import decoded, on_grey
from models.training.face_augment import Variation, jittered, relit
from models.training.face_cover import Crop, photographed_hand
from models.training.face_damage import HIDDEN_FROM, HIDDEN_TO, damaged, hidden, ramp
from models.training.face_data import CROP_INTERPOLATION, Faces, coarse_faces, cut_out, ferplus
from models.training.face_network import ClarityNetwork
from models.training.fingerprint import fingerprint
from service.features.face import TEMPLATE, Detection, Picture, align, box_iou
from service.runners.face import FaceDetector

Tell = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""From grey crops (n, s, s) to the probability of a face and its clarity, (n, 2)."""

LEFT = {"mask": 0.1, "mask_wrong": 0.5, "no_mask": 1.0}
"""How much of a face is left by the label of its box; a mask that is worn wrongly leaves the nose or the mouth."""

SMALLEST_FACE = 20
PRESENCE = 0.05
"""The probability of a face below which serving lets go of what the detector found."""

SUSPECTED = 0.2
"""Scores of the detector from which an animal's face serves as a face that is none."""


STATEFUL = ("network", "optimiser", "schedule")
"""What of a training has weights or counters of its own."""

SIZES = (0.5, 1.0, 2.0)
MORE_SIZES = (0.35, 0.5, 0.75, 1.0, 1.5, 2.0)
"""How large the animals are shown to the detector, to measure and to train."""


@dataclass(frozen=True)
class ClarityRecipe:
    """What decides the training of the clarity network."""

    seed: int = 7
    steps: int = 8000
    every: int = 200
    batch: int = 96
    learning_rate: float = 3e-3
    weight_decay: float = 1e-3
    damaged: float = 0.45
    real: float = 0.12
    nothing: float = 0.22
    anywhere: float = 0.4


@dataclass(frozen=True, eq=False)
class Marked:
    """A grey picture, the landmarks of a face in it, and how much of the face it shows."""

    picture: NDArray[np.uint8]
    landmarks: NDArray[np.float32]
    left: float


@dataclass(frozen=True, eq=False)
class Shelf:
    """What batches are drawn from."""

    faces: Sequence[Faces]
    real: Sequence[Marked]
    nothing: Sequence[Marked]
    animals: Sequence[NDArray[np.uint8]]
    hands: Sequence[Crop]


def load_shelf(split: str, work: Path, folder: Path) -> Shelf:
    """The training or validation pictures; `folder` has the animals."""
    training = split == "train"
    detector = FaceDetector.load(default_model("face-detection"))
    keen = FaceDetector.load(default_model("face-detection"), threshold=SUSPECTED)
    pictures = [on_grey(each) for each in animals(folder) if each.kept_for_validation != training]
    nothing = [mark for picture in pictures for mark in _suspects(keen, picture, MORE_SIZES if training else SIZES)]
    held = [as_cover(each) for each in hands(folder) if each.kept_for_validation != training]
    faces, grey = (ferplus(split, work), coarse_faces(split)), [_grey(each) for each in pictures]
    return Shelf(faces, street_faces(split, detector), nothing, grey, held)


def as_cover(hand: Animal) -> Crop:
    """A photographed hand as `face_cover` takes it: (h, w, 2), grey and how much of it is there."""
    return np.dstack([_grey(hand.picture), (hand.cover * 255).astype(np.uint8)])


def _suspects(detector: FaceDetector, picture: Picture, sizes: Sequence[float]) -> list[Marked]:
    """What a detector takes for faces in a picture without any, seen at several sizes."""
    scaled = [cv2.resize(picture, None, fx=factor, fy=factor) for factor in sizes]
    return [Marked(_grey(each), face.landmarks, np.nan) for each in scaled for face in _found(detector, each)]


def anywhere(picture: NDArray[np.uint8], rng: np.random.Generator) -> Marked:
    """A grey picture without a face, and landmarks at any place, of any size and turned a little: nothing is there."""
    side = min(picture.shape) * np.exp(rng.uniform(np.log(0.25), np.log(1.2)))
    angle = rng.normal(0, 0.4)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    middle = rng.uniform(0.1, 0.9, 2) * picture.shape[::-1]
    return Marked(picture, ((TEMPLATE - 0.5) @ turn * side + middle).astype(np.float32), np.nan)


def street_faces(split: str, detector: FaceDetector) -> list[Marked]:
    """Faces of street scenes that the detector finds where people have drawn a box, with what its label leaves."""
    marked = []
    for row in read_table("face/facemask_boxes", split):
        picture, boxes = decoded(row["image"]), np.asarray(row["boxes"], np.float32).reshape(-1, 4)
        for face in _found(detector, picture):
            overlaps = box_iou(np.array([face.box], np.float32), boxes)[0]
            if len(boxes) and overlaps.max() > 0.5 and min(face.box[2:]) >= SMALLEST_FACE:
                marked.append(Marked(_grey(picture), face.landmarks, LEFT[row["labels"][overlaps.argmax()]]))
    return marked


def batch_of(
    shelf: Shelf, recipe: ClarityRecipe, size: int, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Grey crops (n, size, size) and what is left of each face (n,), NaN where there is none."""
    pairs = [_example(shelf, recipe, size, rng) for _ in range(recipe.batch)]
    return np.stack([crop for crop, _ in pairs]), np.array([left for _, left in pairs], np.float32)


def _example(shelf: Shelf, recipe: ClarityRecipe, size: int, rng: np.random.Generator) -> tuple[Crop, float]:
    variation, kind = Variation(), rng.random()
    if kind < recipe.nothing + recipe.real:
        marked = _nothing(shelf, recipe, rng) if kind < recipe.nothing else shelf.real[rng.integers(len(shelf.real))]
        crop, left = cut_out(marked.picture, jittered(marked.landmarks, rng, variation), size), marked.left
    else:
        crop, left = _drawn(shelf, size, rng), 1.0
        if kind < recipe.nothing + recipe.real + recipe.damaged:
            crop, left = damaged(crop, rng, _drawn(shelf, size, rng), shelf.hands)
    crop = relit(crop, rng, variation)
    return (crop[:, ::-1] if rng.random() < 0.5 else crop), left


def _nothing(shelf: Shelf, recipe: ClarityRecipe, rng: np.random.Generator) -> Marked:
    if rng.random() < recipe.anywhere:
        return anywhere(shelf.animals[rng.integers(len(shelf.animals))], rng)
    return shelf.nothing[rng.integers(len(shelf.nothing))]


def _drawn(shelf: Shelf, size: int, rng: np.random.Generator) -> Crop:
    faces = shelf.faces[rng.integers(len(shelf.faces))]
    row = rng.integers(len(faces))
    return cut_out(faces.pictures[row], jittered(faces.landmarks[row], rng, Variation()), size)


def made_by(recipe: ClarityRecipe, folder: Path, size: int) -> str:
    """The fingerprint of what the network is trained by; some damaged crops stand for how they are damaged."""
    tables = [data_folder() / f"face/{name}.parquet" for name in ("ferplus", "muxspace_faces", "facemask_boxes")]
    pictures = [each.picture for each in (*animals(folder), *hands(folder))]
    flat = np.linspace(0, 255, size * size).reshape(size, size).astype(np.uint8)
    spoilt = [damaged(flat, np.random.default_rng(seed), flat.T)[0] for seed in range(40)]
    return fingerprint(recipe, tables, default_model("face-detection").sha256, pictures, spoilt)


def trained_clarity(recipe: ClarityRecipe, work: Path, folder: Path, size: int) -> ClarityNetwork:
    """The network after its last step, on from the last checkpoint in `work` that was made in the same way."""
    training = ClarityTraining(recipe, work / "clarity.pt", made_by(recipe, folder, size))
    if training.step < recipe.steps:
        training.go_on(load_shelf("train", work, folder), size)
    return training.network.eval()


class ClarityTraining:
    """A training as it stands; all of it is in its checkpoint. One of another recipe or other data is begun anew."""

    def __init__(self, recipe: ClarityRecipe, checkpoint: Path, made_by: str) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.checkpoint, self.made_by, self.step = recipe, checkpoint, made_by, 0
        self.network = ClarityNetwork().to(memory_format=torch.channels_last)
        decay, rate = recipe.weight_decay, recipe.learning_rate
        self.optimiser = torch.optim.AdamW(self.network.parameters(), rate, weight_decay=decay)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(self.optimiser, rate, recipe.steps)
        state = torch.load(checkpoint, weights_only=True) if checkpoint.exists() else {}
        if state.get("made_by") == made_by:
            self.step = state["step"]
            for name in STATEFUL:
                getattr(self, name).load_state_dict(state[name])

    def go_on(self, shelf: Shelf, size: int) -> None:
        """To the last step: ten to thirty minutes on one thread. Chance depends on the seed and the step alone."""
        self.network.train()
        for step in tqdm(range(self.step, self.recipe.steps), "clarity", mininterval=5):
            torch.manual_seed(self.recipe.seed + step)
            crops, left = batch_of(shelf, self.recipe, size, np.random.default_rng((self.recipe.seed, step)))
            loss = clarity_loss(self.network(_as_input(crops)), torch.from_numpy(left))
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            self.optimiser.step()
            self.schedule.step()
            self.step = step + 1
            if self.step % self.recipe.every == 0 or self.step == self.recipe.steps:
                self.save()

    def save(self) -> None:
        """Write it down; one that is stopped while writing keeps its last checkpoint."""
        state = {name: getattr(self, name).state_dict() for name in STATEFUL}
        torch.save({**state, "made_by": self.made_by, "step": self.step}, self.checkpoint.with_suffix(".new"))
        self.checkpoint.with_suffix(".new").replace(self.checkpoint)


def clarity_loss(odds: torch.Tensor, left: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of both answers (n, 2): is it a face, and, where it is one, how much of it is left (n,)."""
    face = left.isfinite()
    presence = functional.binary_cross_entropy_with_logits(odds[:, 0], face.float())
    return presence + functional.binary_cross_entropy_with_logits(odds[face, 1], left[face])


def clarity_scores(
    clarity_of: Tell, shelf: Shelf, size: int, interpolation: str = CROP_INTERPOLATION
) -> dict[str, float]:
    """How it does on validation pictures; clean faces are FER+'s and muxspace's, masked ones those of the streets."""
    rng = np.random.default_rng(7)
    clean = [clarity_of(faces.crops(size, interpolation=interpolation)[..., 0]) for faces in shelf.faces]
    real, nothing = (
        clarity_of(
            np.stack([align(each.picture, each.landmarks, size, interpolation=interpolation) for each in marked])
        )
        for marked in (shelf.real, shelf.nothing)
    )
    left = np.array([each.left for each in shelf.real])
    pairs = [damaged(_drawn(shelf, size, rng), rng, _drawn(shelf, size, rng), shelf.hands) for _ in range(2000)]
    wanted, told = np.array([part for _, part in pairs]), clarity_of(np.stack([crop for crop, _ in pairs]))
    return {
        "clean_ferplus_above_half": float((clean[0][:, 1] > 0.5).mean()),
        "clean_muxspace_above_half": float((clean[1][:, 1] > 0.5).mean()),
        "masked_below_half": float((real[left < 0.2, 1] < 0.5).mean()),
        "unmasked_above_half": float((real[left == 1, 1] > 0.5).mean()),
        "damage_correlation": float(np.corrcoef(wanted, told[:, 1])[0, 1]),
        **hand_scores(clarity_of, shelf, size),
        **{f"faces_below_{at}": float((np.concatenate([*clean, real])[:, 0] < at).mean()) for at in (PRESENCE, 0.5)},
        **{f"no_faces_below_{at}": float((nothing[:, 0] < at).mean()) for at in (PRESENCE, 0.5)},
        "masked": int((left < 0.2).sum()),
        "unmasked": int((left == 1).sum()),
        "no_faces": len(nothing),
    }


def hand_scores(clarity_of: Tell, shelf: Shelf, size: int, count: int = 2000) -> dict[str, float]:
    """How often hands that hide most of a face are noticed, and those that hide next to nothing are let be.

    A hand lies above where half of what it hides is in the upper half of the crop. The hands are those of the shelf.
    """
    rng = np.random.default_rng(11)
    pairs = [
        photographed_hand(_drawn(shelf, size, rng), shelf.hands[index % len(shelf.hands)], rng)
        for index in range(count)
    ]
    left = np.array([1 - ramp(hidden(cover), HIDDEN_FROM, HIDDEN_TO) for _, cover in pairs])
    upper = np.array([hidden(cover * _upper(size)) > hidden(cover) / 2 for _, cover in pairs])
    told = clarity_of(np.stack([crop for crop, _ in pairs]))[:, 1]
    return {
        "hands_above_below_half": float((told[upper & (left < 0.25)] < 0.5).mean()),
        "hands_below_below_half": float((told[~upper & (left < 0.25)] < 0.5).mean()),
        "hands_aside_above_half": float((told[left > 0.95] > 0.5).mean()),
    }


def _upper(size: int) -> NDArray[np.float32]:
    """1 in the upper half of a crop, 0 in the lower: (size, 1)."""
    return (np.arange(size) < size / 2).astype(np.float32)[:, None]


def _as_input(crops: NDArray[np.uint8]) -> torch.Tensor:
    grey = torch.from_numpy(np.ascontiguousarray(crops)).float().unsqueeze(1)
    return grey.contiguous(memory_format=torch.channels_last)


def _found(detector: FaceDetector, picture: Picture) -> Sequence[Detection]:
    (found,) = detector.detect([picture])
    return found if isinstance(found, tuple) else ()


def _grey(picture: Picture) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)
