"""Trains, exports, calibrates, measures and publishes the face emotion model: `python -m models.training.face`.

A small residual network learns the distribution of ten people's votes on FER+ pictures (Barsoum et al. 2016), cut out
as serving cuts out a face: five landmarks, then `align`. The landmarks are a teacher's, and jittered, because serving
finds them with another detector. One resumable run has one or more cosine cycles (Loshchilov & Hutter 2017); a run with
`--cycles 10 18` goes on where one with `--cycles 10` ended.
"""

from __future__ import annotations

import argparse
import copy
import datetime
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import cv2
import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from models.registry import FOLDER
from models.training.calibration import ece, fit_temperature, softmax
from models.training.face_augment import Variation, varied_crops
from models.training.face_data import EMOTIONS, Faces, coarse_faces, ferplus
from models.training.face_network import FaceNetwork, export_onnx
from models.training.publish import publish
from service.domain.labels import EMOTION_SENTIMENT

NAME = "face-emotion"
VERSION = "1.0.0"
WEIGHTS = "weights/face-emotion.onnx"
SENTIMENT_OF = np.array([EMOTION_SENTIMENT[emotion] for emotion in EMOTIONS])
WITHOUT_SENTIMENT = EMOTIONS.index("surprised")
"""A surprised face tells next to nothing about the sentiment, so that those rows can't be right or wrong about it."""

LIMITS = (
    "Trained on pictures found on the web before 2013, many of them posed; culture and age are not balanced.",
    "Contempt, disgust and fear are rare in training: expect few and uncertain answers.",
    "Turned, covered, blurred or very small faces (under about 24 pixels) are read much less well.",
    "An expression is not a feeling: the model says how a face looks to people, not what a person feels.",
    "reliability is the accuracy of the derived three-way sentiment on FER+ validation rows other than surprise.",
    "For research: no licence is stated for the FER2013 pictures.",
)


@dataclass(frozen=True)
class Recipe:
    """What decides a training run, apart from how long it lasts."""

    seed: int = 7
    size: int = 48
    stem: int = 24
    widths: tuple[int, ...] = (32, 64, 128)
    depths: tuple[int, ...] = (1, 2, 2)
    dropout: float = 0.3
    batch: int = 128
    learning_rate: float = 0.1
    weight_decay: float = 5e-4
    average_decay: float = 0.998
    balance: float = 0.2
    mixup: float = 0.2
    coarse_share: float = 0.0

    def network(self) -> FaceNetwork:
        """The network with fresh weights."""
        return FaceNetwork(len(EMOTIONS), self.stem, self.widths, self.depths, self.dropout)


@dataclass
class Run:
    """A training run as it stands; all of it is in its checkpoint."""

    network: FaceNetwork
    average: AveragedModel
    optimiser: torch.optim.Optimizer
    epoch: int = 0
    best: dict[str, Any] | None = None


def main(arguments: Sequence[str] | None = None) -> None:
    """Do everything, from the pictures to the registry's entry."""
    options = parse(arguments)
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(1)
    recipe = Recipe(**{field.name: getattr(options, field.name) for field in fields(Recipe)})
    work: Path = options.work
    network = trained(recipe, options.cycles, work, device_named(options.device))
    export_onnx(network, FOLDER / WEIGHTS, recipe.size)
    values = evaluation(recipe, work)
    print(report(values))
    if not options.no_publish:
        publish(NAME, file=WEIGHTS, **values)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line: one option for each field of `Recipe`, and how and how long to run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("build/train-face"), help="caches and checkpoints")
    parser.add_argument("--cycles", type=int, nargs="+", default=[10, 18, 10, 10, 12], help="epochs of each cycle")
    parser.add_argument("--device", default="auto", help="cpu, cuda or auto")
    parser.add_argument("--threads", type=int, default=1, help="threads of the CPU")
    parser.add_argument("--no-publish", action="store_true", help="leave the registry as it is")
    for field in fields(Recipe):
        kind, many = (int, "+") if isinstance(field.default, tuple) else (type(field.default), None)
        flag = f"--{field.name.replace('_', '-')}"
        parser.add_argument(flag, type=kind, default=field.default, nargs=many)  # type: ignore[arg-type]
    options = parser.parse_args(arguments)
    options.widths, options.depths = tuple(options.widths), tuple(options.depths)
    return options


