"""How the text model's figures are reckoned, on texts and answers made up for it and on the shipped file."""

from __future__ import annotations

import numpy as np
import pytest

from models.registry import default_model
from models.training import text_metrics as metrics
from models.training.calibration import softmax
from models.training.text_probes import GENDERS, PROBES, Probe, sentences, swings
from models.training.text_scores import Judge, Reader, agreement, interval, table
from models.training.text_tasks import EKMAN, Labelled, evenly, one_hot
from service.domain.labels import SENTIMENTS
from service.features.text import load_tokenizer, windows

ENTRY = default_model("text-sentiment")


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader(ENTRY.path(), load_tokenizer(ENTRY.path(next(iter(ENTRY.files)))), threads=1)


def said(*labels: str) -> list[Labelled]:
    return [Labelled("", {"sentiment": one_hot(label, SENTIMENTS)}) for label in labels]


def logits(*labels: str) -> np.ndarray:
    return np.array([one_hot(label, SENTIMENTS) for label in labels])


def test_f1_counts_what_is_found_and_what_is_missed():
    predicted = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0]], dtype=bool)
    true = np.array([[1, 0, 0], [0, 1, 0], [0, 1, 0]], dtype=bool)
    assert metrics.f1_scores(predicted, true) == pytest.approx([2 / 3, 2 / 3, 0])


def test_the_threshold_of_each_emotion_is_the_one_that_parts_it_best():
    true = np.array([[True, False], [True, True], [False, True], [False, False]])
    probabilities = np.array([[0.9, 0.1], [0.7, 0.3], [0.3, 0.4], [0.2, 0.2]])
    low, high = metrics.best_thresholds(probabilities, true)
    assert 0.3 < low <= 0.7
    assert 0.2 < high <= 0.3


def test_a_text_with_two_emotions_counts_for_both():
    rows = [Labelled("", {"emotion": evenly(["happy", "surprised"], EKMAN)}), Labelled("", {})]
    outputs = {"emotion": np.array([[0, 5, 0, 0, 0, 0, 5], [9, 0, 0, 0, 0, 0, 0]], dtype=float)}
    scores = metrics.of_emotions(outputs, rows, np.full(len(EKMAN), 0.3))
    assert (scores["f1_happy"], scores["f1_surprised"], scores["f1_neutral"]) == (1, 1, 0)
    assert scores["macro_f1"] == pytest.approx(2 / 7)


def test_neutral_is_left_out_where_only_two_sides_are_asked_for():
    rows = said("positive", "negative", "neutral", "positive")
    outputs = {"sentiment": np.array([[0, 9, 1], [2, 9, 1], [9, 0, 0], [1, 0, 0]], dtype=float)}
    assert metrics.of_two_sides(outputs, rows) == pytest.approx(2 / 3)


def test_scores_of_classes_are_those_of_their_definitions():
    rows = said("positive", "positive", "positive", "negative")
    scores = metrics.of_classes(
        {"sentiment": logits("positive", "positive", "negative", "negative")}, rows, "sentiment"
    )
    assert scores["accuracy"] == 0.75
    assert scores["macro_recall"] == pytest.approx((2 / 3 + 1) / 2)
    assert scores["weighted_f1"] == pytest.approx(0.75 * 0.8 + 0.25 * 2 / 3)


def test_only_tasks_that_a_file_has_heads_for_are_scored():
    outputs = {"tweets": {"sentiment": logits("positive")}, "goemotions": {"sentiment": logits("positive")}}
    rows = {"tweets": said("positive"), "goemotions": said("positive")}
    assert metrics.validation_scores(outputs, rows) == {"tweets": 1.0}


def test_valence_is_judged_by_its_correlation_alone():
    rows = [Labelled("", {"valence": (value,)}) for value in (-0.4, 0.0, 0.1, 0.5)]
    assert metrics.of_valence({"valence": np.array([[-4.0], [0.0], [1.0], [5.0]]) + 7}, rows) == pytest.approx(1)


