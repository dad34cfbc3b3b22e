"""Trains the small network that says how much of a face a crop shows: what is left of it after damage that is known.

It sees FER+ and muxspace crops, most of them damaged (`face_damage`); faces of street scenes with their real masks,
which people have labelled; and animals and things, of which nothing is a face (`face_shelf`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional
from tqdm import tqdm

from models.registry import default_model
from models.training.data import data_folder
from models.training.detector_animals import animals, hands
from models.training.face_augment import Variation, jittered, relit
from models.training.face_cover import Crop
from models.training.face_damage import damaged
from models.training.face_data import cut_out
from models.training.face_network import ClarityNetwork
from models.training.face_shelf import Marked, Shelf, anywhere, drawn, load_shelf
from models.training.fingerprint import fingerprint

PRESENCE = 0.05
"""The probability of a face below which serving lets go of what the detector found."""

STATEFUL = ("network", "optimiser", "schedule")
"""What of a training has weights or counters of its own."""


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
        crop, left = drawn(shelf, size, rng), 1.0
        if kind < recipe.nothing + recipe.real + recipe.damaged:
            crop, left = damaged(crop, rng, drawn(shelf, size, rng), shelf.hands)
    crop = relit(crop, rng, variation)
    return (crop[:, ::-1] if rng.random() < 0.5 else crop), left


def _nothing(shelf: Shelf, recipe: ClarityRecipe, rng: np.random.Generator) -> Marked:
    if rng.random() < recipe.anywhere:
        return anywhere(shelf.animals[rng.integers(len(shelf.animals))], rng)
    return shelf.nothing[rng.integers(len(shelf.nothing))]


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


def _as_input(crops: NDArray[np.uint8]) -> torch.Tensor:
    grey = torch.from_numpy(np.ascontiguousarray(crops)).float().unsqueeze(1)
    return grey.contiguous(memory_format=torch.channels_last)
