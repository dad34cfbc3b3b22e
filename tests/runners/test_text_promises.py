"""Negation, contrast, comparison and swapped names as promises about the shipped weights.

What the model breaks is expected to fail, with by how much; a promise that is kept again must leave the list.
"""

from __future__ import annotations

import json

import pytest

from service.runners.text import TextModel
from tests.runners.text_promises import BROKEN, ROUNDING, Promise, asking, promises

KNOWN = json.loads(BROKEN.read_text(encoding="utf-8"))
PROMISES = list(promises())


def marked(promise: Promise) -> object:
    off = KNOWN.get(promise.kind, {}).get(promise.name)
    marks = () if off is None else (pytest.mark.xfail(strict=off > 2 * ROUNDING, reason=f"off by {off}"),)
    return pytest.param(promise, marks=marks, id=f"{promise.kind}: {promise.name}")


@pytest.mark.parametrize("promise", [marked(promise) for promise in PROMISES])
def test_the_text_model_keeps_its_promise(promise: Promise, text_model: TextModel) -> None:
    known = promise.name in KNOWN.get(promise.kind, {})
    assert promise.measure(asking(text_model)) <= (0 if known else ROUNDING)


def test_every_broken_promise_is_one_that_was_made() -> None:
    made = {(promise.kind, promise.name) for promise in PROMISES}
    assert {(kind, name) for kind, names in KNOWN.items() for name in names} <= made
    assert len(made) == len(PROMISES)


def test_names_countries_and_genders_are_swapped_in_fifty_sentences() -> None:
    swapped = [p for p in PROMISES if p.kind in ("swaps-names", "swaps-countries", "swaps-genders")]
    assert len(swapped) == 50
