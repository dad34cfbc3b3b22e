"""Train and export the face detector: YuNet's network, from its weights, on composed pictures and drawn boxes.

python -m models.training.detector --folder runs/face-detector
"""

from __future__ import annotations

import argparse
import copy
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from models.registry import FOLDER
from models.training.data import data_folder
from models.training.detector_scenes import YUNET, Faces, Material, Photograph, compose, load_material
from models.training.detector_scores import Session, choose_threshold, report, strangers, validation_score
from models.training.publish import publish
from service.features.face import NMS_IOU, PICTURE_SIDES, STRIDES, cells

NAME = "face-detector"
VERSION = "1.0.0"
FILE = f"weights/{NAME}.onnx"
MOST_FACES = 24
"""Faces of one training picture that the loss looks at."""

BACKGROUND = 2.0
"""What a cell without a face weighs: at 1, scores on animals and textures rose while street scenes were learnt."""

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


class Unit(nn.Module):
    """Pointwise convolution, then depthwise 3 x 3: YuNet's unit, with its batch norms folded in."""

    def __init__(self, inputs: int, outputs: int, rectified: bool = True) -> None:
        super().__init__()
        self.pointwise = nn.Conv2d(inputs, outputs, 1)
        self.depthwise = nn.Conv2d(outputs, outputs, 3, padding=1, groups=outputs)
        self.rectified = rectified

    def forward(self, maps: Tensor) -> Tensor:
        """(n, inputs, h, w) to (n, outputs, h, w)."""
        out = self.depthwise(self.pointwise(maps))
        return F.relu(out) if self.rectified else out


