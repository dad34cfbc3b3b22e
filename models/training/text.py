"""Trains, exports, calibrates and publishes the text model: one encoder with a head for each task.

    python -m models.training.text [--work FOLDER] [--epochs 3] [--start FILE] [--device auto] [--threads 2]
    python -m models.training.text --stage export      # a candidate, compared with what is shipped
    python -m models.training.text --stage publish     # ships the candidate
    python -m models.training.text --stage evaluate    # prints every score of the file that is shipped

Without a stage all of them in turn. Everything is chosen on validation data; the test splits are read once, at the
end, to report scores.
"""

from __future__ import annotations

import argparse
import datetime
import shutil
from pathlib import Path
from typing import Any

import torch

from models.registry import FOLDER
from models.training.minilm import build_tokenizer, source_folder
from models.training.publish import publish
from models.training.text_export import expect, export, quantise
from models.training.text_scores import CANDIDATE, FILE, GRAPH, TOKENIZER_FILE, compare, evaluate, table
from models.training.text_symbols import learn_symbols
from models.training.text_tasks import READERS, prior
from models.training.text_trainer import Recipe, best_model, train
from service.domain.labels import SENTIMENTS
from service.features.text import MAX_TOKENS, load_tokenizer

NAME, VERSION = "text-minilm", "2.0.0"


def publish_results(results: dict[str, Any]) -> None:
    """Write the registry's entry, and print the scores."""
    print(table(results))
    publish(
        NAME,
        file=FILE,
        files=(TOKENIZER_FILE,),
        version=VERSION,
        task="text-sentiment",
        modality="text",
        languages=["en"],
        labels=list(SENTIMENTS),
        licence="Apache-2.0 encoder, fine-tuned on texts for research use",
        commercial_use=False,
        temperature=results["temperature"],
        reliability=results["scores"]["val_int8"]["macro_recall"],
        scores={
            "data": "TweetEval sentiment (SemEval-2017 task 4A) and the sets of the card",
            "date": datetime.date.today().isoformat(),
            "rows": results["rows"],
            **results["scores"],
        },
        limits=[
            "English only: other languages are read as unknown pieces of words.",
            "Irony and sarcasm are often taken at their word.",
            "It judges the text, not what the writer feels; quoted and reported opinions count as the writer's.",
            "Emotions are what readers saw in comments of one forum: disgust, fear and surprise were rare there.",
            "It learnt from tweets of 2013 to 2016, film and restaurant reviews, comments and TV dialogue; legal, "
            "medical and technical prose was not among them.",
            "Words that name people, places and groups still move P(positive), a name by up to "
            f"{results['scores']['swings']['names']:.2f} in one sentence: don't use it to judge people.",
        ],
        settings={
            "max_tokens": MAX_TOKENS,
            "inputs": ["input_ids", "attention_mask"],
            "output": "logits",
            "emotions": results["emotions"],
            "aspects": results["aspects"],
        },
    )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("build/train-text"), help="checkpoints, fp32 graph")
    parser.add_argument("--epochs", type=float, default=Recipe.epochs)
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    parser.add_argument("--start", type=Path, help="weights of an earlier run to begin with")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--stage", choices=("all", "train", "export", "publish", "evaluate"), default="all")
    return parser.parse_args()


def chosen_device(name: str) -> torch.device:
    """The device of a name; `auto` takes CUDA where there is one."""
    return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)


def make_candidate(work: Path) -> None:
    """Teach the best model so far what emoji mean, and write it in int8 to `work`.

    Its emotions expect the frequencies of GoEmotions' training comments, since no text has each as often as the next.
    """
    tokenizer = load_tokenizer(FOLDER / TOKENIZER_FILE)
    model = learn_symbols(best_model(work, tokenizer), tokenizer)
    expect(model, "emotion", prior(READERS["goemotions"]("train"), "emotion"))
    export(model, work / GRAPH)
    quantise(work / GRAPH, work / CANDIDATE)


def main() -> None:
    options = arguments()
    options.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(options.threads)
    if options.stage in ("all", "train"):
        (FOLDER / TOKENIZER_FILE).parent.mkdir(exist_ok=True)
        build_tokenizer(source_folder()).save(str(FOLDER / TOKENIZER_FILE), pretty=False)
        recipe = Recipe(epochs=options.epochs, seed=options.seed)
        tokenizer = load_tokenizer(FOLDER / TOKENIZER_FILE)
        train(options.work, tokenizer, recipe, chosen_device(options.device), options.start)
    if options.stage in ("all", "export"):
        make_candidate(options.work)
        print(compare(options.work, options.threads))
    if options.stage in ("all", "publish"):
        shutil.copyfile(options.work / CANDIDATE, FOLDER / FILE)
        publish_results(evaluate(options.work, options.threads))
    if options.stage == "evaluate":
        print(table(evaluate(options.work, options.threads)))


if __name__ == "__main__":
    main()