def test_half_of_the_score_that_a_checkpoint_is_chosen_by_is_the_tweets():
    assert metrics.overall({"tweets": 0.8, "irony": 0.5, "mams": 0.7}) == pytest.approx(0.7)


def test_the_interval_holds_the_score_and_narrows_with_more_texts():
    chance = np.random.default_rng(0)
    labels = chance.integers(0, 3, 3000)
    predicted = np.where(chance.random(3000) < 0.7, labels, (labels + 1) % 3)
    low, high = interval(predicted, labels)
    assert low < 0.7 < high
    few = interval(predicted[:200], labels[:200])
    assert few[1] - few[0] > 2 * (high - low)


def test_agreement_tells_labels_from_probabilities():
    left = np.array([[0.6, 0.4, 0.0], [0.2, 0.5, 0.3]])
    right = np.array([[0.4, 0.6, 0.0], [0.2, 0.5, 0.3]])
    assert agreement(left, right) == {"same_label": 0.5, "mean": 0.067, "most": 0.2}


def test_a_swing_is_the_widest_change_of_the_positive_probability():
    probe = Probe(("{x} sings.", "I met {x}."), ({"x": "Ann"}, {"x": "Bob"}, {"x": "Cem"}))
    positive = {"Ann sings.": 0.5, "Bob sings.": 0.7, "Cem sings.": 0.4}

    def ask(texts):
        return np.array([[0.0, 1 - positive.get(text, 0.2), positive.get(text, 0.2)] for text in texts])

    assert swings(probe, ask) == {"{x} sings.": pytest.approx(0.3), "I met {x}.": 0.0}


def test_every_probe_fills_every_gap():
    for probe in PROBES.values():
        for template in probe.templates:
            texts = sentences(probe, template)
            assert len(set(texts)) == len(probe.fillings) > 1
            assert not any("{" in text for text in texts)
    assert sentences(GENDERS, "{he} is a nurse.") == ["He is a nurse.", "She is a nurse."]


def test_a_long_text_is_read_in_windows_and_weighed_by_their_tokens(reader: Reader):
    tokenizer = load_tokenizer(ENTRY.path(next(iter(ENTRY.files))))
    text = "We walked to the station, bought two tickets, and waited for the train. " * 20
    cuts = windows(text, tokenizer)
    assert len(cuts) > 1
    pieces = np.concatenate([reader.logits([text[cut.start : cut.end]]) for cut in cuts])
    expected = np.average(pieces, axis=0, weights=[cut.tokens for cut in cuts])
    found = reader.read([Labelled("I love it", {}), Labelled(text, {}), Labelled("", {})])["sentiment"]
    assert found[1] == pytest.approx(expected, abs=1e-3)
    assert softmax(found[0]).argmax() == SENTIMENTS.index("positive")


def test_the_table_shows_every_score():
    results = {"scores": {"val": {"ece": 0.03, "rows": 7}}, "temperature": 1.1, "emotions": {}, "aspects": {}}
    assert "| val | ece 0.03, rows 7 |" in table(results)
    assert "| temperature | 1.1 |" in table(results)


class Answering:
    """A file (made up) that is right about terms, or about whole sentences."""

    heads = ("sentiment", "aspect")

    def __init__(self, right: str) -> None:
        self._right = right

    def read(self, rows: list[Labelled]) -> dict[str, np.ndarray]:
        true = np.array([next(iter(row.known.values())) for row in rows])
        return {head: true if head == self._right else 1 - true for head in self.heads}


def test_the_head_of_terms_is_served_only_if_it_beats_the_whole_sentence():
    terms = [Labelled("", {"aspect": one_hot(label, SENTIMENTS)}, term="soup") for label in SENTIMENTS]
    for right, served in (("aspect", True), ("sentiment", False)):
        judge = Judge(Answering(right), {"mams": terms}, temperature=1.0)
        assert (judge.aspects().get("output") == "aspect") is served
        assert judge.emotions() == {}