class Detector(nn.Module):
    """The network of YuNet (Wu, Peng & Yu 2023): a backbone, a feature pyramid and four heads a stride."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), Unit(16, 16))
        shapes = ((16, 16, 32), (32, 32, width), *[(width, width, width)] * 3)
        self.stages = nn.ModuleList([nn.Sequential(Unit(a, b), Unit(b, c)) for a, b, c in shapes])
        self.laterals = nn.ModuleList([Unit(width, width) for _ in STRIDES])
        self.heads = nn.ModuleDict(
            {
                name: nn.ModuleList([Unit(width, outputs, rectified=False) for _ in STRIDES])
                for name, outputs in (("class", 1), ("box", 4), ("object", 1), ("landmarks", 10))
            }
        )

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """RGB in [0, 1] of (n, 3, h, w) to log scores (n, cells), boxes (n, cells, 4) and landmarks (n, cells, 10)."""
        levels = self._levels(pictures)
        found = {
            name: torch.cat([_rows(head(level)) for head, level in zip(heads, levels, strict=True)], 1)
            for name, heads in self.heads.items()
        }
        score = (F.logsigmoid(found["class"]) + F.logsigmoid(found["object"])).squeeze(-1) / 2
        return score, found["box"], found["landmarks"]

    def _levels(self, pictures: Tensor) -> list[Tensor]:
        """The maps of strides 8, 16 and 32, each with what the coarser ones know."""
        maps = self.stages[0](F.max_pool2d(self.stem(pictures), 2))
        maps = self.stages[1](maps)
        levels = []
        for stage in self.stages[2:]:
            maps = stage(F.max_pool2d(maps, 2))
            levels.append(maps)
        for index in range(len(levels) - 1, -1, -1):
            coarser = F.interpolate(levels[index + 1], scale_factor=2.0) if index + 1 < len(levels) else 0
            levels[index] = self.laterals[index](levels[index] + coarser)
        return levels


def _rows(maps: Tensor) -> Tensor:
    """(n, c, h, w) to (n, h * w, c)."""
    return maps.permute(0, 2, 3, 1).flatten(1, 2)


def start(path: Path) -> Detector:
    """A detector with the weights of YuNet's file, which reads BGR from 0 to 255 and counts from cells' corners."""
    graph = onnx.load(path).graph
    arrays = {each.name: torch.from_numpy(numpy_helper.to_array(each).copy()) for each in graph.initializer}
    given = [node.input[1:] for node in graph.node if node.op_type == "Conv"]
    detector = Detector()
    detector.laterals = detector.laterals[::-1]  # the file has them from coarse to fine
    convolutions = [module for module in detector.modules() if isinstance(module, nn.Conv2d)]
    with torch.no_grad():
        for convolution, (weight, bias) in zip(convolutions, given, strict=True):
            convolution.weight.copy_(arrays[weight])
            convolution.bias.copy_(arrays[bias])
        detector.stem[0].weight.copy_(detector.stem[0].weight.flip(1) * 255)
        for head in (*detector.heads["box"], *detector.heads["landmarks"]):
            places = 2 if head.depthwise.out_channels == 4 else 10
            head.depthwise.bias[:places] -= 0.5
    detector.laterals = detector.laterals[::-1]
    return detector


class Served(nn.Module):
    """What is exported: takes pictures as they are decoded, gives scores in [0, 1]."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """RGB uint8 (n, h, w, 3); black is 0, so that the padding of a canvas and of a convolution are the same."""
        scores, boxes, landmarks = self.detector(pictures.permute(0, 3, 1, 2).float() / 255)
        return torch.exp(scores), boxes, landmarks


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


@dataclass(frozen=True, eq=False)
class Assignment:
    """What each cell answers for, all (n, cells): a face, the share of it (0 for background), its best IoU."""

    face: Tensor
    share: Tensor
    overlap: Tensor


@torch.no_grad()
def assign(
    scores: Tensor, boxes: Tensor, truth: Tensor, real: Tensor, grid: tuple[Tensor, Tensor], *, most: int = 10
) -> Assignment:
    """Task-aligned assignment (Feng et al. 2021): of the cells in or near a face, those that score and fit it best.

    `scores` (n, cells) in [0, 1]; `boxes` (n, cells, 4) and `truth` (n, faces, 4) as left, top, right, bottom;
    `real` (n, faces) says which rows of `truth` are faces.
    """
    centres, strides = grid
    overlap = _iou(truth[:, :, None], boxes[:, None])
    middle = (truth[..., :2] + truth[..., 2:]) / 2
    near = ((centres - middle[:, :, None]).abs() < strides[:, None]).all(-1)
    inside = (centres > truth[:, :, None, :2]).all(-1) & (centres < truth[:, :, None, 2:]).all(-1)
    candidate = (near | inside) & real[..., None]
    metric = (scores[:, None].sqrt() * overlap.pow(4) + 1e-12) * candidate
    best = torch.zeros_like(candidate).scatter_(2, metric.topk(most, dim=2).indices, True)
    chosen = torch.where(best & candidate, overlap + 1e-6, 0.0)
    claim, face = chosen.max(1)
    own = torch.zeros_like(metric).scatter_(1, face[:, None], (claim[:, None] > 0).float())
    metric = metric * own
    share = (metric / metric.amax(2, keepdim=True).clamp_min(1e-12)).amax(1)
    fit = (overlap * own).amax(2).gather(1, face)
    return Assignment(face, share, fit.clamp(0, 1))


def _iou(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union of boxes as left, top, right, bottom."""
    low, high = torch.maximum(first[..., :2], second[..., :2]), torch.minimum(first[..., 2:], second[..., 2:])
    shared = (high - low).clamp_min(0).prod(-1)
    areas = [(box[..., 2:] - box[..., :2]).prod(-1) for box in (first, second)]
    return shared / (areas[0] + areas[1] - shared).clamp_min(1e-6)


def eiou_loss(found: Tensor, truth: Tensor) -> Tensor:
    """1 - IoU and the distances of centres, widths, heights (Zhang et al. 2021); boxes as left, top, right, bottom."""
    hull = torch.maximum(found[..., 2:], truth[..., 2:]) - torch.minimum(found[..., :2], truth[..., :2])
    squared = hull.square().clamp_min(1e-6)
    apart = (found[..., :2] + found[..., 2:] - truth[..., :2] - truth[..., 2:]).square() / 4
    sizes = (found[..., 2:] - found[..., :2]) - (truth[..., 2:] - truth[..., :2])
    return 1 - _iou(found, truth) + apart.sum(-1) / squared.sum(-1) + (sizes.square() / squared).sum(-1)


