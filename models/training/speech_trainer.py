"""Two stages of learning: a linear head on the frozen encoder and, if asked for, the upper layers, with care."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import LBFGS, AdamW
from torch.optim.lr_scheduler import LambdaLR
from tqdm import tqdm

from models.training.calibration import fit_temperature, macro_recall, softmax
from models.training.speech_clips import Batch, Clip, absent, batches
from models.training.speech_model import EMOTIONS, POOLED, EmotionModel
from models.training.whisper import LAYERS, SAMPLE_RATE


@dataclass(frozen=True)
class Recipe:
    """Every choice of a training run; made on validation speakers."""

    window_seconds: float = 4.0
    hop_seconds: float = 2.0
    seed: int = 7
    corpus_weights: dict[str, float] = field(default_factory=lambda: {"ravdess": 1.0, "nemo": 0.5, "urdu": 0.5})
    views: int = 2
    penalties: tuple[float, ...] = (0.01, 0.03, 0.1)
    dropout: float = 0.3
    epochs: int = 0
    frozen_layers: int = 2
    batch_size: int = 16
    rate: float = 2e-5
    rate_decay: float = 0.6
    weight_decay: float = 0.05
    averaging: float = 0.995
    mixup: float = 0.3

    @property
    def longest(self) -> int:
        """A window's samples."""
        return round(self.window_seconds * SAMPLE_RATE)


def precision(device: torch.device) -> torch.autocast:
    """bfloat16 where the processor multiplies it: three times as fast as float32 on AVX-512, with the same features."""
    fast = device.type == "cuda" or torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.autocast(device.type, torch.bfloat16, enabled=fast)


