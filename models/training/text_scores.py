"""Scores of the text model's files: every figure of its card, by `python -m models.training.text --stage evaluate`.

Temperatures and thresholds come from validation data; the test splits are only read to be reported.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from tokenizers import Tokenizer
from tqdm import tqdm

from models.registry import FOLDER
from models.training import text_metrics as metrics
from models.training.calibration import brier, ece, fit_temperature, macro_recall, softmax
from models.training.text_data import has_symbols
from models.training.text_probes import PROBES, swings
from models.training.text_tasks import CLASSES, Labelled, labelled_sets
from service.domain.labels import SENTIMENTS
from service.features.text import encode, load_tokenizer, pad, windows

FILE, TOKENIZER_FILE = "weights/text-minilm.int8.onnx", "weights/text-minilm.tokenizer.json"
GRAPH, CANDIDATE = "text-minilm.onnx", "text-minilm.int8.onnx"
"""What an export leaves in the work folder: the fp32 graph, and the file that may be shipped."""

HEAD_OF_OUTPUT = {"logits": "sentiment"}
RESAMPLES = 1000
AGREEMENT_TEXTS = 600


class Reader:
    """The heads of one file, through ONNX Runtime alone."""

    def __init__(self, path: Path, tokenizer: Tokenizer, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._tokenizer = tokenizer
        self._names = [output.name for output in self._session.get_outputs()]

    @property
    def heads(self) -> list[str]:
        """What the file answers."""
        return [HEAD_OF_OUTPUT.get(name, name) for name in self._names]

    def read(self, rows: Sequence[Labelled]) -> dict[str, np.ndarray]:
        """What each head says (n, its outputs); of a text longer than a window, the mean of its windows by tokens."""
        cuts = [(number, *cut) for number, row in enumerate(rows) for cut in self._cuts(row)]
        cuts.sort(key=lambda cut: cut[2])
        sums: dict[str, np.ndarray] = {}
        tokens = np.zeros((len(rows), 1))
        for start in tqdm(range(0, len(cuts), 32), mininterval=10, leave=False):
            numbers, ids, lengths = zip(*cuts[start : start + 32], strict=True)
            weights = np.array(lengths, dtype=float)[:, None]
            np.add.at(tokens, list(numbers), weights)
            for head, values in zip(self.heads, self._run(ids), strict=True):
                whole = sums.setdefault(head, np.zeros((len(rows), values.shape[1])))
                np.add.at(whole, list(numbers), values * weights)
        return {head: whole / tokens for head, whole in sums.items()}

    def logits(self, texts: Sequence[str]) -> np.ndarray:
        """The sentiment logits (n, 3) of short texts in one batch."""
        batch = encode(texts, self._tokenizer)
        feed = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
        return self._session.run(["logits"], feed)[0]

    def _run(self, ids: Sequence[Sequence[int]]) -> list[np.ndarray]:
        batch = pad(ids)
        return self._session.run(self._names, {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask})

    def _cuts(self, row: Labelled) -> list[tuple[list[int], int]]:
        """Token ids of each window, and how many they are."""
        if row.term is not None:
            ids = self._tokenizer.encode(row.text, row.term).ids
            return [(ids, len(ids))]
        cuts = windows(row.text, self._tokenizer)
        pieces = [row.text[cut.start : cut.end] for cut in cuts] or [""]
        return [(ids, len(ids)) for ids in (self._tokenizer.encode(piece).ids for piece in pieces)]


def scores_of(logits: np.ndarray, labels: np.ndarray, temperature: float) -> dict[str, float]:
    """What the registry says of the sentiment of a split."""
    before, after = softmax(logits), softmax(logits, temperature)
    predicted = logits.argmax(axis=1)
    scores = {
        "macro_recall": macro_recall(predicted, labels, len(SENTIMENTS)),
        "accuracy": float((predicted == labels).mean()),
        "ece": ece(after, labels),
        "ece_before_temperature": ece(before, labels),
        "brier": brier(after, labels),
    }
    return rounded(scores)


def rounded(scores: Mapping[str, float]) -> dict[str, float]:
    """Four digits each."""
    return {name: round(float(value), 4) for name, value in scores.items()}


def interval(predicted: np.ndarray, labels: np.ndarray, seed: int = 7) -> list[float]:
    """The 95 % interval of macro-recall over texts drawn anew (bootstrap): not that over seeds of training."""
    choose = np.random.default_rng(seed)
    draws = (choose.integers(0, len(labels), len(labels)) for _ in range(RESAMPLES))
    found = [macro_recall(predicted[drawn], labels[drawn], len(SENTIMENTS)) for drawn in draws]
    return [round(float(edge), 4) for edge in np.percentile(found, [2.5, 97.5])]


def evaluate(work: Path, threads: int) -> dict[str, Any]:
    """Temperatures, thresholds and scores of the shipped file, and of the fp32 graph in `work` if it is there."""
    tokenizer = load_tokenizer(FOLDER / TOKENIZER_FILE)
    val, test = labelled_sets("val"), labelled_sets("test")
    judge = Judge(Reader(FOLDER / FILE, tokenizer, threads), val)
    scores = judge.sentiment("val", {"tweets": val["tweets"]}) | judge.sentiment("test", test)
    scores |= judge.other_tasks(test) | {"swings": judge.swings()}
    if (work / GRAPH).exists():
        full = Judge(Reader(work / GRAPH, tokenizer, threads), val, judge.temperature)
        scores |= full.sentiment("val", {"tweets": val["tweets"]}, "fp32")
        scores |= full.sentiment("test", {"tweets": test["tweets"]}, "fp32")
        scores["int8_against_fp32"] = judge.agreement(full)
    scores["alone_against_sixteen"] = judge.agreement_with_batches()
    scores["validation"] = judge.validation()
    return {
        "temperature": judge.temperature,
        "emotions": judge.emotions(),
        "aspects": judge.aspects(),
        "scores": scores,
        "rows": _counted("val", val) | _counted("test", test),
    }


def _counted(split: str, sets: Mapping[str, Sequence[Labelled]]) -> dict[str, int]:
    """How many texts each set has in a split; the tweets go by the split's name alone."""
    return {split if name == "tweets" else f"{name}_{split}": len(rows) for name, rows in sets.items() if rows}


