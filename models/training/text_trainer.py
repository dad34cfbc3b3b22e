"""Fine-tunes MiniLM on all tasks at once: balanced losses, a lower rate for lower layers, a running average.

A step takes a batch from all sets together; each text teaches the heads that it has labels for. A run goes on from
its checkpoint.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from models.training.minilm import LAYERS, MiniLM, pretrained, source_folder
from models.training.text_data import bucketed
from models.training.text_groups import COLUMNS, ROWS, swapped_sentences, unevenness
from models.training.text_metrics import overall, validation_scores
from models.training.text_tasks import (
    CLASSES,
    OUTPUTS,
    VALENCE_SPREAD,
    Example,
    Labelled,
    Target,
    drawn,
    labelled_sets,
    token_ids,
    training_sets,
)
from service.features.text import MAX_TOKENS, Batch, encode, pad

CHECKPOINT = "checkpoint.pt"
VALIDATION_TEXTS = 2000
"""So many texts of each set are read at the most when a checkpoint is judged while training."""


@dataclass(frozen=True)
class Recipe:
    """How the model is trained; `check_every`, `save_every` and `swap_every` count steps."""

    epochs: float = 3.0
    batch_size: int = 64
    learning_rate: float = 1e-4
    layer_decay: float = 0.9
    warm_up: float = 0.06
    weight_decay: float = 0.01
    label_smoothing: float = 0.05
    average_decay: float = 0.999
    swap_every: int = 8
    swap_weight: float = 2.0
    check_every: int = 400
    save_every: int = 100
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

    def learn(self, examples: Sequence[Example], swaps: Batch | None = None) -> float:
        """One step on a batch, and on sentences that should be answered alike; the loss of the batch alone."""
        self._set_rates()
        outputs = self._outputs(pad([example.ids for example in examples]))
        loss = multitask_loss(outputs, examples, self.recipe.label_smoothing)
        loss.backward()
        if swaps is not None:
            logits = self._outputs(swaps)["sentiment"].view(ROWS, COLUMNS, -1)
            (self.recipe.swap_weight * unevenness(logits)).backward()
        nn.utils.clip_grad_norm_([p for group in self.optimizer.param_groups for p in group["params"]], 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.step += 1
        self._follow()
        return float(loss.detach())

    def _outputs(self, batch: Batch) -> dict[str, Tensor]:
        ids, mask = (torch.from_numpy(array).to(self.device) for array in (batch.input_ids, batch.attention_mask))
        with torch.autocast(self.device.type, torch.bfloat16):
            outputs = self.model(ids, mask)
        return {name: values.float() for name, values in outputs.items()}

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
    depths = {f"blocks.{number}.": LAYERS - number for number in range(LAYERS)} | {"heads.": 0}
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


def multitask_loss(outputs: Mapping[str, Tensor], examples: Sequence[Example], smoothing: float) -> Tensor:
    """The mean loss of all targets in a batch, by their weights; `outputs` holds (B, its outputs) for each head."""
    losses, weights = [], []
    for head, values in outputs.items():
        rows = [number for number, example in enumerate(examples) if head in example.targets]
        if not rows:
            continue
        targets = [examples[number].targets[head] for number in rows]
        losses.append(_losses(head, values[rows], targets, smoothing))
        weights.append(torch.tensor([target.weight for target in targets], device=values.device))
    whole = torch.cat(weights)
    return (torch.cat(losses) * whole).sum() / whole.sum()


def _losses(head: str, outputs: Tensor, targets: Sequence[Target], smoothing: float) -> Tensor:
    """The loss (n,) of each target: squared error of a number, balanced cross-entropy of a distribution."""
    wanted = torch.tensor([target.values for target in targets], device=outputs.device)
    if head not in CLASSES:
        return ((outputs - wanted) / VALENCE_SPREAD).square().sum(dim=1) / 2
    return balanced_losses(outputs, wanted, torch.tensor([t.prior for t in targets], device=outputs.device), smoothing)


def balanced_losses(logits: Tensor, wanted: Tensor, priors: Tensor, smoothing: float) -> Tensor:
    """Cross-entropies (n,) of logits adjusted by the log prior of each text's set (Menon et al. 2021); all (n, k).

    What the network learns is then right for classes that are equally frequent, which macro-recall asks for. A class
    that a set does not have is hardly judged on its texts.
    """
    smooth = wanted * (1 - smoothing) + priors * smoothing
    return F.cross_entropy(logits + priors.log(), smooth, reduction="none")


@torch.no_grad()
def torch_outputs(model: MiniLM, tokens: Sequence[Sequence[int]], device: torch.device) -> dict[str, np.ndarray]:
    """What each head says (n, its outputs) of tokenised texts, in batches of about the same length."""
    model.eval()
    order = sorted(range(len(tokens)), key=lambda position: len(tokens[position]))
    found: dict[str, np.ndarray] = {}
    for start in range(0, len(order), 64):
        chosen = order[start : start + 64]
        batch = pad([tokens[position] for position in chosen])
        ids, mask = (torch.from_numpy(array).to(device) for array in (batch.input_ids, batch.attention_mask))
        with torch.autocast(device.type, torch.bfloat16):
            outputs = model(ids, mask)
        for name, values in outputs.items():
            rows = found.setdefault(name, np.zeros((len(order), values.shape[1]), dtype=np.float32))
            rows[chosen] = values.float().cpu().numpy()
    model.train()
    return found


@dataclass(frozen=True)
class Validation:
    """Texts of the validation split by set, with their tokens."""

    rows: Mapping[str, Sequence[Labelled]]
    tokens: Mapping[str, Sequence[Sequence[int]]]

    @classmethod
    def read(cls, tokenizer: Tokenizer, limit: int = VALIDATION_TEXTS) -> Validation:
        """The first `limit` texts of each set; what is longer than a window is cut."""
        rows = {name: found[:limit] for name, found in labelled_sets("val").items()}
        tokens = {name: [ids[:MAX_TOKENS] for ids in token_ids(found, tokenizer)] for name, found in rows.items()}
        return cls(rows, tokens)

    def scores(self, model: MiniLM, device: torch.device) -> dict[str, float]:
        """What `validation_scores` says of a model."""
        outputs = {name: torch_outputs(model, tokens, device) for name, tokens in self.tokens.items() if tokens}
        return validation_scores(outputs, self.rows)


@dataclass(frozen=True)
class Surroundings:
    """What a run needs beside the trainer."""

    tokenizer: Tokenizer
    validation: Validation
    checkpoint: Path


def train(work: Path, tokenizer: Tokenizer, recipe: Recipe, device: torch.device, start: Path | None = None) -> None:
    """Train, or go on from the checkpoint in `work`, and leave the finished one there.

    `start` names the weights that a run begins with (`encoder.pt` of an earlier one) instead of the pretrained ones;
    heads that it lacks are new.
    """
    torch.manual_seed(recipe.seed)
    sets, validation = training_sets(tokenizer), Validation.read(tokenizer)
    a_step = recipe.batch_size
    steps_an_epoch = math.ceil(len(drawn(sets, recipe.seed)) / a_step)
    model = pretrained(tokenizer, MAX_TOKENS, OUTPUTS, source_folder())
    if start is not None:
        model.load_state_dict(torch.load(start, map_location="cpu", weights_only=True), strict=False)
    trainer = Trainer(model, recipe, round(recipe.epochs * steps_an_epoch), device)
    surroundings = Surroundings(tokenizer, validation, work / CHECKPOINT)
    if surroundings.checkpoint.exists():
        trainer.load(surroundings.checkpoint)
    for epoch in range(trainer.step // steps_an_epoch, math.ceil(recipe.epochs)):
        examples = drawn(sets, recipe.seed + epoch)
        batches = bucketed([len(example.ids) for example in examples], a_step, recipe.seed + epoch)
        course = [[examples[position] for position in batch] for batch in batches]
        first = epoch * steps_an_epoch
        _run(trainer, course[: trainer.steps - first], first, surroundings)


def best_model(work: Path, tokenizer: Tokenizer) -> MiniLM:
    """The average of the checkpoint in `work` that did best on validation data."""
    model = MiniLM(tokenizer, MAX_TOKENS, OUTPUTS)
    _, _, weights = torch.load(work / CHECKPOINT, map_location="cpu", weights_only=True)["progress"]
    model.load_state_dict(weights)
    return model.eval()


def _run(trainer: Trainer, course: Sequence[Sequence[Example]], first: int, around: Surroundings) -> None:
    """The batches of one epoch, whose first step is `first`, from the step that the trainer is at."""
    recipe, smooth = trainer.recipe, 1.0
    bar = tqdm(course[trainer.step - first :], initial=trainer.step, total=trainer.steps, mininterval=10)
    for batch in bar:
        swaps = None if trainer.step % recipe.swap_every else _swaps(recipe.seed + trainer.step, around.tokenizer)
        smooth += 0.02 * (trainer.learn(batch, swaps) - smooth)
        bar.set_postfix(loss=f"{smooth:.3f}", best=f"{trainer.best:.4f}", refresh=False)
        if trainer.step % recipe.check_every == 0 or trainer.step == trainer.steps:
            scores = _validate(trainer, around.validation)
            told = " ".join(f"{name} {score:.4f}" for name, score in scores.items())
            tqdm.write(f"step {trainer.step}: loss {smooth:.3f}, overall {overall(scores):.4f}: {told}")
            trainer.keep_if_better(overall(scores))
        if trainer.step % recipe.save_every == 0 or trainer.step == trainer.steps:
            trainer.save(around.checkpoint)


def _swaps(seed: int, tokenizer: Tokenizer) -> Batch:
    sentences = swapped_sentences(random.Random(seed))
    return encode([text for texts in sentences for text in texts], tokenizer)


def _validate(trainer: Trainer, validation: Validation) -> dict[str, float]:
    """The scores of the average on validation data."""
    current = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    trainer.model.load_state_dict(trainer.average)
    scores = validation.scores(trainer.model, trainer.device)
    trainer.model.load_state_dict(current)
    return scores
