"""The network that finds faces, YuNet's (Wu, Peng & Yu 2023): its start, the file that serves it, blends of two."""

from __future__ import annotations

import copy
from pathlib import Path

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn
from torch.nn import functional as F

from service.features.face import STRIDES


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


def blend(before: Detector, after: Detector, share: float) -> Detector:
    """Weights a `share` of the way from `before` to `after`, for what `before` still knows (Wortsman et al. 2022)."""
    mixed = copy.deepcopy(after)
    with torch.no_grad():
        for weights, old in zip(mixed.parameters(), before.parameters(), strict=True):
            weights.lerp_(old.to(weights.device), 1 - share)
    return mixed