def frozen_features(model: EmotionModel, clips: Sequence[Clip], view: int, recipe: Recipe, kept: Path) -> Tensor:
    """The statistics (n, POOLED) of clips as they are (view 0) or disturbed (1, 2, ...), kept in a file."""
    if not kept.exists():
        rng = np.random.default_rng([recipe.seed, view]) if view else None
        features = np.zeros((len(clips), POOLED), np.float32)
        parts = batches(clips, recipe.batch_size, rng, recipe.longest)
        total = -(-len(clips) // recipe.batch_size)
        device = model.head.weight.device
        for group, batch in tqdm(parts, f"features, view {view}", total, unit="batch"):
            features[group] = _features(model, batch.to(device)).cpu().numpy()
        np.save(kept, features)
    return torch.from_numpy(np.load(kept))


@torch.no_grad()
def _features(model: EmotionModel, batch: Batch) -> Tensor:
    frames = model.log_mel(batch.waveforms, batch.lengths)
    with precision(frames.device):
        return model.features(frames, batch.lengths).float()


@dataclass(frozen=True)
class Rows:
    """Features (n, POOLED) of clips, with what their loss needs: emotions (n,), absent (n, 8), weights (n,)."""

    features: Tensor
    emotions: Tensor
    absent: Tensor
    weights: Tensor

    def loss(self, head: nn.Linear) -> Tensor:
        """The weighted cross-entropy of a head."""
        losses = functional.cross_entropy(head(self.features) + self.absent, self.emotions, reduction="none")
        return (losses * self.weights).sum() / self.weights.sum()


def rows_of(clips: Sequence[Clip], views: Sequence[Tensor], recipe: Recipe) -> Rows:
    """Several views of the same clips, below each other."""
    emotions = torch.tensor([clip.emotion for clip in clips])
    masks = torch.stack([absent(clip.corpus) for clip in clips])
    weights = torch.tensor([recipe.corpus_weights[clip.corpus] for clip in clips])
    times = len(views)
    return Rows(torch.cat(list(views)), emotions.repeat(times), masks.repeat(times, 1), weights.repeat(times))


def fit_head(model: EmotionModel, train: Rows, val: Rows, recipe: Recipe) -> None:
    """Give the model a linear head: multinomial logistic regression, its penalty chosen on validation clips."""
    centre, scale = train.features.mean(dim=0), train.features.std(dim=0) + 1e-3
    train, val = (replace(rows, features=(rows.features - centre) / scale) for rows in (train, val))
    heads = {penalty: _logistic(train, penalty) for penalty in tqdm(recipe.penalties, "heads")}
    with torch.no_grad():
        losses = {penalty: val.loss(head).item() for penalty, head in heads.items()}
    best = min(losses, key=losses.__getitem__)
    tqdm.write(f"validation loss by penalty: {losses}")
    model.centre.copy_(centre)
    model.scale.copy_(scale)
    model.head.load_state_dict(heads[best].state_dict())


def _logistic(rows: Rows, penalty: float) -> nn.Linear:
    """The head with the smallest loss plus `penalty` / 2 times its squared weights, by L-BFGS from zero."""
    head = nn.Linear(POOLED, len(EMOTIONS))
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    optimiser = LBFGS(head.parameters(), max_iter=150, line_search_fn="strong_wolfe")

    def objective() -> Tensor:
        optimiser.zero_grad()
        loss = rows.loss(head) + penalty / 2 * head.weight.square().sum()
        loss.backward()
        return loss

    optimiser.step(objective)
    return head


@dataclass(frozen=True)
class Standing:
    """How a model does on validation speakers of a corpus, on clips as wholes."""

    recall: float
    cross_entropy: float

    def __str__(self) -> str:
        return f"UAR {self.recall:.3f}, cross-entropy {self.cross_entropy:.3f}"


def clip_logits(model: EmotionModel, clips: Sequence[Clip], recipe: Recipe) -> NDArray[np.float64]:
    """Logits (n, 8) of whole clips, emotions that their corpus does not know at `ABSENT`."""
    logits = np.zeros((len(clips), len(EMOTIONS)))
    device = model.head.weight.device
    for group, batch in batches(clips, 32, None, recipe.longest):
        with torch.no_grad():
            scores = model.classify(_features(model, batch.to(device)))
        logits[group] = scores.cpu().numpy() + batch.absent.numpy()
    return logits


def standing(model: EmotionModel, clips: Sequence[Clip], recipe: Recipe) -> Standing:
    """Recall, and cross-entropy at the temperature that suits these clips best."""
    logits = clip_logits(model.eval(), clips, recipe)
    emotions = np.array([clip.emotion for clip in clips])
    probabilities = softmax(logits, fit_temperature(logits, emotions))
    cross_entropy = -np.log(probabilities[np.arange(len(emotions)), emotions]).mean()
    return Standing(macro_recall(logits.argmax(axis=1), emotions, len(EMOTIONS)), float(cross_entropy))


class Tuning:
    """Fine-tuning of head and upper layers; every epoch is kept in `work`, so that a run that stopped goes on.

    Off by default: at every rate that was tried (8e-5 to 2e-5, the head moving or not) cross-entropy on validation
    actors rose from the second epoch on, and fell in the first by little more than noise if at all.

    Weights are averaged exponentially, and the average of the epoch with the smallest cross-entropy on RAVDESS's
    validation actors is `best`: a finer measure than recall on 180 clips.
    """

    def __init__(self, model: EmotionModel, clips: Sequence[Clip], recipe: Recipe, work: Path) -> None:
        self.model, self.recipe = model, recipe
        self.train = [clip for clip in clips if clip.split == "train"]
        self.val = [clip for clip in clips if clip.split == "val" and clip.corpus == "ravdess"]
        self.average = copy.deepcopy(model)
        self.best, self.best_standing = copy.deepcopy(model.state_dict()), standing(model, self.val, recipe)
        self.epoch = 0
        self.optimiser = AdamW(_rates(model, recipe), weight_decay=recipe.weight_decay)
        steps = recipe.epochs * -(-len(self._share(0)) // recipe.batch_size)
        self.schedule = LambdaLR(self.optimiser, lambda step: _warm_then_cool(step, steps))
        self.kept = work / "tuning.pt"
        if self.kept.exists():
            self._resume()

    def run(self) -> None:
        """Train the epochs that are left; the model then has the best weights."""
        while self.epoch < self.recipe.epochs:
            self.run_epoch()
        self.model.load_state_dict(self.best)

    def run_epoch(self) -> None:
        """Train one epoch, see how the average of the weights stands, and keep both."""
        self._train_epoch(self.epoch)
        now = standing(self.average, self.val, self.recipe)
        if now.cross_entropy < self.best_standing.cross_entropy:
            self.best, self.best_standing = copy.deepcopy(self.average.state_dict()), now
        self.epoch += 1
        tqdm.write(f"epoch {self.epoch}: {now}; best: {self.best_standing}")
        self._keep()

    def _share(self, epoch: int) -> list[Clip]:
        """What an epoch hears: of each corpus the share that is its weight, others in another epoch."""
        rng = np.random.default_rng([self.recipe.seed, 2000 + epoch])
        clips = []
        for corpus, weight in self.recipe.corpus_weights.items():
            own = [clip for clip in self.train if clip.corpus == corpus]
            clips += [own[index] for index in rng.permutation(len(own))[: round(weight * len(own))]]
        return clips

    def _train_epoch(self, epoch: int) -> None:
        rng = np.random.default_rng([self.recipe.seed, 1000 + epoch])
        torch.manual_seed(self.recipe.seed + epoch)
        device = self.model.head.weight.device
        clips = self._share(epoch)
        parts = batches(clips, self.recipe.batch_size, rng, self.recipe.longest)
        total = -(-len(clips) // self.recipe.batch_size)
        self.model.train()
        for _, batch in (bar := tqdm(parts, f"epoch {epoch + 1}", total, unit="batch")):
            loss = self._loss(batch.to(device), rng)
            self.optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimiser.step()
            self.schedule.step()
            self._average()
            bar.set_postfix(loss=f"{loss.item():.3f}")

    def _loss(self, batch: Batch, rng: np.random.Generator) -> Tensor:
        """Cross-entropy of pairs of clips mixed where they are pooled (manifold mixup, Verma et al. 2019)."""
        frames = mask_spectrogram(self.model.log_mel(batch.waveforms, batch.lengths), rng)
        with precision(frames.device):
            features = self.model.features(frames, batch.lengths)
        features = functional.dropout(features.float(), self.recipe.dropout)
        share = rng.beta(self.recipe.mixup, self.recipe.mixup)
        other = torch.randperm(len(features), device=features.device)
        logits = self.model.classify(share * features + (1 - share) * features[other])
        own = functional.cross_entropy(logits + batch.absent, batch.emotions)
        foreign = functional.cross_entropy(logits + batch.absent[other], batch.emotions[other])
        return share * own + (1 - share) * foreign

    @torch.no_grad()
    def _average(self) -> None:
        for mean, now in zip(self.average.parameters(), self.model.parameters(), strict=True):
            mean.lerp_(now, 1 - self.recipe.averaging)

    def _keep(self) -> None:
        state = {name: getattr(self, name).state_dict() for name in ("model", "average", "optimiser", "schedule")}
        state |= {"best": self.best, "standing": self.best_standing, "epoch": self.epoch}
        torch.save(state, self.kept.with_suffix(".part"))
        self.kept.with_suffix(".part").replace(self.kept)

    def _resume(self) -> None:
        state = torch.load(self.kept, weights_only=False)
        for name in ("model", "average", "optimiser", "schedule"):
            getattr(self, name).load_state_dict(state[name])
        self.best, self.best_standing, self.epoch = state["best"], state["standing"], state["epoch"]


def _rates(model: EmotionModel, recipe: Recipe) -> list[dict]:
    """Parameter groups: the deeper a layer lies, the less it moves, the deepest not at all; the head as the last."""
    layers = list(model.encoder.layers)
    model.encoder.stem.requires_grad_(False)
    for layer in layers[: recipe.frozen_layers]:
        layer.requires_grad_(False)
    groups = [(model.head, 0), (model.encoder.norm, 0)]
    groups += [(layer, LAYERS - 1 - depth) for depth, layer in enumerate(layers) if depth >= recipe.frozen_layers]
    return [
        {"params": list(module.parameters()), "lr": recipe.rate * recipe.rate_decay**distance}
        for module, distance in groups
    ]


def _warm_then_cool(step: int, steps: int) -> float:
    """A tenth of the steps up, then a cosine down to 2 %."""
    warm = max(1, steps // 10)
    if step < warm:
        return (step + 1) / warm
    return 0.02 + 0.98 * (0.5 + 0.5 * np.cos(np.pi * min(1.0, (step - warm) / (steps - warm))))


def mask_spectrogram(frames: Tensor, rng: np.random.Generator) -> Tensor:
    """Frames (n, frames, 80) with up to 16 bins and a tenth of the time hidden (SpecAugment, Park et al. 2019)."""
    n, length, bins = frames.shape
    hidden = torch.zeros(frames.shape, dtype=torch.bool)
    for row in range(n):
        for _ in range(2):
            low, height = rng.integers(0, bins), rng.integers(0, 9)
            hidden[row, :, low : low + height] = True
        start, width = rng.integers(0, length), rng.integers(0, length // 10 + 1)
        hidden[row, start : start + width] = True
    return frames.masked_fill(hidden.to(frames.device), 0.0)
