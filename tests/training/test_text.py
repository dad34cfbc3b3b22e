from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from models.registry import FOLDER, default_model, sha256
from models.training.calibration import softmax
from service.domain.labels import SENTIMENTS
from service.features.text import encode, load_tokenizer

ENTRY = default_model("text-sentiment")
SAID = [
    ("I love it", "positive"),
    ("I hate it", "negative"),
    ("The meeting is at noon", "neutral"),
    ("This is not good.", "negative"),
    ("That was not bad at all!", "positive"),
    ("I have never been so disappointed in a restaurant.", "negative"),
    ("The train leaves from platform four.", "neutral"),
    ("Thank you so much, you made my day 😍", "positive"),
    ("😍😍😍", "positive"),
    ("😡😡😡", "negative"),
    ("My phone died again 👎", "negative"),
    ("I passed the exam 🎉", "positive"),
]


class Shipped:
    """The files that the registry names, through ONNX Runtime alone."""

    def __init__(self) -> None:
        self.tokenizer = load_tokenizer(ENTRY.path(next(iter(ENTRY.files))))
        self.session = onnxruntime.InferenceSession(ENTRY.path(), providers=["CPUExecutionProvider"])

    def logits(self, *texts: str) -> np.ndarray:
        """(n, 3), all texts in one batch."""
        batch = encode(texts, self.tokenizer)
        feed = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
        return self.session.run(["logits"], feed)[0]

    def probabilities(self, *texts: str) -> np.ndarray:
        """(n, 3), calibrated, each text alone."""
        return softmax(np.concatenate([self.logits(text) for text in texts]), ENTRY.temperature)

    def label(self, text: str) -> str:
        return SENTIMENTS[int(self.logits(text)[0].argmax())]


@pytest.fixture(scope="module")
def shipped() -> Shipped:
    return Shipped()


def test_the_registry_names_the_files_by_their_digests():
    assert sha256(ENTRY.path()) == ENTRY.sha256
    assert [sha256(FOLDER / file) for file in ENTRY.files] == list(ENTRY.files.values())
    assert ENTRY.labels == SENTIMENTS
    assert not ENTRY.commercial_use


def test_the_weights_are_small_enough_to_ship():
    assert ENTRY.path().stat().st_size <= 24_000_000


def test_the_registry_says_at_least_the_floor_for_tweets_that_were_never_chosen_on():
    assert ENTRY.scores["rows"]["test"] == 12_284
    assert ENTRY.scores["test_int8"]["macro_recall"] >= 0.69
    assert ENTRY.scores["test_int8"]["ece"] <= 0.1


@pytest.mark.parametrize(("text", "label"), SAID)
def test_plain_sentences_are_understood(text, label, shipped):
    assert shipped.label(text) == label


def test_what_the_normaliser_reads_as_one_gets_one_answer(shipped):
    left = shipped.logits("@JaneDoe I LOVE https://a.example/b")
    assert np.array_equal(left, shipped.logits("@someone i love http"))


def test_a_whole_window_and_one_token_are_both_answered(shipped):
    assert np.isfinite(shipped.logits("good " * 126)).all()
    assert np.isfinite(shipped.logits("")).all()


def test_a_text_gets_the_same_answer_alone_and_in_any_batch(shipped):
    """Activations are quantised token by token: what is left, 1e-4 and less, is rounding on either side of a step."""
    texts = [text for text, _ in SAID] + ["word " * length for length in (1, 5, 40, 120)]
    together = softmax(shipped.logits(*texts))
    alone = softmax(np.concatenate([shipped.logits(text) for text in texts]))
    assert np.abs(together - alone).max() < 0.01
    assert (together.argmax(axis=1) == alone.argmax(axis=1)).all()