def detector_loss(
    outputs: tuple[Tensor, Tensor, Tensor], table: Tensor, grid: tuple[Tensor, Tensor]
) -> dict[str, Tensor]:
    """The three losses of a batch: `score`, `box` and `landmarks`, each already weighted."""
    scores, places, points = outputs
    centres, strides = grid
    middle = centres + places[..., :2] * strides[:, None]
    half = places[..., 2:].clamp(-4, 5).exp() * strides[:, None] / 2
    boxes = torch.cat([middle - half, middle + half], -1)
    truth = torch.cat([table[..., :2], table[..., :2] + table[..., 2:4]], -1)
    real, ignored = (table[..., 15] > 0) & (table[..., 14] == 0), (table[..., 15] > 0) & (table[..., 14] > 0)
    given = assign(scores.exp(), boxes, truth, real, grid)
    counted = _counted(given, truth, ignored, centres)
    wanted = given.share * given.overlap.sqrt()  # YuNet's score is the root of an overlap, too
    entropy = -wanted * scores - (1 - wanted) * torch.log(-torch.expm1(scores.clamp_max(-1e-6)))
    counted = counted * torch.where(given.share > 0, 1.0, BACKGROUND)
    score = (entropy * counted).sum() / wanted.sum().clamp_min(1)
    chosen = given.share > 0
    weight = given.share[chosen]
    total = weight.sum().clamp_min(1)
    rows = table.gather(1, given.face[..., None].expand(-1, -1, 16))[chosen]
    goal = truth.gather(1, given.face[..., None].expand(-1, -1, 4))[chosen]
    box = (eiou_loss(boxes[chosen], goal) * weight).sum() / total
    spots = (centres[:, None] + points.unflatten(-1, (5, 2)) * strides[:, None, None])[chosen]
    marks = (_landmark_loss(spots, rows) * weight).sum() / total
    return {"score": score, "box": 2 * box, "landmarks": 4 * marks}


def _counted(given: Assignment, truth: Tensor, ignored: Tensor, centres: Tensor) -> Tensor:
    """1 where a cell counts: everywhere but in ignored faces, unless a real one claims it."""
    inside = (centres > truth[:, :, None, :2]).all(-1) & (centres < truth[:, :, None, 2:]).all(-1)
    return (~(inside & ignored[..., None]).any(1) | (given.share > 0)).float()


def _landmark_loss(spots: Tensor, rows: Tensor) -> Tensor:
    """Smooth L1 in units of the face's size, 0 where the landmarks are unknown: (n, 5, 2) and (n, 16) to (n,)."""
    goal = rows[:, 4:14].unflatten(-1, (5, 2))
    known = goal.isfinite()
    size = rows[:, 2:4].prod(-1).clamp_min(1).sqrt()[:, None, None]
    error = torch.where(known, spots - torch.nan_to_num(goal), 0.0) / size
    return F.smooth_l1_loss(error, torch.zeros_like(error), beta=0.02, reduction="none").mean((1, 2))


def blend(before: Detector, after: Detector, share: float) -> Detector:
    """Weights a `share` of the way from `before` to `after`, for what `before` still knows (Wortsman et al. 2022)."""
    mixed = copy.deepcopy(after)
    with torch.no_grad():
        for weights, old in zip(mixed.parameters(), before.parameters(), strict=True):
            weights.lerp_(old.to(weights.device), 1 - share)
    return mixed


def choose_blend(before: Detector, after: Detector, folder: Path, unseen: Sequence[Photograph]) -> Detector:
    """The blend that is best on validation data."""
    blends = {share: blend(before, after, share) for share in SHARES}
    scores = {}
    for share, mixed in blends.items():
        scores[share], words = validation_score(Session(export(mixed, folder / "candidate.onnx")), unseen)
        tqdm.write(f"{share:.2f} of the way: {scores[share]:.4f}; {words}")
    return blends[max(scores, key=lambda share: scores[share])]


def train(recipe: Recipe, folder: Path, animals: Path | None, device: torch.device, workers: int) -> Detector:
    """The averaged weights of a run (continued if `folder` has one), the best on validation data."""
    torch.manual_seed(recipe.seed)
    detector = start(data_folder() / YUNET).to(device, memory_format=torch.channels_last)
    unseen = strangers(animals)
    run = _Run(recipe, folder, detector, device)
    run.resume()
    loader = DataLoader(
        Composed(load_material("train", animals), recipe, run.step),
        recipe.batch,
        num_workers=workers,
        prefetch_factor=4,
    )
    bar = tqdm(loader, total=recipe.steps, initial=run.step, desc="detector", mininterval=5)
    for pictures, table in bar:
        losses = run.advance(pictures.to(device), table.to(device))
        bar.set_postfix({name: f"{value:.3f}" for name, value in losses.items()}, refresh=False)
        if run.step % recipe.every == 0 or run.step == recipe.steps:
            tqdm.write(run.validate(unseen))
    detector.load_state_dict(torch.load(folder / "best.pt", weights_only=True))
    return choose_blend(start(data_folder() / YUNET), detector, folder, unseen).eval()


