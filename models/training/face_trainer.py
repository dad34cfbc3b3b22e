"""Trains face networks: soft targets, cosine cycles, averaged weights, and checkpoints to go on from."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from models.training.face_augment import Variation, varied_crops
from models.training.face_data import EMOTIONS, Faces
from models.training.face_network import FaceNetwork
from models.training.face_scores import accuracy_scores
from models.training.fingerprint import fingerprint


@dataclass(frozen=True)
class Recipe:
    """What decides a training run, apart from how long it lasts."""

    seed: int = 7
    size: int = 48
    stem: int = 24
    widths: tuple[int, ...] = (32, 64, 128)
    depths: tuple[int, ...] = (1, 2, 2)
    dropout: float = 0.3
    batch: int = 128
    learning_rate: float = 0.1
    weight_decay: float = 5e-4
    average_decay: float = 0.998
    balance: float = 0.2
    mixup: float = 0.2

    def network(self) -> FaceNetwork:
        """The network with fresh weights."""
        return FaceNetwork(len(EMOTIONS), self.stem, self.widths, self.depths, self.dropout)


@dataclass
class Run:
    """A training run as it stands; all of it is in its checkpoint."""

    network: FaceNetwork
    average: AveragedModel
    optimiser: torch.optim.Optimizer
    epoch: int = 0
    best: dict[str, Any] | None = None


@dataclass(frozen=True)
class Place:
    """Where a run keeps its files, and what computes it."""

    work: Path
    device: torch.device


@dataclass(frozen=True, eq=False)
class Course:
    """What a run is led through: faces to learn from and to be judged by, and for how long."""

    recipe: Recipe
    faces: Faces
    validation: Faces
    cycles: Sequence[int]
    variation: Variation = field(default_factory=Variation)

    def made_by(self, network: FaceNetwork | None) -> str:
        """The fingerprint of all that a run is made of, apart from how long it lasts; some crops stand for `align`."""
        seen = [fingerprint({each.name: getattr(faces, each.name) for each in fields(faces)}) for faces in self._faces]
        crops = self.validation.rows(np.arange(min(64, len(self.validation)))).crops(self.recipe.size)
        return fingerprint(self.recipe, self.variation, seen, crops, None if network is None else network.state_dict())

    @property
    def _faces(self) -> tuple[Faces, Faces]:
        return self.faces, self.validation


def best_of(course: Course, checkpoint: Path, device: torch.device, network: FaceNetwork | None = None) -> FaceNetwork:
    """Train until the cycles are over, from `network` or from nothing, or on from the checkpoint.

    Returns the averaged weights of the epoch with the most `merit`.
    """
    made_by = course.made_by(network)
    run = begin(course.recipe, device, network)
    resume(run, checkpoint, made_by)
    for epoch in range(run.epoch, sum(course.cycles)):
        train_epoch(run, course, device)
        note(run, validate(run.average.module, course.validation, course.recipe, device), epoch, sum(course.cycles))
        save(run, checkpoint, made_by)
    if run.best is None:
        raise ValueError("No epoch was trained.")
    best = course.recipe.network()
    best.load_state_dict(run.best["weights"])
    return best.eval()


def begin(recipe: Recipe, device: torch.device, network: FaceNetwork | None = None) -> Run:
    """A run before its first step, with fresh weights or those of `network`."""
    torch.manual_seed(recipe.seed)
    network = (network or recipe.network()).to(device, memory_format=torch.channels_last)
    average = AveragedModel(network, multi_avg_fn=averaging(recipe.average_decay), use_buffers=True)
    decayed = [value for value in network.parameters() if value.ndim > 1]
    plain = [value for value in network.parameters() if value.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    return Run(network, average, torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=0.9, nesterov=True))


def averaging(decay: float) -> Callable[[list[Tensor], list[Tensor], Tensor | int], None]:
    """How the average of the weights moves a step: exponentially, and at first faster, over the last tenth of steps.

    With the full decay from the start the random first weights would stay in the average for epochs.
    """

    def move(average: list[Tensor], current: list[Tensor], steps: Tensor | int) -> None:
        share = max(1 - decay, 10 / (10 + float(steps)))
        for kept, new in zip(average, current, strict=True):
            kept.lerp_(new, share) if kept.is_floating_point() else kept.copy_(new)

    return move


def save(run: Run, checkpoint: Path, made_by: str) -> None:
    """Write the run down; a run that is stopped while writing keeps its last checkpoint."""
    state = {
        "made_by": made_by,
        "network": run.network.state_dict(),
        "average": run.average.state_dict(),
        "optimiser": run.optimiser.state_dict(),
        "epoch": run.epoch,
        "best": run.best,
    }
    torch.save(state, checkpoint.with_suffix(".new"))
    checkpoint.with_suffix(".new").replace(checkpoint)


def resume(run: Run, checkpoint: Path, made_by: str) -> None:
    """Go on from the checkpoint if there is one. Raises `ValueError` if it was made by another recipe or other data."""
    if not checkpoint.exists():
        return
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    if state["made_by"] != made_by:
        raise ValueError(f"{checkpoint} was made by another recipe or from other faces. Name another --work.")
    run.network.load_state_dict(state["network"])
    run.average.load_state_dict(state["average"])
    run.optimiser.load_state_dict(state["optimiser"])
    run.epoch, run.best = state["epoch"], state["best"]


def note(run: Run, scores: dict[str, float], epoch: int, epochs: int) -> None:
    """Say how an epoch ended and keep its weights if they are the best so far."""
    words = ", ".join(f"{key} {value:.4f}" for key, value in scores.items())
    print(f"epoch {epoch + 1}/{epochs}: {words}", flush=True)
    if run.best is None or merit(scores) >= merit(run.best):
        run.best = {**scores, "epoch": epoch + 1, "weights": copy.deepcopy(run.average.module.state_dict())}
    run.epoch = epoch + 1


def merit(scores: dict[str, float]) -> float:
    """What the best epoch has most of: accuracy, and to a fifth macro-F1, which rare emotions make noisy."""
    return scores["accuracy"] + 0.2 * scores["macro_f1"]


def train_epoch(run: Run, course: Course, device: torch.device) -> None:
    """Every face about once; chance depends on the seed and the epoch alone, so that a resumed run is the same run."""
    recipe, faces = course.recipe, course.faces
    rng = np.random.default_rng((recipe.seed, run.epoch))
    torch.manual_seed(recipe.seed + run.epoch)
    order = epoch_rows(faces.targets, recipe.balance, rng)
    batches = np.array_split(order, math.ceil(len(order) / recipe.batch))
    run.network.train()
    for index, rows in enumerate(tqdm(batches, f"epoch {run.epoch + 1}", mininterval=5)):
        rate = recipe.learning_rate * rate_at(run.epoch + index / len(batches), course.cycles)
        for group in run.optimiser.param_groups:
            group["lr"] = rate
        crops = varied_crops(faces, rows, recipe.size, rng, course.variation)
        grey, targets = mixed(
            as_grey(crops, device), torch.from_numpy(faces.targets[rows]).to(device), recipe.mixup, rng
        )
        step(run, grey, targets, device)


def step(run: Run, grey: Tensor, targets: Tensor, device: torch.device) -> None:
    """One step down the cross-entropy with soft targets, in bfloat16 where that is safe."""
    with torch.autocast(device.type, torch.bfloat16):
        logits = run.network(grey)
    loss = functional.cross_entropy(logits.float(), targets)
    run.optimiser.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(run.network.parameters(), 5.0)
    run.optimiser.step()
    run.average.update_parameters(run.network)


def epoch_rows(targets: NDArray[np.float32], balance: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """The rows of an epoch, shuffled: a class with a share p of the rows is drawn in proportion to p ** (1 - balance).

    A row comes as often as its weight says, the fraction of it by chance, so that no row is left out by bad luck alone.
    """
    classes = targets.argmax(axis=1)
    weights = np.bincount(classes, minlength=targets.shape[1])[classes] ** -balance
    copies = np.floor(weights / weights.mean() + rng.random(len(weights))).astype(np.int64)
    return rng.permutation(np.repeat(np.arange(len(weights)), copies))


def rate_at(epochs: float, cycles: Sequence[int]) -> float:
    """The share of the learning rate after `epochs`: half a cosine a cycle, each with a linear warm-up of one epoch."""
    start = 0
    for cycle in cycles:
        if epochs < start + cycle:
            cosine = (1 + math.cos(math.pi * (epochs - start) / cycle)) / 2
            return cosine * min(1.0, 0.05 + epochs - start)
        start += cycle
    return 0.0


def mixed(grey: Tensor, targets: Tensor, alpha: float, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Half of the batches as mixtures of two faces each (mixup, Zhang et al. 2018)."""
    if alpha <= 0 or rng.random() < 0.5:
        return grey, targets
    share = float(rng.beta(alpha, alpha))
    partner = torch.from_numpy(rng.permutation(len(grey)))
    return share * grey + (1 - share) * grey[partner], share * targets + (1 - share) * targets[partner]


def as_grey(crops: NDArray[np.uint8], device: torch.device) -> Tensor:
    """Grey crops (n, s, s) as the network's input (n, 1, s, s)."""
    return torch.from_numpy(crops).to(device).float().unsqueeze(1).contiguous(memory_format=torch.channels_last)


@torch.inference_mode()
def validate(network: nn.Module, faces: Faces, recipe: Recipe, device: torch.device) -> dict[str, float]:
    """Accuracy, macro-F1 and cross-entropy on rows with a label, each face with its mirror image as in serving."""
    network.eval()
    grey = as_grey(faces.crops(recipe.size)[..., 0], device)
    logits = torch.cat([(network(part) + network(part.flip(3))) / 2 for part in grey.split(256)]).cpu()
    loss = functional.cross_entropy(logits, torch.from_numpy(faces.labels))
    return {**accuracy_scores(logits.numpy(), faces.labels), "cross_entropy": float(loss)}
