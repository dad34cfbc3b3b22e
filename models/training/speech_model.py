"""The speech emotion model: Whisper's encoder, mean and deviation of every depth over the clip, one linear layer."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import Tensor, nn

from models.training.rowwise import quantise_by_row
from models.training.whisper import LAYERS, SAMPLE_RATE, WIDTH, Encoder, bundled_weights, load_encoder

EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
"""RAVDESS's eight, in the order of the logits."""

POOLED = 2 * (LAYERS + 1) * WIDTH
TARGET_RMS = 0.05


class EmotionModel(nn.Module):
    """Waveforms (n, samples) of 16 kHz and lengths (n,) in samples -> emotion logits (n, 8).

    Every clip is brought to the same loudness, so that a microphone's gain says nothing.
    """

    centre: Tensor
    scale: Tensor

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.register_buffer("centre", torch.zeros(POOLED))
        self.register_buffer("scale", torch.ones(POOLED))
        self.head = nn.Linear(POOLED, len(EMOTIONS))

    def forward(self, waveforms: Tensor, lengths: Tensor) -> Tensor:
        return self.classify(self.features(self.log_mel(waveforms, lengths), lengths))

    def log_mel(self, waveforms: Tensor, lengths: Tensor) -> Tensor:
        """Log-mel frames (n, frames, 80) of clips brought to the same loudness."""
        return self.encoder.log_mel(same_loudness(waveforms, lengths), lengths)

    def features(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Log-mel frames -> standardised statistics over time, (n, POOLED) float32."""
        depths, mask = self.encoder.contextualise(frames, lengths)
        return (pool(depths, mask) - self.centre) / self.scale

    def classify(self, features: Tensor) -> Tensor:
        return self.head(features)


def same_loudness(waveforms: Tensor, lengths: Tensor) -> Tensor:
    """Waveforms (n, samples) scaled to an RMS of `TARGET_RMS` over their valid samples; the rest becomes zero."""
    inside = torch.arange(waveforms.shape[1], device=waveforms.device)[None, :] < lengths[:, None]
    heard = waveforms * inside
    power = heard.square().sum(dim=1, keepdim=True) / lengths[:, None]
    return heard * TARGET_RMS / power.sqrt().clamp(min=1e-5)


def pool(depths: list[Tensor], mask: Tensor) -> Tensor:
    """Tokens of each depth (n, tokens, width) -> their means and deviations over the mask's tokens, (n, POOLED)."""
    inside = mask[..., None].float()
    count = inside.sum(dim=1)
    statistics = []
    for tokens in depths:
        mean = (tokens.float() * inside).sum(dim=1) / count
        variance = ((tokens.float() - mean[:, None]).square() * inside).sum(dim=1) / count
        statistics += [mean, (variance + 1e-5).sqrt()]
    return torch.cat(statistics, dim=1)


def pretrained(window_seconds: float) -> EmotionModel:
    """Whisper's encoder for clips of `window_seconds` at most, under a head that knows nothing yet."""
    return EmotionModel(load_encoder(bundled_weights(), window_seconds))


def export(model: EmotionModel, path: Path, window_seconds: float) -> None:
    """Write the model to an ONNX file in float32: `waveform` and `lengths` (int64) -> `logits`, any batch size."""
    samples = round(window_seconds * SAMPLE_RATE)
    example = (torch.randn(2, samples) * TARGET_RMS, torch.tensor([samples, samples // 2]))
    program = torch.onnx.export(
        model.eval().cpu(),
        example,
        dynamo=True,
        input_names=["waveform", "lengths"],
        output_names=["logits"],
        dynamic_shapes=({0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}, {0: torch.export.Dim.DYNAMIC}),
        optimize=True,
        verbose=False,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    program.save(str(path), external_data=False)


def quantise(source: Path, target: Path) -> None:
    """Write `source` with the encoder's matrices in int8, a scale a channel and a scale a token.

    Mel filters and head stay in float32. Seven bits are used: processors without VNNI saturate sums of eight-bit
    products. A clip's answer does not depend on its batch or padding.
    """
    keep = [node.name for node in onnx.load(str(source)).graph.node if not _is_encoder_product(node)]
    with TemporaryDirectory() as folder:
        draft = Path(folder) / "draft.onnx"
        quantize_dynamic(
            source,
            draft,
            per_channel=True,
            reduce_range=True,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["MatMul"],
            nodes_to_exclude=keep,
        )
        graph = onnx.load(draft)
    quantise_by_row(graph)
    onnx.save(graph, target)


def _is_encoder_product(node: onnx.NodeProto) -> bool:
    """Whether a node multiplies by an encoder's matrix, which the exporter names apart from what it makes of `@`."""
    return node.op_type == "MatMul" and node.name.startswith("node_MatMul")