class _Run:
    """The state of a training: weights, their average, optimiser and the best score so far."""

    def __init__(self, recipe: Recipe, folder: Path, detector: Detector, device: torch.device) -> None:
        self.recipe, self.folder, self.detector, self.device = recipe, folder, detector, device
        self.average = copy.deepcopy(detector).eval()
        self.optimiser = torch.optim.AdamW(_groups(detector, recipe.weight_decay), lr=recipe.learning_rate)
        self.step, self.best, self.losses = 0, 0.0, {}

    def resume(self) -> None:
        """Continue from the last checkpoint of the folder, if there is one."""
        path = self.folder / "last.pt"
        if not path.exists():
            return
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.detector.load_state_dict(state["detector"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.best = state["step"], state["best"]

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
            self.best = score
            torch.save(self.average.state_dict(), self.folder / "best.pt")
        state = {name: getattr(self, name).state_dict() for name in ("detector", "average", "optimiser")}
        torch.save({**state, "step": self.step, "best": self.best}, self.folder / "last.pt")
        losses = ", ".join(f"{name} {value:.3f}" for name, value in self.losses.items())
        return f"{self.step}: {losses}; {words}"


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


def export(detector: Detector, path: Path) -> Path:
    """Write ONNX (opset 17): `pictures` uint8 (n, h, w, 3), h and w whole 32s, to `scores`, `boxes`, `landmarks`."""
    served = Served(copy.deepcopy(detector).cpu().eval()).eval()
    names = ("scores", "boxes", "landmarks")
    torch.onnx.export(
        served,
        (torch.zeros(1, 128, 96, 3, dtype=torch.uint8),),
        str(path),
        input_names=["pictures"],
        output_names=list(names),
        dynamic_axes={"pictures": {0: "n", 1: "height", 2: "width"}, **{name: {0: "n", 1: "cells"} for name in names}},
        opset_version=17,
        dynamo=False,
    )
    return path


def ship(detector: Detector) -> None:
    """Export the weights into the project and write their entry, with scores on the test splits beside YuNet's."""
    session = Session(export(detector, FOLDER / FILE))
    threshold = choose_threshold(session)
    publish(
        NAME,
        file=FILE,
        version=VERSION,
        task="face-detection",
        labels=["face"],
        licence="MIT (starts from YuNet, (c) 2020 Shiqi Yu); photographs without a stated licence: research use",
        commercial_use=False,
        scores=report(session, threshold),
        limits=LIMITS,
        settings={
            "score_threshold": threshold,
            "nms_iou": NMS_IOU,
            "picture_sides": list(PICTURE_SIDES),
        },
    )


LIMITS = [
    "Finds faces; it knows nobody and must not be made to.",
    "Turned by more than about 45 degrees, below about 10 pixels or in full profile, faces are missed.",
    "Statues, drawn faces and animals from the front are sometimes taken for faces: one of four sample dogs is.",
    "It starts from YuNet's weights and learnt from YuNet's boxes, mostly on press photographs and street scenes.",
]


def main() -> None:
    """Train, then export into the project."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("build/train-detector"), help="checkpoints of this run")
    parser.add_argument(
        "--animals", type=Path, help="more decoys, which the shipped weights did without: see detector_animals"
    )
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=1, help="processes that compose pictures")
    for name, value in asdict(Recipe()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    parser.add_argument("--no-ship", action="store_true", help="leave weights and registry alone")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    options.folder.mkdir(parents=True, exist_ok=True)
    recipe = Recipe(**{name: getattr(options, name) for name in asdict(Recipe())})
    chosen = torch.device(device if options.device == "auto" else options.device)
    detector = train(recipe, options.folder, options.animals, chosen, options.workers)
    if not options.no_ship:
        ship(detector)


if __name__ == "__main__":
    main()
