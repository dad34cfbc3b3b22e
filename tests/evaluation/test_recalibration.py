"""Recalibration on made-up rows whose true temperature is known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from models.evaluation.evidence import Evidence, Judgeable
from models.evaluation.measures import chance_ece, ece
from models.evaluation.recalibration import (
    FOLDS,
    LEAST_ROWS,
    HeldOut,
    Subset,
    as_served,
    cross_validated,
    fit_temperature,
    folds,
    judged_subsets,
    recalibrate,
    threshold,
)
from service.domain.fusion import FusionRule
from service.domain.sentiment import NO_EVIDENCE, verdict

TEXT: Subset = ("text",)
TOO_SURE = 2.0
MAX_CONFLICT = 0.9


def made_up(count: int, windows: int = 1, names: Sequence[str] = ("text",), seed: int = 5) -> list[Judgeable]:
    """Rows whose modalities say p² of what is true, scaled: a temperature of 2 sets that right."""
    random = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        label = int(random.integers(3))
        evidence = {name: _evidence(label, windows, random) for name in names}
        rows.append(Judgeable(evidence, label))  # type: ignore[arg-type]
    return rows


def _evidence(label: int, windows: int, random: np.random.Generator) -> Evidence:
    """A distribution drawn so that the label is as likely as it says, and then made too sure."""
    while True:
        true = random.dirichlet((0.8, 0.8, 0.8))
        if random.random() < true[label]:
            break
    sure = true**TOO_SURE / (true**TOO_SURE).sum()
    return Evidence(np.repeat(sure[None], windows, axis=0), np.full(windows, 1 / windows), 1.0, 0.7)


@pytest.mark.parametrize("windows", [1, 3])
def test_the_temperature_that_labels_imply_is_found(windows: int) -> None:
    rows = made_up(3000, windows)
    found = fit_temperature([row.evidence["text"] for row in rows], [row.label for row in rows])
    assert found == pytest.approx(TOO_SURE, rel=0.06)


def test_honest_rows_are_left_as_they_are() -> None:
    rows = [Judgeable({"text": _honest(row.evidence["text"])}, row.label) for row in made_up(3000)]
    found = fit_temperature([row.evidence["text"] for row in rows], [row.label for row in rows])
    assert found == pytest.approx(1.0, rel=0.06)


def _honest(one: Evidence) -> Evidence:
    said = one.said ** (1 / TOO_SURE)
    return Evidence(said / said.sum(axis=1, keepdims=True), one.weights, one.quality, one.reliability)


def held_out(rows: Sequence[Judgeable], share: float) -> HeldOut:
    """The rows' words, before and after."""
    before = {TEXT: as_served(rows, TEXT, FusionRule())}
    return cross_validated(rows, before, {TEXT: share}, MAX_CONFLICT)[TEXT]


def test_too_sure_rows_become_honest_and_keep_their_labels() -> None:
    found = held_out(made_up(1500), 1.0)
    before, after = found.before.probabilities, found.after.probabilities
    assert ece(before, found.labels) > 0.1
    assert ece(after, found.labels) < 0.05
    assert np.array_equal(before.argmax(axis=1), after.argmax(axis=1))


def test_no_row_is_judged_by_what_it_had_a_part_in() -> None:
    rows = made_up(LEAST_ROWS)
    found = held_out(rows, 0.8)
    fold = folds([row.label for row in rows])
    for number in range(FOLDS):
        others = [row for row, one in zip(rows, fold, strict=True) if one != number]
        fitted = recalibrate(others, {TEXT: 0.8}, MAX_CONFLICT)
        for place in np.flatnonzero(fold == number).tolist():
            expected = rows[place].opinions(fitted.temperatures)["text"].prediction.probabilities
            assert found.after.probabilities[place] == pytest.approx(expected)
            assert found.least_probability[place] == fitted.of[TEXT].least_probability


def test_each_fold_has_its_share_of_every_label() -> None:
    labels = [0] * 50 + [1] * 30 + [2] * 21
    fold = folds(labels)
    for label, count in ((0, 50), (1, 30), (2, 21)):
        shares = np.bincount(fold[np.array(labels) == label], minlength=FOLDS)
        assert shares.sum() == count
        assert shares.max() - shares.min() <= 1


def test_what_too_few_rows_have_is_not_judged() -> None:
    both, text = made_up(LEAST_ROWS - 1, names=("text", "face")), made_up(1)
    assert judged_subsets([*both, *text]) == [("text",)]
    assert judged_subsets([*both, *made_up(1, names=("text", "face"))]) == [("text",), ("face",), ("text", "face")]


def test_the_threshold_lets_the_asked_share_through() -> None:
    verdicts = [verdict((0.0, 1 - sure, sure)) for sure in (0.95, 0.9, 0.8, 0.7, 0.6)]
    assert threshold(verdicts, 0.6) == pytest.approx(0.8, abs=1e-4)
    assert threshold(verdicts, 1.0) == pytest.approx(0.6, abs=1e-4)
    assert threshold([*verdicts, NO_EVIDENCE], 1.0) == pytest.approx(0.6, abs=1e-4)
    assert threshold(verdicts, 0.0) == threshold([NO_EVIDENCE], 0.5) == 1.0


def test_as_many_rows_are_answered_as_were_asked_for() -> None:
    rows = made_up(1500)
    some, everything = (held_out(rows, share).after.answered for share in (0.7, 1.0))
    assert some.share == pytest.approx(0.7, abs=0.03)
    assert everything.share > 0.99
    assert some.accuracy > everything.accuracy + 0.05


def test_chance_alone_makes_a_calibration_error_of_few_rows() -> None:
    random = np.random.default_rng(1)
    few, many = (random.dirichlet((0.6, 0.8, 1.0), count) for count in (100, 1000))
    assert chance_ece(few) == pytest.approx(0.11, abs=0.02)
    assert chance_ece(many) == pytest.approx(0.035, abs=0.01)
