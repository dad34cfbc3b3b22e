from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from models.training.face_data import is_made_by
from models.training.fingerprint import fingerprint


@dataclass(frozen=True)
class Settings:
    rate: float = 0.1
    sides: tuple[int, ...] = (1, 2)


def test_the_same_values_have_the_same_fingerprint_and_others_another():
    pictures = np.arange(12, dtype=np.uint8)
    same = fingerprint(Settings(), pictures, {"a": 1, "b": 2})
    assert same == fingerprint(Settings(), pictures.copy(), {"b": 2, "a": 1})
    others = [
        fingerprint(replace(Settings(), rate=0.2), pictures, {"a": 1, "b": 2}),
        fingerprint(Settings(), pictures + 1, {"a": 1, "b": 2}),
        fingerprint(Settings(), pictures.reshape(3, 4), {"a": 1, "b": 2}),
        fingerprint(Settings(), pictures.astype(np.int8), {"a": 1, "b": 2}),
        fingerprint(Settings(), pictures, {"a": 1, "b": 3}),
    ]
    assert len({same, *others}) == len(others) + 1


def test_where_one_value_ends_and_the_next_begins_counts():
    assert fingerprint("ab", "c") != fingerprint("a", "bc")
    assert fingerprint([1, 2], [3]) != fingerprint([1], [2, 3])
    assert fingerprint(1) != fingerprint("1")


def test_a_file_counts_by_what_is_in_it(tmp_path: Path):
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_text("faces")
    other.write_text("faces")
    before = fingerprint(one)
    assert before == fingerprint(other)
    one.write_text("other faces")
    assert fingerprint(one) != before


def test_a_thing_that_cannot_be_told_from_another_has_no_fingerprint():
    with pytest.raises(TypeError, match="object"):
        fingerprint(object())


def test_a_cache_of_other_data_or_of_none_that_it_names_is_not_used(tmp_path: Path):
    cache = tmp_path / "cache.npz"
    assert not is_made_by(cache, "these")
    np.savez(cache, answers=np.zeros(3))
    assert not is_made_by(cache, "these")
    np.savez(cache, answers=np.zeros(3), made_by=np.array("these"))
    assert is_made_by(cache, "these")
    assert not is_made_by(cache, "others")
