"""Fine-tunes MiniLM: balanced loss, a lower rate for lower layers, a running average, and checkpoints to go on from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from models.training.calibration import macro_recall
from models.training.minilm import LAYERS, MiniLM, pretrained, source_folder
from models.training.text_data import Example, bucketed, tokenised, training_examples, tweets
from service.domain.labels import SENTIMENTS
from service.features.text import MAX_TOKENS, pad

CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True)
class Recipe:
    """How the model is trained; `check_every` counts steps."""

    epochs: float = 1.7
    batch_size: int = 32
    learning_rate: float = 1e-4
    layer_decay: float = 0.9
    warm_up: float = 0.06
    weight_decay: float = 0.01
    label_smoothing: float = 0.05
    average_decay: float = 0.999
    extra_weight: float = 0.5
    check_every: int = 400
    seed: int = 7


class Trainer:
    """The model, its running average and its optimisers; all of it goes into a checkpoint."""

    def __init__(self, model: MiniLM, recipe: Recipe, steps: int, device: torch.device) -> None:
        self.model, self.recipe, self.steps, self.device = model.to(device), recipe, steps, device
        self.average = {name: value.detach().clone() for name, value in model.state_dict().items()}
        self.optimizer = torch.optim.AdamW(layer_groups(model, recipe), fused=True)
        # Few rows of the table occur in a batch: a dense update would cost as much as the rest of the step.
        table_rate = recipe.learning_rate * recipe.layer_decay ** (LAYERS + 1)
        self.table_optimizer = torch.optim.SparseAdam([model.words.weight], lr=table_rate)
        self.rates = [[group["lr"] for group in optimizer.param_groups] for optimizer in self.optimizers]
        self.step, self.best, self.best_average = 0, 0.0, {}

    @property
    def optimizers(self) -> tuple[torch.optim.Optimizer, torch.optim.Optimizer]:
        """Of the layers and of the embedding table."""
        return self.optimizer, self.table_optimizer

    def learn(self, examples: Sequence[Example]) -> float:
        """One step on a batch; its loss."""
        self._set_rates()
        batch = pad([example.ids for example in examples])
        ids, mask = (torch.from_numpy(array).to(self.device) for array in (batch.input_ids, batch.attention_mask))
        with torch.autocast(self.device.type, torch.bfloat16):
            logits = self.model(ids, mask)
        loss = balanced_loss(logits.float(), examples, self.recipe.label_smoothing)
        loss.backward()
        nn.utils.clip_grad_norm_([p for group in self.optimizer.param_groups for p in group["params"]], 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.step += 1
        self._follow()
        return float(loss.detach())

    def _set_rates(self) -> None:
        factor = schedule(self.step, self.steps, self.recipe.warm_up)
        for optimizer, rates in zip(self.optimizers, self.rates, strict=True):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * factor

    @torch.no_grad()
    def _follow(self, every: int = 10) -> None:
        """Move the average towards the model; ten steps at once, since the table is large."""
        if self.step % every:
            return
        decay = min(self.recipe.average_decay, (1 + self.step) / (10 + self.step)) ** every
        for name, value in self.model.state_dict().items():
            self.average[name].lerp_(value, 1 - decay)

    def keep_if_better(self, score: float) -> None:
        """Remember the average as the best if `score`, measured on validation data, says so."""
        if score > self.best:
            self.best, self.best_average = score, {name: value.clone() for name, value in self.average.items()}

    def save(self, path: Path) -> None:
        """Write a checkpoint, whole or not at all."""
        state = {
            "model": self.model.state_dict(),
            "average": self.average,
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "progress": (self.step, self.best, self.best_average),
            "random": torch.get_rng_state(),
        }
        torch.save(state, path.with_suffix(".part"))
        path.with_suffix(".part").replace(path)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint."""
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.average = state["average"]
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.step, self.best, self.best_average = state["progress"]
        torch.set_rng_state(state["random"].cpu())


def layer_groups(model: MiniLM, recipe: Recipe) -> list[dict[str, Any]]:
    """Parameter groups whose learning rate falls from the head down to the embeddings."""
    depths = {f"blocks.{number}.": LAYERS - number for number in range(LAYERS)} | {"head.": 0}
    groups = []
    for name, parameter in model.named_parameters():
        if parameter is model.words.weight:
            continue
        depth = next((depth for prefix, depth in depths.items() if name.startswith(prefix)), LAYERS + 1)
        rate = recipe.learning_rate * recipe.layer_decay**depth * (1 if depth else 5)
        decay = recipe.weight_decay if parameter.ndim > 1 else 0.0
        groups.append({"params": [parameter], "lr": rate, "weight_decay": decay})
    return groups