def device_named(name: str) -> torch.device:
    """The device, a GPU for `auto` where there is one."""
    return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)


def trained(recipe: Recipe, cycles: Sequence[int], work: Path, device: torch.device) -> FaceNetwork:
    """Train until the cycles are over; the averaged weights of the epoch with the best validation accuracy."""
    faces, validation = training_faces(recipe, work), ferplus("val", work)
    run = begin(recipe, device)
    checkpoint = work / "checkpoint.pt"
    resume(run, checkpoint, recipe)
    for epoch in range(run.epoch, sum(cycles)):
        train_epoch(run, faces, recipe, cycles, device)
        scores = validate(run.average.module, validation, recipe, device)
        print(f"epoch {epoch + 1}/{sum(cycles)}: " + ", ".join(f"{key} {value:.4f}" for key, value in scores.items()))
        if run.best is None or scores["accuracy"] >= run.best["accuracy"]:
            run.best = {**scores, "epoch": epoch + 1, "weights": copy.deepcopy(run.average.module.state_dict())}
        run.epoch = epoch + 1
        save(run, checkpoint, recipe)
    if run.best is None:
        raise ValueError("No epoch was trained.")
    network = recipe.network()
    network.load_state_dict(run.best["weights"])
    return network.eval()


def training_faces(recipe: Recipe, work: Path) -> Faces:
    """FER+, and the wanted share of the muxspace crops (scaled to FER+'s pictures) if any."""
    faces = ferplus("train", work)
    if recipe.coarse_share <= 0:
        return faces
    coarse = coarse_faces()
    rng = np.random.default_rng(recipe.seed)
    chosen = rng.permutation(len(coarse))[: round(recipe.coarse_share * len(coarse))]
    return faces.joined(coarse.rows(chosen).scaled(faces.side))


def begin(recipe: Recipe, device: torch.device) -> Run:
    """A run before its first step."""
    torch.manual_seed(recipe.seed)
    network = recipe.network().to(device, memory_format=torch.channels_last)
    average = AveragedModel(network, multi_avg_fn=averaging(recipe.average_decay), use_buffers=True)
    decayed = [value for value in network.parameters() if value.ndim > 1]
    plain = [value for value in network.parameters() if value.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    return Run(network, average, torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=0.9, nesterov=True))


def averaging(decay: float) -> Callable[[list[Tensor], list[Tensor], Tensor | int], None]:
    """How the average of the weights moves a step: exponentially, and at first faster, over the last tenth of steps.

    With the full decay from the start the random first weights would stay in the average for epochs.
    """

    def move(average: list[Tensor], current: list[Tensor], steps: Tensor | int) -> None:
        share = max(1 - decay, 10 / (10 + float(steps)))
        for kept, new in zip(average, current, strict=True):
            kept.lerp_(new, share) if kept.is_floating_point() else kept.copy_(new)

    return move


def save(run: Run, checkpoint: Path, recipe: Recipe) -> None:
    """Write the run down; a run that is stopped while writing keeps its last checkpoint."""
    state = {
        "recipe": asdict(recipe),
        "network": run.network.state_dict(),
        "average": run.average.state_dict(),
        "optimiser": run.optimiser.state_dict(),
        "epoch": run.epoch,
        "best": run.best,
    }
    torch.save(state, checkpoint.with_suffix(".new"))
    checkpoint.with_suffix(".new").replace(checkpoint)


def resume(run: Run, checkpoint: Path, recipe: Recipe) -> None:
    """Go on from the checkpoint if there is one. Raises `ValueError` if it was made by another recipe."""
    if not checkpoint.exists():
        return
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    if state["recipe"] != asdict(recipe):
        raise ValueError(f"{checkpoint} was made by another recipe: {state['recipe']}. Name another --work.")
    run.network.load_state_dict(state["network"])
    run.average.load_state_dict(state["average"])
    run.optimiser.load_state_dict(state["optimiser"])
    run.epoch, run.best = state["epoch"], state["best"]


