"""Trains, exports, calibrates and publishes the text sentiment model.

    python -m models.training.text [--work FOLDER] [--epochs 1.7] [--device auto] [--threads 2]
    python -m models.training.text --stage export      # the best checkpoint so far
    python -m models.training.text --stage evaluate    # the files that are there

Everything is chosen on validation data; the test split is read once, at the end, to report scores.
"""

from __future__ import annotations

import argparse
import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from tokenizers import Tokenizer
from tqdm import tqdm

from models.registry import FOLDER
from models.training.calibration import brier, ece, fit_temperature, macro_recall, softmax
from models.training.minilm import MiniLM, RowwiseEmbedding, build_tokenizer, source_folder
from models.training.publish import publish
from models.training.rowwise import quantise_by_row
from models.training.text_data import other_texts, tweets
from models.training.text_symbols import learn_symbols
from models.training.text_trainer import Recipe, best_model, train
from service.domain.labels import SENTIMENTS
from service.features.text import MAX_TOKENS, encode, load_tokenizer, windows

NAME, VERSION = "text-minilm", "1.0.0"
WEIGHTS = "weights/text-minilm.int8.onnx"
TOKENIZER = "weights/text-minilm.tokenizer.json"


def export(model: MiniLM, path: Path) -> None:
    """Write the graph (input_ids, attention_mask) -> logits, any batch and length, with the table in int8."""
    model.words = RowwiseEmbedding(model.words.weight.detach())
    names = ["input_ids", "attention_mask"]
    example = tuple(torch.ones(2, 11, dtype=torch.int64) for _ in names)
    axes = {name: {0: "batch", 1: "tokens"} for name in names} | {"logits": {0: "batch"}}
    torch.onnx.export(
        model.eval(),
        example,
        str(path),
        input_names=names,
        output_names=["logits"],
        dynamic_axes=axes,
        opset_version=18,
        dynamo=False,
    )


def quantise(source: Path, target: Path) -> None:
    """Int8 of every MatMul with constant weights, a scale a channel and a scale a token; the head stays as it is.

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


def session_of(path: Path, threads: int) -> onnxruntime.InferenceSession:
    """A CPU session of a graph."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def onnx_logits(session: onnxruntime.InferenceSession, texts: Sequence[str], tokenizer: Tokenizer) -> np.ndarray:
    """Logits (n, 3) of texts; of one that is longer than a window, the mean of its windows by their tokens."""
    cuts = [(row, text[w.start : w.end], w.tokens) for row, text in enumerate(texts) for w in windows(text, tokenizer)]
    cuts.sort(key=lambda cut: cut[2])
    sums, tokens = np.zeros((len(texts), len(SENTIMENTS))), np.zeros((len(texts), 1))
    for start in tqdm(range(0, len(cuts), 32), mininterval=5):
        rows, pieces, lengths = zip(*cuts[start : start + 32], strict=True)
        batch = encode(pieces, tokenizer)
        feed = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
        weights = np.array(lengths)[:, None]
        np.add.at(sums, list(rows), session.run(["logits"], feed)[0] * weights)
        np.add.at(tokens, list(rows), weights)
    return sums / tokens


def scores_of(logits: np.ndarray, labels: np.ndarray, temperature: float) -> dict[str, float]:
    """What the registry says of a split."""
    before, after = softmax(logits), softmax(logits, temperature)
    predicted = logits.argmax(axis=1)
    scores = {
        "macro_recall": macro_recall(predicted, labels, len(SENTIMENTS)),
        "accuracy": float((predicted == labels).mean()),
        "ece": ece(after, labels),
        "ece_before_temperature": ece(before, labels),
        "brier": brier(after, labels),
    }
    return {name: round(value, 4) for name, value in scores.items()}


