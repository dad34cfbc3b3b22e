"""Trains the face detector: composed pictures, averaged weights, checkpoints to go on from, and the best blend."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from models.training.data import data_folder
from models.training.detector_loss import detector_loss
from models.training.detector_network import Detector, blend, export, start
from models.training.detector_scenes import YUNET, Faces, Material, Photograph, compose, load_material
from models.training.detector_scores import Session, strangers, validation_score
from models.training.fingerprint import fingerprint
from service.features.face import cells

MOST_FACES = 24
"""Faces of one training picture that the loss looks at."""

SHARES = (0.25, 0.5, 0.75, 1.0)
"""How far from the starting weights to the trained ones a blend may lie."""


@dataclass(frozen=True)
class Recipe:
    """What a run is made of; a run again gives the same weights, but for the order of sums in threads."""

    side: int = 224
    batch: int = 10
    steps: int = 480
    learning_rate: float = 6e-5
    weight_decay: float = 1e-3
    warm_up: int = 50
    average: float = 0.98
    every: int = 80
    seed: int = 7


class Composed(Dataset):
    """Composed pictures; number i is always the same one."""

    def __init__(self, material: Material, recipe: Recipe, start: int) -> None:
        self.material, self.recipe, self.start = material, recipe, start * recipe.batch

    def __len__(self) -> int:
        return self.recipe.steps * self.recipe.batch - self.start

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """A picture (side, side, 3) and its faces (MOST_FACES, 16): box, landmarks, ignored, present."""
        rng = np.random.default_rng((self.recipe.seed, self.start + index))
        picture, faces = compose(rng, self.material, self.recipe.side)
        return picture, _table(faces)


def _table(faces: Faces) -> np.ndarray:
    rows = np.zeros((MOST_FACES, 16), np.float32)
    count = min(len(faces), MOST_FACES)
    order = np.argsort(-faces.boxes[:, 2], kind="stable")[:count]
    rows[:count, :4] = faces.boxes[order]
    rows[:count, 4:14] = faces.landmarks[order].reshape(count, 10)
    rows[:count, 14] = faces.ignored[order]
    rows[:count, 15] = 1
    return rows


def train(recipe: Recipe, folder: Path, animals: Path | None, device: torch.device, workers: int) -> Detector:
    """The averaged weights of a run (continued if `folder` has one), the best on validation data."""
    torch.manual_seed(recipe.seed)
    detector = start(data_folder() / YUNET).to(device, memory_format=torch.channels_last)
    material, unseen = load_material("train", animals), strangers(animals)
    run = Run(recipe, folder, detector, device)
    run.resume(made_by(recipe, material))
    loader = DataLoader(Composed(material, recipe, run.step), recipe.batch, num_workers=workers, prefetch_factor=4)
    bar = tqdm(loader, total=recipe.steps, initial=run.step, desc="detector", mininterval=5)
    for pictures, table in bar:
        losses = run.advance(pictures.to(device), table.to(device))
        bar.set_postfix({name: f"{value:.3f}" for name, value in losses.items()}, refresh=False)
        if run.step % recipe.every == 0 or run.step == recipe.steps:
            tqdm.write(run.validate(unseen))
    detector.load_state_dict(run.best_weights)
    return choose_blend(start(data_folder() / YUNET), detector, folder, unseen).eval()


def made_by(recipe: Recipe, material: Material) -> str:
    """The fingerprint of what a run is made of; some composed pictures stand for all that they are composed of."""
    tables = [data_folder() / f"face/{name}.parquet" for name in ("scenes", "facemask_boxes")]
    composed = [Composed(material, recipe, 0)[index] for index in range(8)]
    return fingerprint(recipe, tables, data_folder() / YUNET, composed)


def choose_blend(before: Detector, after: Detector, folder: Path, unseen: Sequence[Photograph]) -> Detector:
    """The blend that is best on validation data."""
    blends = {share: blend(before, after, share) for share in SHARES}
    scores = {}
    for share, mixed in blends.items():
        scores[share], words = validation_score(Session(export(mixed, folder / "candidate.onnx")), unseen)
        tqdm.write(f"{share:.2f} of the way: {scores[share]:.4f}; {words}")
    return blends[max(scores, key=lambda share: scores[share])]


class Run:
    """The state of a training: weights, their average, optimiser and the best score so far."""

    def __init__(self, recipe: Recipe, folder: Path, detector: Detector, device: torch.device) -> None:
        self.recipe, self.folder, self.detector, self.device = recipe, folder, detector, device
        self.average = copy.deepcopy(detector).eval()
        self.optimiser = torch.optim.AdamW(_groups(detector, recipe.weight_decay), lr=recipe.learning_rate)
        self.step, self.best, self.losses = 0, -math.inf, {}
        self.best_weights: dict[str, Tensor] = {}
        self.made_by = ""

    def resume(self, made_by: str) -> None:
        """Continue from the last checkpoint of the folder, if there is one.

        Raises `ValueError` if it was made by another recipe or from other pictures.
        """
        path, self.made_by = self.folder / "last.pt", made_by
        if not path.exists():
            return
        state = torch.load(path, map_location=self.device, weights_only=True)
        if state["made_by"] != made_by:
            raise ValueError(f"{path} was made by another recipe or from other pictures. Name another --folder.")
        self.detector.load_state_dict(state["detector"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.best, self.best_weights = state["step"], state["best"], state["best_weights"]

    def advance(self, pictures: Tensor, table: Tensor) -> dict[str, float]:
        """One step on uint8 pictures (n, side, side, 3); returns the losses, smoothed."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.recipe.learning_rate * _schedule(self.step, self.recipe)
        self.detector.train()
        outputs = self.detector(pictures.permute(0, 3, 1, 2).float() / 255)
        losses = detector_loss(outputs, table, tuple(part.to(self.device) for part in _grid(pictures.shape[1])))
        self.optimiser.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        nn.utils.clip_grad_norm_(self.detector.parameters(), 10.0)
        self.optimiser.step()
        self.step += 1
        self._follow()
        for name, value in losses.items():
            self.losses[name] = 0.98 * self.losses.get(name, value.item()) + 0.02 * value.item()
        return self.losses

    @torch.no_grad()
    def _follow(self) -> None:
        keep = min(self.recipe.average, self.step / (self.step + 20))
        for mean, value in zip(self.average.state_dict().values(), self.detector.state_dict().values(), strict=True):
            if mean.dtype.is_floating_point:
                mean.lerp_(value, 1 - keep)
            else:
                mean.copy_(value)

    def validate(self, unseen: Sequence[Photograph]) -> str:
        """Score the averaged weights on validation data, keep the best and save where the run stands."""
        path = export(self.average, self.folder / "candidate.onnx")
        score, words = validation_score(Session(path), unseen)
        if score > self.best:
            self.best, self.best_weights = score, copy.deepcopy(self.average.state_dict())
        self.save()
        losses = ", ".join(f"{name} {value:.3f}" for name, value in self.losses.items())
        return f"{self.step}: {losses}; {words}"

    def save(self) -> None:
        """Write the run down; one that is stopped while writing keeps its last checkpoint."""
        state = {name: getattr(self, name).state_dict() for name in ("detector", "average", "optimiser")}
        kept = {name: getattr(self, name) for name in ("step", "best", "best_weights", "made_by")}
        torch.save({**state, **kept}, self.folder / "last.new")
        (self.folder / "last.new").replace(self.folder / "last.pt")


@cache
def _grid(side: int) -> tuple[Tensor, Tensor]:
    centres, strides = cells(side, side)
    return torch.from_numpy(centres), torch.from_numpy(strides)


def _groups(detector: Detector, weight_decay: float) -> list[dict]:
    """Decay for the kernels only."""
    kernels = [weights for weights in detector.parameters() if weights.ndim > 1]
    others = [weights for weights in detector.parameters() if weights.ndim <= 1]
    return [{"params": kernels, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


def _schedule(step: int, recipe: Recipe) -> float:
    """Linear warm-up, a long plateau, and a half cosine to a hundredth over the last two fifths."""
    if step < recipe.warm_up:
        return (step + 1) / recipe.warm_up
    done = (step / recipe.steps - 0.6) / 0.4
    return 0.01 + 0.99 * (1 + math.cos(math.pi * min(max(done, 0.0), 1.0))) / 2