def train_epoch(run: Run, faces: Faces, recipe: Recipe, cycles: Sequence[int], device: torch.device) -> None:
    """Every face about once; chance depends on the seed and the epoch alone, so that a resumed run is the same run."""
    rng = np.random.default_rng((recipe.seed, run.epoch))
    torch.manual_seed(recipe.seed + run.epoch)
    order = epoch_rows(faces.targets, recipe.balance, rng)
    batches = np.array_split(order, math.ceil(len(order) / recipe.batch))
    run.network.train()
    for index, rows in enumerate(tqdm(batches, f"epoch {run.epoch + 1}", mininterval=5)):
        rate = recipe.learning_rate * rate_at(run.epoch + index / len(batches), cycles)
        for group in run.optimiser.param_groups:
            group["lr"] = rate
        crops = varied_crops(faces, rows, recipe.size, rng, Variation())
        grey, targets = mixed(
            as_grey(crops, device), torch.from_numpy(faces.targets[rows]).to(device), recipe.mixup, rng
        )
        step(run, grey, targets, device)


def step(run: Run, grey: Tensor, targets: Tensor, device: torch.device) -> None:
    """One step down the cross-entropy with soft targets, in bfloat16 where that is safe."""
    with torch.autocast(device.type, torch.bfloat16):
        logits = run.network(grey)
    loss = functional.cross_entropy(logits.float(), targets)
    run.optimiser.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(run.network.parameters(), 5.0)
    run.optimiser.step()
    run.average.update_parameters(run.network)


