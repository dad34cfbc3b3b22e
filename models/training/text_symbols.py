"""Teaches a trained model what emoji mean, without touching anything else of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from models.training.calibration import macro_recall
from models.training.minilm import MiniLM
from models.training.text_data import bucketed, texts_with_symbols
from models.training.text_tasks import Example, Labelled, examples_of, one_hot
from models.training.text_trainer import multitask_loss, torch_outputs
from service.domain.labels import SENTIMENTS
from service.features.text import pad


class SymbolEmbedding(nn.Module):
    """A fixed table (V, D) with a learnt difference for its rows from `first` on, where the emoji are."""

    def __init__(self, table: Tensor, first: int) -> None:
        super().__init__()
        self.first = first
        self.register_buffer("table", table)
        self.difference = nn.Parameter(torch.zeros_like(table[first - 1 :]))  # its row 0 stays zero: words

    def forward(self, input_ids: Tensor) -> Tensor:
        """(B, T) -> (B, T, D)."""
        rows = (input_ids - self.first + 1).clamp(min=0)
        return self.table[input_ids] + F.embedding(rows, self.difference, padding_idx=0)

    def merged(self) -> Tensor:
        """The table (V, D) with the differences added."""
        table = self.table.clone()
        table[self.first :] += self.difference.detach()[1:]
        return table


def learn_symbols(model: MiniLM, tokenizer: Tokenizer, *, epochs: int = 2, rate: float = 3e-3, seed: int = 7) -> MiniLM:
    """Fit the embeddings of emoji on the few texts that have any; other texts keep their logits to the bit.

    An emoji begins as the mean of the pieces of its name, and one that no text has stays there. The epoch is the
    one with the smallest loss on validation texts with emoji.
    """
    torch.manual_seed(seed)
    examples, validation = (_examples(split, tokenizer, seed) for split in ("train", "val"))
    first = first_symbol(tokenizer)
    table = model.words.weight.detach()
    model.requires_grad_(False)
    model.words = symbols = SymbolEmbedding(table, first)
    optimizer = torch.optim.Adam([symbols.difference], lr=rate)
    (best, recall), kept = _judged(model, validation), symbols.merged()
    tqdm.write(f"emoji, untrained: validation loss {best:.4f}, macro-recall {recall:.4f}")
    for epoch in range(epochs):
        _run_epoch(model, optimizer, examples, seed + epoch)
        loss, recall = _judged(model, validation)
        tqdm.write(f"emoji, epoch {epoch + 1}: validation loss {loss:.4f}, macro-recall {recall:.4f}")
        if loss < best:
            best, kept = loss, symbols.merged()
    model.words = nn.Embedding.from_pretrained(kept)
    return model.eval()


def first_symbol(tokenizer: Tokenizer) -> int:
    """The token from which on the vocabulary holds the emoji that we added."""
    last_word = "##\uff5e"  # the last entry of the pretrained vocabulary
    return tokenizer.token_to_id(last_word) + 1


def _examples(split: str, tokenizer: Tokenizer, seed: int) -> list[Example]:
    sets = [
        [Labelled(text, {"sentiment": one_hot(SENTIMENTS[label], SENTIMENTS)}) for text, label in pairs]
        for pairs in texts_with_symbols(split, seed).values()
    ]
    return [example for rows in sets for example in examples_of(rows, tokenizer)]


def _run_epoch(model: MiniLM, optimizer: torch.optim.Optimizer, examples: Sequence[Example], seed: int) -> None:
    model.train()
    for chosen in tqdm(bucketed([len(example.ids) for example in examples], 64, seed), desc="emoji", mininterval=5):
        batch = [examples[position] for position in chosen]
        arrays = pad([example.ids for example in batch])
        with torch.autocast("cpu", torch.bfloat16):
            outputs = model(torch.from_numpy(arrays.input_ids), torch.from_numpy(arrays.attention_mask))
        multitask_loss({"sentiment": outputs["sentiment"].float()}, batch, smoothing=0.0).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def _judged(model: MiniLM, examples: Sequence[Example]) -> tuple[float, float]:
    """Balanced cross-entropy and macro-recall."""
    outputs = torch_outputs(model, [example.ids for example in examples], torch.device("cpu"))["sentiment"]
    loss = float(multitask_loss({"sentiment": torch.from_numpy(outputs)}, examples, smoothing=0.0))
    labels = np.array([np.argmax(example.targets["sentiment"].values) for example in examples])
    return loss, macro_recall(outputs.argmax(axis=1), labels, len(SENTIMENTS))
