"""What the detector learns from: which cell answers for which face, and how wrong it is about it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

BACKGROUND = 2.0
"""What a cell without a face weighs: at 1, scores on animals and textures rose while street scenes were learnt."""


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
