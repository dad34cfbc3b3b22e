"""Trains, exports, calibrates and publishes the speech emotion model.

    python -m models.training.speech [--work FOLDER] [--epochs 0] [--device auto] [--threads 2]
    python -m models.training.speech --stage evaluate   # the file that is there

It starts from Whisper tiny.en's encoder; `--epochs` of tuning follow if they are asked for, and stay if they help.
Everything is chosen on validation speakers; test speakers are heard at the end, the way the service hears: speech is
found, cut into windows, and the windows' answers are averaged.
"""

from __future__ import annotations

import argparse
import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from models.registry import FOLDER
from models.training.calibration import brier, ece, fit_temperature, macro_recall, softmax
from models.training.data import decode, read_table
from models.training.publish import publish
from models.training.speech_clips import CORPORA, Clip, absent, load_clips
from models.training.speech_model import EMOTIONS, EmotionModel, export, pretrained, quantise
from models.training.speech_trainer import Recipe, Tuning, fit_head, frozen_features, rows_of, standing
from service.domain.labels import EMOTION_SENTIMENT, SENTIMENTS
from service.features.speech import SAMPLE_RATE, speech_segments, windows

NAME, VERSION = "speech-whisper", "1.0.0"
WEIGHTS = "weights/speech-whisper.int8.onnx"
MEASURED = ("ravdess", "nemo")
TO_SENTIMENT = np.array([EMOTION_SENTIMENT[emotion] for emotion in EMOTIONS])
LIMITS = (
    "Trained on acted speech of 24 North American and 9 Polish actors and on a little of Urdu talk shows: "
    "real feelings sound weaker and are heard less surely; scores are those of acted speech.",
    "It hears how something is said, not what: irony and words are for the text model. Languages other than English "
    "and Polish were never measured; calm and disgust were heard in English alone.",
    "Says nothing of what a person feels inside; not for hiring, schools, policing, insurance or diagnosis. "
    "Inferring emotions at work or in education is forbidden in the EU (AI Act, Article 5(1)(f)).",
    "reliability is the recall of the derived three sentiments on acted validation speech, surprise left out.",
)


@dataclass(frozen=True)
class Heard:
    """Recordings of one split as the service hears them: each one's window logits, their seconds, its emotion."""

    corpus: str
    logits: tuple[NDArray[np.float64], ...]
    seconds: tuple[NDArray[np.float64], ...]
    emotions: NDArray[np.int64]

    def probabilities(self, temperature: float, *, known_only: bool = False) -> NDArray[np.float64]:
        """(n, 8): the mean of the windows' probabilities, weighed by seconds; uniform where nobody was heard.

        `known_only`: only the emotions that the corpus knows compete.
        """
        mask = absent(self.corpus).numpy() if known_only else 0.0
        uniform = np.full(len(EMOTIONS), 1 / len(EMOTIONS))
        rows = [
            np.average(softmax(logits + mask, temperature), axis=0, weights=seconds) if len(logits) else uniform
            for logits, seconds in zip(self.logits, self.seconds, strict=True)
        ]
        return np.array(rows)


def hear(session: onnxruntime.InferenceSession, corpus: str, split: str, recipe: Recipe) -> Heard:
    """Every recording of a split through voice activity detection, windows and the exported model."""
    rows = read_table(f"speech/{corpus}", split)
    logits, seconds = [], []
    for row in tqdm(rows, f"hear {corpus} {split}", unit="clip"):
        samples = decode(row["audio"])
        cut = windows(samples, speech_segments(samples), recipe.window_seconds, recipe.hop_seconds)
        lengths = np.array([window.valid_samples for window in cut], np.int64)
        logits.append(infer(session, np.array([w.samples for w in cut]), lengths) if cut else np.zeros((0, 8)))
        seconds.append(lengths / recipe.longest)
    emotions = np.array([EMOTIONS.index(row["emotion"]) for row in rows])
    return Heard(corpus, tuple(logits), tuple(seconds), emotions)