def evaluate(work: Path, threads: int) -> dict[str, Any]:
    """Temperature and scores of both graphs; the temperature is the int8 graph's on validation data."""
    tokenizer = load_tokenizer(FOLDER / TOKENIZER)
    graphs = {"int8": FOLDER / WEIGHTS, "fp32": work / "text-minilm.onnx"}
    sessions = {kind: session_of(path, threads) for kind, path in graphs.items() if path.exists()}
    sets = {"val": tweets("val"), "test": tweets("test")}
    logits = {
        (name, kind): onnx_logits(session, [text for text, _ in pairs], tokenizer)
        for name, pairs in sets.items()
        for kind, session in sessions.items()
    }
    labels = {name: np.array([label for _, label in pairs]) for name, pairs in sets.items()}
    temperature = round(fit_temperature(logits["val", "int8"], labels["val"]), 4)
    scores = {f"{name}_{kind}": scores_of(found, labels[name], temperature) for (name, kind), found in logits.items()}
    for name, pairs in other_texts("test").items():
        found = onnx_logits(sessions["int8"], [text for text, _ in pairs], tokenizer)
        labels[f"{name}_test"] = np.array([label for _, label in pairs])
        scores[f"{name}_test_int8"] = scores_of(found, labels[f"{name}_test"], temperature)
    return {"temperature": temperature, "scores": scores, "rows": {name: len(found) for name, found in labels.items()}}


def publish_results(results: dict[str, Any]) -> None:
    """Write the registry's entry."""
    publish(
        NAME,
        file=WEIGHTS,
        files=(TOKENIZER,),
        version=VERSION,
        task="text-sentiment",
        modality="text",
        languages=["en"],
        labels=list(SENTIMENTS),
        licence="Apache-2.0 encoder, fine-tuned on tweets for research use",
        commercial_use=False,
        temperature=results["temperature"],
        reliability=results["scores"]["val_int8"]["macro_recall"],
        scores={
            "data": "TweetEval sentiment (SemEval-2017 task 4A)",
            "date": datetime.date.today().isoformat(),
            "rows": results["rows"],
            **results["scores"],
        },
        limits=[
            "English only: other languages are read as unknown pieces of words.",
            "Irony and sarcasm are often taken at their word.",
            "It judges the text, not what the writer feels; quoted and reported opinions count as the writer's.",
            "It learnt from tweets of 2013 to 2016, film reviews, comments and TV dialogue; legal, medical and "
            "technical prose was not among them.",
            "Words that name groups of people move the verdict ('He is gay.' reads as negative): don't use it to "
            "judge people.",
        ],
        settings={"max_tokens": MAX_TOKENS, "inputs": ["input_ids", "attention_mask"], "output": "logits"},
    )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("build/train-text"), help="checkpoints, fp32 graph")
    parser.add_argument("--epochs", type=float, default=Recipe.epochs)
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--stage", choices=("all", "train", "export", "evaluate"), default="all")
    return parser.parse_args()


def chosen_device(name: str) -> torch.device:
    """The device of a name; `auto` takes CUDA where there is one."""
    return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)


def ship(work: Path) -> None:
    """Teach the best model so far what emoji mean, and write it in int8 to where the registry's files are."""
    tokenizer = load_tokenizer(FOLDER / TOKENIZER)
    export(learn_symbols(best_model(work, tokenizer), tokenizer), work / "text-minilm.onnx")
    quantise(work / "text-minilm.onnx", FOLDER / WEIGHTS)


def main() -> None:
    options = arguments()
    options.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(options.threads)
    if options.stage in ("all", "train"):
        (FOLDER / TOKENIZER).parent.mkdir(exist_ok=True)
        build_tokenizer(source_folder()).save(str(FOLDER / TOKENIZER), pretty=False)
        recipe = Recipe(epochs=options.epochs, seed=options.seed)
        train(options.work, load_tokenizer(FOLDER / TOKENIZER), recipe, chosen_device(options.device))
    if options.stage in ("all", "export"):
        ship(options.work)
    if options.stage in ("all", "export", "evaluate"):
        results = evaluate(options.work, options.threads)
        publish_results(results)
        for name, values in results["scores"].items():
            print(name, values)
        print("temperature", results["temperature"])


if __name__ == "__main__":
    main()
