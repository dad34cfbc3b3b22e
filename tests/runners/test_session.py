"""Opening model files."""

from __future__ import annotations

from dataclasses import replace

import pytest

from models.registry import WeightsMismatch, default_model
from service.runners.session import open_model


def test_a_file_of_another_digest_is_refused() -> None:
    entry = replace(default_model("text-sentiment"), sha256="0" * 64)
    with pytest.raises(WeightsMismatch, match="is not the file"):
        open_model(entry)


def test_a_missing_file_is_refused_by_its_name() -> None:
    entry = replace(default_model("text-sentiment"), file="weights/nowhere.onnx")
    with pytest.raises(WeightsMismatch, match=r"nowhere\.onnx is missing"):
        open_model(entry)


def test_a_session_has_as_many_threads_as_it_is_given_and_none_of_them_spins() -> None:
    options = open_model(default_model("text-sentiment"), threads=2).get_session_options()
    assert options.intra_op_num_threads == 2
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