def compare(work: Path, threads: int) -> str:
    """The candidate in `work` beside the file that is shipped, on validation texts, as a Markdown table."""
    tokenizer, val = load_tokenizer(FOLDER / TOKENIZER_FILE), labelled_sets("val")
    judges = [Judge(Reader(path, tokenizer, threads), val) for path in (FOLDER / FILE, work / CANDIDATE)]
    shipped, candidate = ({**judge.validation(), "ece": judge.ece(), **judge.swings()} for judge in judges)
    lines = [f"| {task} | {shipped.get(task, '')} | {score} |" for task, score in candidate.items()]
    lines.append(f"| speed over the shipped file's | 1 | {round(speed_ratio(work / CANDIDATE, FOLDER / FILE), 3)} |")
    return "\n".join(["| validation | shipped | candidate |", "|---|---|---|", *lines])


def speed_ratio(file: Path, other: Path, rounds: int = 40) -> float:
    """How many texts `file` reads while `other` reads one: 32 texts of 16 tokens on one thread, in turn.

    The processor time of this thread, so that what else the machine does counts little.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    sessions = [
        onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"]) for path in (file, other)
    ]
    ids = np.random.default_rng(7).integers(1000, 20_000, (32, 16))
    feed = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    seconds: list[list[float]] = [[], []]
    for _ in range(rounds):
        for session, taken in zip(sessions, seconds, strict=True):
            start = time.thread_time()
            session.run(None, feed)
            taken.append(time.thread_time() - start)
    return float(np.median(seconds[1]) / np.median(seconds[0]))


class Judge:
    """Scores what one file says; what it needs for that is fitted on validation texts."""

    def __init__(self, reader: Reader, val: Mapping[str, Sequence[Labelled]], temperature: float | None = None) -> None:
        self._reader, self._val = reader, val
        self._said: dict[int, tuple[Sequence[Labelled], dict[str, np.ndarray]]] = {}
        if temperature is None:
            temperature = round(
                fit_temperature(*metrics.picked(self._read(self._val["tweets"]), val["tweets"], "sentiment")), 4
            )
        self.temperature = temperature

    def sentiment(
        self, split: str, sets: Mapping[str, Sequence[Labelled]], kind: str = "int8"
    ) -> dict[str, dict[str, Any]]:
        """Of each set with sentiments its scores; of films also the accuracy without neutral, of test tweets more."""
        found: dict[str, dict[str, Any]] = {}
        for name in ("tweets", "sst", "meld", "goemotions"):
            if name not in sets:
                continue
            rows = sets[name]
            outputs = self._read(rows)
            logits, labels = metrics.picked(outputs, rows, "sentiment")
            scores: dict[str, Any] = scores_of(logits, labels, self.temperature)
            scores["weighted_f1"] = round(metrics.of_classes(outputs, rows, "sentiment")["weighted_f1"], 4)
            found[f"{split}_{kind}" if name == "tweets" else f"{name}_{split}_{kind}"] = scores
            if name == "sst":
                scores["accuracy_without_neutral"] = round(metrics.of_two_sides(outputs, rows), 4)
            if name == "tweets" and split == "test":
                scores["macro_recall_interval"] = interval(logits.argmax(axis=1), labels)
                emoji = np.array([has_symbols(row.text) for row in rows])
                scores["macro_recall_with_emoji"] = scores_of(logits[emoji], labels[emoji], 1.0)["macro_recall"]
                scores["rows_with_emoji"] = int(emoji.sum())
        return found

    def other_tasks(self, test: Mapping[str, Sequence[Labelled]]) -> dict[str, dict[str, float]]:
        """The published measure of each other task on its test texts, of the heads that the file has."""
        found: dict[str, dict[str, float]] = {}
        if "emotion" in self._reader.heads:
            rows = test["goemotions"]
            outputs = self._read(rows)
            thresholds = metrics.thresholds_of(self._read(self._val["goemotions"]), self._val["goemotions"])
            found["emotion_test"] = metrics.of_emotions(outputs, rows, thresholds) | self._one_emotion(outputs, rows)
            talk = metrics.of_classes(self._read(test["meld"]), test["meld"], "emotion")
            found["meld_emotion_test"] = {"weighted_f1": talk["weighted_f1"]}
        if "mood" in self._reader.heads:
            rows = test["tweet_emotion"]
            found["mood_test"] = {"macro_f1": metrics.of_classes(self._read(rows), rows, "mood")["macro_f1"]}
        if "irony" in self._reader.heads:
            rows = test["tweet_irony"]
            found["irony_test"] = {"f1": metrics.of_irony(self._read(rows), rows)}
        if "valence" in self._reader.heads:
            rows = test["emobank"]
            found["valence_test"] = {"pearson": metrics.of_valence(self._read(rows), rows)}
        if "aspect" in self._reader.heads:
            found["aspect_test"] = self._aspects(test)
        return {name: rounded(scores) for name, scores in found.items()}

    def ece(self) -> float:
        """Of the sentiment of validation tweets, after the temperature."""
        logits, labels = metrics.picked(self._read(self._val["tweets"]), self._val["tweets"], "sentiment")
        return scores_of(logits, labels, self.temperature)["ece"]

    def swings(self) -> dict[str, float]:
        """The largest change of P(positive) by another name, country, gender or group in one sentence."""
        largest = {name: max(swings(probe, self.probabilities).values()) for name, probe in PROBES.items()}
        return rounded(largest)

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """Calibrated sentiments (n, 3)."""
        return softmax(self._reader.logits(texts), self.temperature)

    def agreement(self, other: Judge) -> dict[str, float]:
        """How the answers to some validation tweets differ from those of another file."""
        texts = [row.text for row in self._val["tweets"][:AGREEMENT_TEXTS]]
        return agreement(self.one_by_one(texts), other.one_by_one(texts))

    def agreement_with_batches(self) -> dict[str, float]:
        """How the answers to some validation tweets differ when sixteen are read together."""
        texts = [row.text for row in self._val["tweets"][:AGREEMENT_TEXTS]]
        together = [self.probabilities(texts[start : start + 16]) for start in range(0, len(texts), 16)]
        return agreement(self.one_by_one(texts), np.concatenate(together))

    def one_by_one(self, texts: Sequence[str]) -> np.ndarray:
        """Calibrated sentiments (n, 3), each text in a batch of its own."""
        return np.concatenate([self.probabilities([text]) for text in texts])

    def validation(self) -> dict[str, float]:
        """The score on validation texts of every task that the file has a head for."""
        outputs = {name: self._read(self._val[name]) for name, rows in self._val.items() if rows}
        return rounded(metrics.validation_scores(outputs, self._val))

    def emotions(self) -> dict[str, Any]:
        """What serving needs to know of the emotion head; nothing for a file that has none."""
        return self._head("emotion", "goemotions")

    def aspects(self) -> dict[str, Any]:
        """What serving needs to know of the head of terms; nothing if the sentence speaks for its terms as well."""
        head = self._head("aspect", "mams")
        if not head:
            return {}
        rows = self._val["mams"]
        asked = metrics.of_classes(self._read(rows), rows, "aspect")["accuracy"]
        return head if asked > self._by_sentence(rows) else {}

    def _by_sentence(self, rows: Sequence[Labelled]) -> float:
        """How often the sentiment of the whole sentence is that of the term."""
        alone = [Labelled(row.text, {"sentiment": row.known["aspect"]}) for row in rows]
        return metrics.of_classes(self._reader.read(alone), alone, "sentiment")["accuracy"]

    def _head(self, head: str, name: str) -> dict[str, Any]:
        """The output of a head, its labels, and the temperature that is best on a set's validation texts."""
        if head not in self._reader.heads:
            return {}
        chosen, labels = metrics.known(self._val[name], head)
        temperature = fit_temperature(self._read(self._val[name])[head][chosen], labels)
        return {"output": head, "labels": list(CLASSES[head]), "temperature": round(temperature, 4)}

    def _one_emotion(self, outputs: Mapping[str, np.ndarray], rows: Sequence[Labelled]) -> dict[str, float]:
        """Of comments that have one emotion: how often the most probable one is it, and the ECE of that."""
        chosen, labels = metrics.known(rows, "emotion")
        single = labels.max(axis=1) == 1
        probabilities = softmax(outputs["emotion"][chosen][single], self.emotions()["temperature"])
        true = labels[single].argmax(axis=1)
        return {"accuracy": float((probabilities.argmax(axis=1) == true).mean()), "ece": ece(probabilities, true)}

    def _aspects(self, test: Mapping[str, Sequence[Labelled]]) -> dict[str, float]:
        """Accuracy in each domain."""
        domains: dict[str, list[Labelled]] = {"mams": list(test["mams"])}
        for row in test["semeval14"]:
            domains.setdefault(row.domain, []).append(row)
        return {
            f"{name}_accuracy": metrics.of_classes(self._read(rows), rows, "aspect")["accuracy"]
            for name, rows in domains.items()
        }

    def _read(self, rows: Sequence[Labelled]) -> dict[str, np.ndarray]:
        """What the file says of a set of texts; each set is read once."""
        if id(rows) not in self._said:
            self._said[id(rows)] = rows, self._reader.read(rows)
        return self._said[id(rows)][1]


def agreement(left: np.ndarray, right: np.ndarray) -> dict[str, float]:
    """How much two sets of probabilities (n, k) of the same texts say the same."""
    apart = np.abs(left - right)
    same = (left.argmax(axis=1) == right.argmax(axis=1)).mean()
    return {
        "same_label": round(float(same), 4),
        "mean": float(f"{apart.mean():.2g}"),
        "most": float(f"{apart.max():.2g}"),
    }


def table(results: Mapping[str, Any]) -> str:
    """All scores as lines of a Markdown table."""
    lines = ["| scores | |", "|---|---|"]
    for name, values in results["scores"].items():
        lines.append(f"| {name} | {', '.join(f'{measure} {value}' for measure, value in values.items())} |")
    return "\n".join([*lines, *(f"| {name} | {results[name]} |" for name in ("temperature", "emotions", "aspects"))])