def schedule(step: int, steps: int, warm_up: float) -> float:
    """The share of the learning rate at a step: up in a line, then down along a cosine."""
    rise = max(1, int(steps * warm_up))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))


def balanced_loss(logits: Tensor, examples: Sequence[Example], smoothing: float) -> Tensor:
    """Cross-entropy of logits (B, 3) adjusted by the log prior of each text's set (Menon et al. 2021).

    What the network learns is then right for classes that are equally frequent, which macro-recall asks for.
    """
    labels, weights = (torch.tensor([getattr(e, name) for e in examples]) for name in ("label", "weight"))
    priors = torch.tensor([example.prior for example in examples])
    labels, weights, priors = (tensor.to(logits.device) for tensor in (labels, weights, priors))
    losses = F.cross_entropy(logits + priors.log(), labels, reduction="none", label_smoothing=smoothing)
    return (losses * weights).sum() / weights.sum()


@torch.no_grad()
def torch_logits(model: MiniLM, token_ids: Sequence[Sequence[int]], device: torch.device) -> np.ndarray:
    """Logits (n, 3) of tokenised texts, in batches of about the same length."""
    model.eval()
    order = sorted(range(len(token_ids)), key=lambda position: len(token_ids[position]))
    logits = np.zeros((len(order), len(SENTIMENTS)), dtype=np.float32)
    for start in range(0, len(order), 64):
        chosen = order[start : start + 64]
        batch = pad([token_ids[position] for position in chosen])
        ids, mask = (torch.from_numpy(array).to(device) for array in (batch.input_ids, batch.attention_mask))
        with torch.autocast(device.type, torch.bfloat16):
            logits[chosen] = model(ids, mask).float().cpu().numpy()
    model.train()
    return logits


def train(work: Path, tokenizer: Tokenizer, recipe: Recipe, device: torch.device) -> None:
    """Train, or go on from the checkpoint in `work`, and leave the finished one there."""
    torch.manual_seed(recipe.seed)
    examples = training_examples(tokenizer, recipe.extra_weight, recipe.seed)
    validation = tokenised(tweets("val"), tokenizer)
    batches_an_epoch = math.ceil(len(examples) / recipe.batch_size)
    model = pretrained(tokenizer, MAX_TOKENS, len(SENTIMENTS), source_folder())
    trainer = Trainer(model, recipe, round(recipe.epochs * batches_an_epoch), device)
    checkpoint = work / CHECKPOINT
    if checkpoint.exists():
        trainer.load(checkpoint)
    for epoch in range(trainer.step // batches_an_epoch, math.ceil(recipe.epochs)):
        batches = bucketed(examples, recipe.batch_size, recipe.seed + epoch)
        batches = batches[: trainer.steps - epoch * batches_an_epoch]
        _run_epoch(trainer, examples, batches, validation, checkpoint, title=f"epoch {epoch + 1}/{recipe.epochs}")


def best_model(work: Path, tokenizer: Tokenizer) -> MiniLM:
    """The average of the checkpoint in `work` that did best on validation data."""
    model = MiniLM(tokenizer.get_vocab_size(), MAX_TOKENS, len(SENTIMENTS))
    _, _, weights = torch.load(work / CHECKPOINT, map_location="cpu", weights_only=True)["progress"]
    model.load_state_dict(weights)
    return model.eval()


def _run_epoch(
    trainer: Trainer,
    examples: Sequence[Example],
    batches: Sequence[Sequence[int]],
    validation: tuple[list[list[int]], np.ndarray],
    checkpoint: Path,
    *,
    title: str,
) -> None:
    done = trainer.step % math.ceil(len(examples) / trainer.recipe.batch_size)
    bar = tqdm(batches[done:], desc=title, initial=done, total=len(batches), mininterval=5)
    smooth = 1.0
    for number, chosen in enumerate(bar, done + 1):
        smooth += 0.02 * (trainer.learn([examples[position] for position in chosen]) - smooth)
        bar.set_postfix(loss=f"{smooth:.3f}", best=f"{trainer.best:.4f}", refresh=False)
        if number % trainer.recipe.check_every == 0 or number == len(batches):
            score = _validate(trainer, validation)
            tqdm.write(f"step {trainer.step}: loss {smooth:.3f}, validation macro-recall {score:.4f}")
            trainer.keep_if_better(score)
            trainer.save(checkpoint)


def _validate(trainer: Trainer, validation: tuple[list[list[int]], np.ndarray]) -> float:
    """Macro-recall of the average on validation data."""
    token_ids, labels = validation
    current = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    trainer.model.load_state_dict(trainer.average)
    logits = torch_logits(trainer.model, token_ids, trainer.device)
    trainer.model.load_state_dict(current)
    return macro_recall(logits.argmax(axis=1), labels, len(SENTIMENTS))
