"""The second run of the face model: the trained network, made deeper, goes on with more pictures and harder ones.

Its targets are the votes and, to a share, what the first network answers (Furlanello et al. 2018, born-again networks);
it also sees the crops of muxspace, rarer emotions more often, and faces behind masks, hands and things. A block that is
added changes nothing at first (Chen et al. 2016, Net2Net): its last scale is zero.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.training.face_augment import Variation
from models.training.face_data import Faces, coarse_faces, ferplus
from models.training.face_network import FaceNetwork, ResidualBlock
from models.training.face_trainer import Course, Recipe, as_grey, best_of, merit, validate

CPU = torch.device("cpu")
SHARES = (0.25, 0.5, 0.75, 1.0)
"""How far from the first run's weights to the second's a blend may lie."""


@dataclass(frozen=True)
class Further:
    """What decides the second run, apart from how long it lasts."""

    depths: tuple[int, ...] = (1, 3, 3)
    teacher: float = 0.3
    coarse_teacher: float = 0.6
    balance: float = 0.35
    learning_rate: float = 0.08
    cover: float = 0.1
    jpeg: float = 0.15


def recipe_of(first: Recipe, further: Further) -> Recipe:
    """The recipe of the second run."""
    return replace(
        first, depths=further.depths, balance=further.balance, learning_rate=further.learning_rate, seed=first.seed + 1
    )


def deepened(network: FaceNetwork, first: Recipe, recipe: Recipe) -> FaceNetwork:
    """A network of `recipe` that answers as `network` does: added blocks let everything through."""
    deeper = recipe.network()
    old, new = _named(network, first.depths), _named(deeper, recipe.depths)
    deeper.stem.load_state_dict(network.stem.state_dict())
    deeper.head.load_state_dict(network.head.state_dict())
    for place, block in new.items():
        if place in old:
            block.load_state_dict(old[place].state_dict())
        else:
            nn.init.zeros_(block.second[1].weight)
    return deeper


def _named(network: FaceNetwork, depths: tuple[int, ...]) -> dict[tuple[int, int], ResidualBlock]:
    """The blocks by stage and place in it."""
    places = [(stage, index) for stage, depth in enumerate(depths) for index in range(depth)]
    return dict(zip(places, network.blocks, strict=True))


def harder_faces(first: FaceNetwork, further: Further, recipe: Recipe, work: Path) -> Faces:
    """FER+ and muxspace with targets that are mixed with the first network's answers."""
    votes = ferplus("train", work)
    coarse = coarse_faces().scaled(votes.side)
    both, cache = votes.joined(coarse), work / "answers.npy"
    if not cache.exists():
        np.save(cache, answers(first, both.crops(recipe.size)[..., 0]))
    shares = np.repeat(np.float32([further.teacher, further.coarse_teacher]), [len(votes), len(coarse)])[:, None]
    return replace(both, targets=(1 - shares) * both.targets + shares * np.load(cache))


@torch.inference_mode()
def answers(network: FaceNetwork, grey: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Probabilities (n, 8) of a network for grey crops, each with its mirror image."""
    network.eval()
    parts = as_grey(grey, torch.device("cpu")).split(256)
    return torch.cat([((network(part) + network(part.flip(3))) / 2).softmax(-1) for part in parts]).numpy()


def trained_further(
    network: FaceNetwork, first: Recipe, cycles: Sequence[int], work: Path, device: torch.device
) -> FaceNetwork:
    """The second run, on from `network`; resumable."""
    further = Further()
    recipe = recipe_of(first, further)
    variation = Variation(cover=further.cover, jpeg=further.jpeg)
    course = Course(recipe, harder_faces(network, further, recipe, work), ferplus("val", work), cycles, variation)
    before = deepened(network, first, recipe)
    after = best_of(course, work / "further.pt", device, copy.deepcopy(before))
    return best_blend(before, after, course, work / "blend.pt")


def best_blend(before: FaceNetwork, after: FaceNetwork, course: Course, kept: Path) -> FaceNetwork:
    """The weights between both runs' (Wortsman et al. 2022) with the most merit, chosen once for so many epochs."""
    state = torch.load(kept, weights_only=True) if kept.exists() else {}
    if state.get("epochs") != sum(course.cycles):
        blends = {share: blend(before, after, share) for share in SHARES}
        scores = {share: validate(each, course.validation, course.recipe, CPU) for share, each in blends.items()}
        print("\n".join(f"{share:.2f} of the way: {each}" for share, each in scores.items()), flush=True)
        share = max(SHARES, key=lambda each: merit(scores[each]))
        state = {"epochs": sum(course.cycles), "share": share, "weights": blends[share].state_dict()}
        torch.save(state, kept)
    best = course.recipe.network()
    best.load_state_dict(state["weights"])
    return best.eval()


def blend(before: FaceNetwork, after: FaceNetwork, share: float) -> FaceNetwork:
    """Weights and statistics a `share` of the way from `before` to `after`."""
    mixed, goal = copy.deepcopy(before).cpu(), after.state_dict()
    for name, value in mixed.state_dict().items():
        if value.is_floating_point():
            value.lerp_(goal[name].to(value.device), share)
    return mixed.eval()