def epoch_rows(targets: NDArray[np.float32], balance: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """The rows of an epoch, shuffled: a class with a share p of the rows is drawn in proportion to p ** (1 - balance).

    A row comes as often as its weight says, the fraction of it by chance, so that no row is left out by bad luck alone.
    """
    classes = targets.argmax(axis=1)
    weights = np.bincount(classes, minlength=targets.shape[1])[classes] ** -balance
    copies = np.floor(weights / weights.mean() + rng.random(len(weights))).astype(np.int64)
    return rng.permutation(np.repeat(np.arange(len(weights)), copies))


def rate_at(epochs: float, cycles: Sequence[int]) -> float:
    """The share of the learning rate after `epochs`: half a cosine a cycle, each with a linear warm-up of one epoch."""
    start = 0
    for cycle in cycles:
        if epochs < start + cycle:
            cosine = (1 + math.cos(math.pi * (epochs - start) / cycle)) / 2
            return cosine * min(1.0, 0.05 + epochs - start)
        start += cycle
    return 0.0


def mixed(grey: Tensor, targets: Tensor, alpha: float, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Half of the batches as mixtures of two faces each (mixup, Zhang et al. 2018)."""
    if alpha <= 0 or rng.random() < 0.5:
        return grey, targets
    share = float(rng.beta(alpha, alpha))
    partner = torch.from_numpy(rng.permutation(len(grey)))
    return share * grey + (1 - share) * grey[partner], share * targets + (1 - share) * targets[partner]


def as_grey(crops: NDArray[np.uint8], device: torch.device) -> Tensor:
    """Grey crops (n, s, s) as the network's input (n, 1, s, s)."""
    return torch.from_numpy(crops).to(device).float().unsqueeze(1).contiguous(memory_format=torch.channels_last)


@torch.inference_mode()
def validate(network: nn.Module, faces: Faces, recipe: Recipe, device: torch.device) -> dict[str, float]:
    """Accuracy, macro-F1 and cross-entropy of one network on rows with a label."""
    network.eval()
    grey = as_grey(faces.crops(recipe.size)[..., 0], device)
    with torch.autocast(device.type, torch.bfloat16):
        logits = torch.cat([network(part).float() for part in grey.split(256)]).cpu()
    loss = functional.cross_entropy(logits, torch.from_numpy(faces.labels))
    return {**accuracy_scores(logits.numpy(), faces.labels), "cross_entropy": float(loss)}


def evaluation(recipe: Recipe, work: Path) -> dict[str, Any]:
    """The registry's values for the exported file: temperature and reliability by validation, scores by test."""
    logits_of = served_logits(FOLDER / WEIGHTS)
    validation, test = ferplus("val", work), ferplus("test", work)
    val_logits = logits_of(validation.crops(recipe.size))
    temperature = fit_temperature(val_logits, validation.labels)
    val_scores = all_scores(val_logits, validation.labels, temperature)
    scores = all_scores(logits_of(test.crops(recipe.size)), test.labels, temperature)
    plain = accuracy_scores(logits_of(test.crops(recipe.size, aligned=False)), test.labels)
    return {
        "version": VERSION,
        "task": "face-emotion",
        "modality": "face",
        "labels": list(EMOTIONS),
        "licence": "Research use: labels FER+ (MIT); FER2013 pictures, licence not stated",
        "commercial_use": False,
        "temperature": round(temperature, 4),
        "reliability": round(val_scores["sentiment_accuracy"], 4),
        "limits": list(LIMITS),
        "settings": {"crop_size": recipe.size},
        "scores": {
            "data": "FER+ test, aligned crops, rows with a strict majority",
            **rounded(scores),
            "plain_pictures_accuracy": round(plain["accuracy"], 4),
            "milliseconds_a_face": round(milliseconds_a_face(logits_of, recipe.size), 2),
            "date": datetime.date.today().isoformat(),
            "validation": rounded(val_scores),
        },
    }


def served_logits(path: Path) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """A function from crops (n, s, s, 3) to logits (n, 8) by the exported file, on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def logits_of(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.concatenate([session.run(None, {"faces": part})[0] for part in parts_of(crops, 64)])

    return logits_of


def parts_of(crops: NDArray[np.uint8], most: int) -> Iterator[NDArray[np.uint8]]:
    """The crops in batches of at most `most`."""
    return (crops[start : start + most] for start in range(0, len(crops), most))


def milliseconds_a_face(logits_of: Callable[[NDArray[np.uint8]], NDArray[np.float32]], size: int) -> float:
    """The median time of one face alone on one core."""
    face = np.full((1, size, size, 3), 128, np.uint8)
    times = []
    for _ in range(50):
        begun = time.perf_counter()
        logits_of(face)
        times.append(time.perf_counter() - begun)
    return 1e3 * float(np.median(times))


def all_scores(logits: NDArray[np.float32], labels: NDArray[np.int64], temperature: float) -> dict[str, Any]:
    """Accuracy, calibration before and after the temperature, the derived sentiment, and recall with rows a class."""
    before, after = softmax(logits), softmax(logits, temperature)
    sure = labels != WITHOUT_SENTIMENT
    sentiment, sentiment_labels = after[sure] @ SENTIMENT_OF, SENTIMENT_OF[labels[sure]].argmax(axis=1)
    return {
        **accuracy_scores(logits, labels),
        "rows": len(labels),
        "ece_before": ece(before, labels),
        "ece_after": ece(after, labels),
        "sentiment_accuracy": float((sentiment.argmax(axis=1) == sentiment_labels).mean()),
        "sentiment_ece_before": ece(before[sure] @ SENTIMENT_OF, sentiment_labels),
        "sentiment_ece_after": ece(sentiment, sentiment_labels),
        "sentiment_rows": int(sure.sum()),
        "recall": {name: float((logits[labels == i].argmax(axis=1) == i).mean()) for i, name in enumerate(EMOTIONS)},
        "rows_of": {name: int((labels == i).sum()) for i, name in enumerate(EMOTIONS)},
    }


def accuracy_scores(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> dict[str, float]:
    """Accuracy, and the mean of the classes' F1."""
    said = logits.argmax(axis=1)
    return {"accuracy": float((said == labels).mean()), "macro_f1": macro_f1(said, labels)}


def macro_f1(said: NDArray[np.int64], labels: NDArray[np.int64]) -> float:
    """The mean F1 over all eight classes; a class neither said nor meant counts 0."""
    hits, answers, meant = (
        np.bincount(each, minlength=len(EMOTIONS)) for each in (labels[said == labels], said, labels)
    )
    return float((2 * hits / np.maximum(answers + meant, 1)).mean())


def rounded(scores: dict[str, Any]) -> dict[str, Any]:
    """Scores with four digits, dictionaries inside as well."""
    return {
        key: rounded(value) if isinstance(value, dict) else round(value, 4) if isinstance(value, float) else value
        for key, value in scores.items()
    }


def report(values: dict[str, Any]) -> str:
    """The published values, one a line."""
    scores = {**values["scores"], "temperature": values["temperature"], "reliability": values["reliability"]}
    return "\n".join(f"{key:>26}  {value}" for key, value in scores.items())


if __name__ == "__main__":
    main()
