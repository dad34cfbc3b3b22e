"""Further runs of the face model: the trained network goes on with more pictures and other ones.

Their targets are the votes and, to a share, what the network before answers (Furlanello et al. 2018, born-again
networks); they also see the crops of muxspace, rarer emotions more often, and faces behind masks, hands and things. The
second run has harder pictures and a deeper network: a block that is added changes nothing at first (Chen et al. 2016,
Net2Net), its last scale is zero. The third has pictures nearer to those of serving and of the scores.
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
from models.training.face_data import Faces, coarse_faces, ferplus, is_made_by
from models.training.face_network import FaceNetwork, ResidualBlock
from models.training.face_trainer import Course, Place, Recipe, as_grey, best_of, merit, validate
from models.training.fingerprint import fingerprint

CPU = torch.device("cpu")
SHARES = (0.25, 0.5, 0.75, 1.0)
"""How far from the weights of the run before to those of a further one a blend may lie."""


@dataclass(frozen=True)
class Further:
    """What decides a further run, apart from how long it lasts; `name` is that of its files."""

    name: str
    variation: Variation
    depths: tuple[int, ...] = (1, 3, 3)
    teacher: float = 0.3
    coarse_teacher: float = 0.6
    balance: float = 0.35
    learning_rate: float = 0.08


SECOND = Further("second", Variation(cover=0.1, jpeg=0.15))
THIRD = Further(
    "third",
    Variation(
        point_shift=0.02,
        shift=0.03,
        turn_degrees=5.0,
        log_scale=0.06,
        unaligned=0.04,
        low_resolution=0.15,
        erase=0.15,
        cover=0.1,
        jpeg=0.15,
    ),
    teacher=0.4,
    balance=0.25,
    learning_rate=0.06,
)


def recipe_of(before: Recipe, further: Further) -> Recipe:
    """The recipe of a further run."""
    return replace(
        before,
        depths=further.depths,
        balance=further.balance,
        learning_rate=further.learning_rate,
        seed=before.seed + 1,
    )


def deepened(network: FaceNetwork, before: Recipe, recipe: Recipe) -> FaceNetwork:
    """A network of `recipe` that answers as `network` does: added blocks let everything through."""
    torch.manual_seed(recipe.seed)  # what an added block holds is part of what a checkpoint was made by
    deeper = recipe.network()
    old, new = _named(network, before.depths), _named(deeper, recipe.depths)
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


def taught_faces(teacher: FaceNetwork, further: Further, recipe: Recipe, work: Path) -> Faces:
    """FER+ and muxspace with targets that are mixed with the answers of the network before."""
    votes = ferplus("train", work)
    coarse = coarse_faces().scaled(votes.side)
    both = votes.joined(coarse)
    told = kept_answers(teacher, both.crops(recipe.size)[..., 0], work / f"{further.name}-answers.npz")
    shares = np.repeat(np.float32([further.teacher, further.coarse_teacher]), [len(votes), len(coarse)])[:, None]
    return replace(both, targets=(1 - shares) * both.targets + shares * told)


def kept_answers(network: FaceNetwork, grey: NDArray[np.uint8], cache: Path) -> NDArray[np.float32]:
    """`answers`, from the cache if it holds those of this network for these crops."""
    made_by = fingerprint(network.state_dict(), grey)
    if not is_made_by(cache, made_by):
        np.savez(cache, answers=answers(network, grey), made_by=np.array(made_by))
    with np.load(cache) as stored:
        return stored["answers"]


@torch.inference_mode()
def answers(network: FaceNetwork, grey: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Probabilities (n, 8) of a network for grey crops, each with its mirror image."""
    network.eval()
    parts = as_grey(grey, torch.device("cpu")).split(256)
    return torch.cat([((network(part) + network(part.flip(3))) / 2).softmax(-1) for part in parts]).numpy()


def trained_further(
    network: FaceNetwork, recipe: Recipe, further: Further, cycles: Sequence[int], place: Place
) -> FaceNetwork:
    """A further run, on from `network`, which is of `recipe`; resumable."""
    work, new = place.work, recipe_of(recipe, further)
    faces, validation = taught_faces(network, further, new, work), ferplus("val", work)
    course = Course(new, faces, validation, cycles, further.variation)
    before = deepened(network, recipe, new)
    after = best_of(course, work / f"{further.name}.pt", place.device, copy.deepcopy(before))
    return best_blend(before, after, course, work / f"{further.name}-blend.pt")


def best_blend(before: FaceNetwork, after: FaceNetwork, course: Course, kept: Path) -> FaceNetwork:
    """The weights between both runs' (Wortsman et al. 2022) with the most merit, chosen once for the same weights."""
    state = torch.load(kept, weights_only=True) if kept.exists() else {}
    made_by = fingerprint(before.state_dict(), after.state_dict(), course.made_by(None))
    if state.get("made_by") != made_by:
        blends = {share: blend(before, after, share) for share in SHARES}
        scores = {share: validate(each, course.validation, course.recipe, CPU) for share, each in blends.items()}
        print("\n".join(f"{share:.2f} of the way: {each}" for share, each in scores.items()), flush=True)
        share = max(SHARES, key=lambda each: merit(scores[each]))
        state = {"made_by": made_by, "share": share, "weights": blends[share].state_dict()}
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
