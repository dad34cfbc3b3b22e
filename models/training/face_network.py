"""The network that reads an expression from an aligned face, and the ONNX file that serves it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

LUMA = (0.299, 0.587, 0.114)
"""Rec. 601 weights of red, green and blue, as OpenCV's grey."""

FLAT = 8.0
"""Grey levels added to a face's deviation, so that a flat picture is not blown up to noise."""


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions around a shortcut (He et al. 2016), scaled channel by channel (Hu et al. 2018)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
        )
        self.second = nn.Sequential(nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs))
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(outputs, outputs // 8, 1),
            nn.ReLU(),
            nn.Conv2d(outputs // 8, outputs, 1),
            nn.Sigmoid(),
        )
        self.shortcut = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (n, inputs, h, w) to (n, outputs, h / stride, w / stride)."""
        changed = self.second(self.first(maps))
        return functional.relu(changed * self.gate(changed) + self.shortcut(maps))


class FaceNetwork(nn.Module):
    """Grey faces (n, 1, s, s) in [0, 255] to logits (n, classes); each face is standardised by itself first."""

    def __init__(
        self, classes: int, stem: int, widths: Sequence[int], depths: Sequence[int], dropout: float = 0.3
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, stem, 3, 1, 1, bias=False), nn.BatchNorm2d(stem), nn.ReLU())
        blocks, channels = [], stem
        for width, depth in zip(widths, depths, strict=True):
            for index in range(depth):
                blocks.append(ResidualBlock(channels, width, 2 if index == 0 else 1))
                channels = width
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(channels, classes)
        )

    def forward(self, grey: Tensor) -> Tensor:
        """Logits (n, classes) of faces under any light."""
        return self.head(self.blocks(self.stem(standardised(grey))))


class ClarityNetwork(nn.Module):
    """Grey faces (n, 1, s, s) in [0, 255] to log-odds (n, 2): that it is a face, and of how much of it shows."""

    def __init__(self, widths: Sequence[int] = (16, 40, 80)) -> None:
        super().__init__()
        stem, *rest = widths
        self.stem = nn.Sequential(nn.Conv2d(1, stem, 5, 2, 2, bias=False), nn.BatchNorm2d(stem), nn.ReLU())
        pairs = zip(widths[:-1], rest, strict=True)
        self.blocks = nn.Sequential(*(ResidualBlock(before, after, 2) for before, after in pairs))
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Dropout(0.2), nn.Linear(4 * widths[-1], 2))

    def forward(self, grey: Tensor) -> Tensor:
        """Log-odds (n, 2) under any light."""
        return self.head(self.blocks(self.stem(standardised(grey))))


class ServedFaceNetwork(nn.Module):
    """Aligned faces, uint8 RGB (n, s, s, 3), to logits (n, classes) and (n, 2) probability of a face and clarity.

    All are means over the face and its mirror image.
    """

    def __init__(self, network: FaceNetwork, clarity: ClarityNetwork) -> None:
        super().__init__()
        self.network = network
        self.clarity = clarity
        self.register_buffer("luma", torch.tensor(LUMA).reshape(1, 1, 1, 3))

    def forward(self, faces: Tensor) -> tuple[Tensor, Tensor]:
        """A face and its mirror image show the same expression, so that both have the same answer here."""
        grey = (faces.float() * self.luma).sum(-1).unsqueeze(1)
        mirrored = grey.flip(3)
        logits = (self.network(grey) + self.network(mirrored)) / 2
        return logits, ((self.clarity(grey) + self.clarity(mirrored)) / 2).sigmoid()


def standardised(grey: Tensor) -> Tensor:
    """Faces (n, 1, s, s) with each one's mean at 0 and its deviation near 1."""
    centred = grey - grey.mean((1, 2, 3), keepdim=True)
    return centred / (centred.square().mean((1, 2, 3), keepdim=True).sqrt() + FLAT)


def export_onnx(network: FaceNetwork, clarity: ClarityNetwork, path: Path, size: int) -> None:
    """Write both networks as one ONNX file, opset 17.

    `faces` uint8 (n, size, size, 3) RGB to `logits` (n, classes) and `clarity` (n, 2).
    """
    served = ServedFaceNetwork(network, clarity).eval()
    example = torch.zeros(2, size, size, 3, dtype=torch.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(
        served,
        (example,),
        str(path),
        input_names=["faces"],
        output_names=["logits", "clarity"],
        dynamic_axes={"faces": {0: "n"}, "logits": {0: "n"}, "clarity": {0: "n"}},
        opset_version=17,
        dynamo=False,
    )
