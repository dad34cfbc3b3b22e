"""From a trained network to the file that is shipped: one graph with all heads, in int8."""

from __future__ import annotations

from pathlib import Path

import onnx
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import Tensor, nn

from models.training.minilm import MiniLM, RowwiseEmbedding
from models.training.rowwise import quantise_by_row

OUTPUT_NAMES = {"sentiment": "logits"}
"""What the output of a head is called in the graph, where not as the head is."""


class InTurn(nn.Module):
    """A model that gives the outputs of its heads as a tuple, which is what a graph can give."""

    def __init__(self, model: MiniLM) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, ...]:
        """Both (B, T) -> (B, its outputs) for each head, in their order."""
        return tuple(self.model(input_ids, attention_mask).values())


def export(model: MiniLM, path: Path) -> None:
    """Write the graph (input_ids, attention_mask) -> logits and more, any batch and length, with the table in int8."""
    model.words = RowwiseEmbedding(model.words.weight.detach())
    inputs = ["input_ids", "attention_mask"]
    outputs = [OUTPUT_NAMES.get(head, head) for head in model.heads]
    example = tuple(torch.ones(2, 11, dtype=torch.int64) for _ in inputs)
    axes = {name: {0: "batch", 1: "tokens"} for name in inputs} | {name: {0: "batch"} for name in outputs}
    torch.onnx.export(
        InTurn(model).eval(),
        example,
        str(path),
        input_names=inputs,
        output_names=outputs,
        dynamic_axes=axes,
        opset_version=18,
        dynamo=False,
    )


def quantise(source: Path, target: Path) -> None:
    """Int8 of every MatMul with constant weights, a scale a channel and a scale a token; the heads stay as they are.

    Seven-bit weights, since processors without VNNI add pairs of products in 16 bits, which eight bits overflow.
    """
    quantize_dynamic(
        source,
        target,
        op_types_to_quantize=["MatMul"],
        per_channel=True,
        reduce_range=True,
        weight_type=QuantType.QInt8,
    )
    graph = onnx.load(target)
    quantise_by_row(graph)
    onnx.save(graph, target)


@torch.no_grad()
def expect(model: MiniLM, head: str, prior: tuple[float, ...]) -> None:
    """Let a head expect classes as often as `prior` says instead of equally often (Menon et al. 2021)."""
    model.heads[head].bias += torch.tensor(prior).log()
