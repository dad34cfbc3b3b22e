from __future__ import annotations

import asyncio
import threading

import pytest

from service.runners import ModelUnavailable, TranscriptUnavailable
from service.runners.embedded import Embedded
from service.runners.loading import Loading


class Model:
    """A model that doubles, from a file that is damaged until it is mended."""

    def __init__(self) -> None:
        self.mended = False
        self.warmed = threading.Event()

    def load(self) -> Model:
        if not self.mended:
            raise RuntimeError("text.onnx is not the file that models/registry.toml names.")
        return self

    def warm(self) -> None:
        self.warmed.set()

    def predict(self, items: list[int]) -> list[int]:
        return [2 * item for item in items]


def test_a_damaged_model_is_named_and_loaded_once_it_is_mended():
    model = Model()
    loading = Loading("text", model.load, retry_seconds=0.01)
    loading.begin()
    assert loading.problem == (
        "The text model cannot be loaded: text.onnx is not the file that models/registry.toml names."
    )
    with pytest.raises(ModelUnavailable, match=r"text\.onnx is not the file"):
        loading.require()
    model.mended = True
    assert model.warmed.wait(30)
    loading.stop()


def test_absent_weights_are_not_waited_for():
    def absent():
        raise TranscriptUnavailable("No transcription weights are installed.")

    with pytest.raises(TranscriptUnavailable):
        Loading("transcript", absent, retry_seconds=0.01).begin()


async def test_a_model_in_this_process_tells_its_state_and_works_once_it_is_mended():
    model = Model()
    embedded = Embedded("text", model.load, retry_seconds=0.01)
    assert await embedded.state(1.0) == "starting"
    await embedded.start()
    assert await embedded.state(1.0) == "unhealthy"
    assert "text.onnx" in (embedded.problem or "")
    with pytest.raises(ModelUnavailable):
        await embedded.call("predict", [1])
    model.mended = True
    assert model.warmed.wait(30)
    while await embedded.state(1.0) != "healthy":
        await asyncio.sleep(0.01)
    assert await embedded.call("predict", [1, 2]) == [2, 4]
    await embedded.close()