def infer(
    session: onnxruntime.InferenceSession, waveform: NDArray[np.float32], lengths: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Logits (n, 8) of waveforms (n, samples), cut to the longest of them."""
    (logits,) = session.run(["logits"], {"waveform": waveform[:, : lengths.max()], "lengths": lengths})
    return np.asarray(logits, np.float64)


def open_session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    """A session on the CPU."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def recall(heard: Heard, *, known_only: bool = False) -> float:
    """Unweighted average recall over the emotions that the corpus has."""
    predicted = heard.probabilities(1.0, known_only=known_only).argmax(axis=1)
    return macro_recall(predicted, heard.emotions, len(EMOTIONS))


def fit(heard: Sequence[Heard]) -> float:
    """The temperature with the smallest cross-entropy on validation recordings, each corpus weighing about the same."""
    most = max(len(part.emotions) for part in heard)
    logits, emotions = [], []
    for part in heard:
        repeats = round(most / len(part.emotions))
        for emotion, rows, seconds in zip(part.emotions, part.logits, part.seconds, strict=True):
            if len(rows):
                logits += [np.average(rows, axis=0, weights=seconds)] * repeats
                emotions += [emotion] * repeats
    return fit_temperature(np.array(logits), np.array(emotions))


def score(heard: Heard, temperature: float) -> dict[str, float]:
    """How right and how honest answers are, for emotions, and for sentiments without surprise, which has none."""
    probabilities = heard.probabilities(temperature)
    clear = heard.emotions != EMOTIONS.index("surprised")
    sentiments = probabilities[clear] @ TO_SENTIMENT
    true_sentiments = TO_SENTIMENT[heard.emotions[clear]].argmax(axis=1)
    return {
        "rows": len(heard.emotions),
        "uar": macro_recall(probabilities.argmax(axis=1), heard.emotions, len(EMOTIONS)),
        "accuracy": float((probabilities.argmax(axis=1) == heard.emotions).mean()),
        "brier": brier(probabilities, heard.emotions),
        "ece": ece(probabilities, heard.emotions),
        "sentiment_uar": macro_recall(sentiments.argmax(axis=1), true_sentiments, len(SENTIMENTS)),
        "sentiment_ece": ece(sentiments, true_sentiments),
    }


def report(heard: Heard, temperature: float) -> dict[str, float]:
    """Scores at a temperature, with calibration errors before it; recall also among what the corpus knows."""
    scores, before = score(heard, temperature), score(heard, 1.0)
    scores |= {f"{name}_before_temperature": before[name] for name in ("ece", "sentiment_ece")}
    if len(CORPORA[heard.corpus]) < len(EMOTIONS):
        scores["uar_among_its_emotions"] = recall(heard, known_only=True)
    return {name: round(value, 4) for name, value in scores.items()}


def evaluate(exact: Path, shipped: Path, recipe: Recipe, threads: int) -> dict[str, Any]:
    """Choose the temperature on validation speakers, score the shipped file on test speakers, publish it."""
    session = open_session(shipped, threads)
    val = {f"{corpus}_val": hear(session, corpus, "val", recipe) for corpus in MEASURED}
    test = {f"{corpus}_test": hear(session, corpus, "test", recipe) for corpus in MEASURED}
    temperature = fit(list(val.values()))
    scores = {name: report(heard, temperature) for name, heard in {**val, **test}.items()}
    if exact.exists():
        unquantised = open_session(exact, threads)
        for split in ("val", "test"):
            uar = recall(hear(unquantised, "ravdess", split, recipe))
            scores[f"ravdess_{split}_float32"] = {"uar": round(uar, 4)}
    _publish(recipe, temperature, scores["ravdess_val"]["sentiment_uar"], scores)
    return scores


def _publish(recipe: Recipe, temperature: float, reliability: float, scores: Mapping[str, Any]) -> None:
    publish(
        NAME,
        file=WEIGHTS,
        version=VERSION,
        task="speech-emotion",
        modality="speech",
        languages=["en", "pl"],
        labels=list(EMOTIONS),
        temperature=round(temperature, 4),
        reliability=reliability,
        licence="MIT (Whisper encoder); trained on CC BY-NC-SA 4.0 data",
        commercial_use=False,
        scores={"data": "RAVDESS and nEMO, speakers apart", "date": datetime.date.today().isoformat(), **scores},
        limits=list(LIMITS),
        settings={
            "window_seconds": recipe.window_seconds,
            "hop_seconds": recipe.hop_seconds,
            "sample_rate": SAMPLE_RATE,
        },
    )


def train(work: Path, recipe: Recipe, device: torch.device) -> EmotionModel:
    """The trained model: a head on the frozen encoder, then, for the recipe's epochs, the upper layers too."""
    clips = load_clips(work, recipe.window_seconds)
    model = pretrained(recipe.window_seconds).to(device).eval()
    kept = work / "frozen.pt"
    if not kept.exists():
        learn_head(model, clips, recipe, work)
        torch.save(model.state_dict(), kept)
    model.load_state_dict(torch.load(kept, map_location=device))
    if recipe.epochs:
        Tuning(model, clips, recipe, work).run()
    return model


def learn_head(model: EmotionModel, clips: Sequence[Clip], recipe: Recipe, work: Path) -> None:
    """Fit the head to what the frozen encoder hears in all training clips."""
    training = [clip for clip in clips if clip.split == "train"]
    val = [clip for clip in clips if clip.split == "val" and clip.corpus == "ravdess"]
    views = [frozen_features(model, training, n, recipe, work / f"features-{n}.npy") for n in range(recipe.views)]
    val_view = frozen_features(model, val, 0, recipe, work / "features-val.npy")
    fit_head(model, rows_of(training, views, recipe), rows_of(val, [val_view], recipe), recipe)
    tqdm.write(f"frozen encoder, RAVDESS validation actors: {standing(model, val, recipe)}")


def arguments() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--work", type=Path, default=Path("build/train-speech"), help="keeps what a stopped run resumes"
    )
    parser.add_argument("--stage", choices=("all", "evaluate"), default="all")
    parser.add_argument("--epochs", type=int, default=Recipe.epochs)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, ...")
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def main() -> None:
    """All stages, or those asked for."""
    asked = arguments()
    torch.set_num_threads(asked.threads)
    chosen = ("cuda" if torch.cuda.is_available() else "cpu") if asked.device == "auto" else asked.device
    recipe = replace(Recipe(), epochs=asked.epochs)
    asked.work.mkdir(parents=True, exist_ok=True)
    exact, shipped = asked.work / "speech.float32.onnx", FOLDER / WEIGHTS
    if asked.stage != "evaluate":
        model = train(asked.work, recipe, torch.device(chosen))
        export(model, exact, recipe.window_seconds)
        quantise(exact, shipped)
    for split, scores in evaluate(exact, shipped, recipe, asked.threads).items():
        print(split, scores)


if __name__ == "__main__":
    main()
