"""The models as they are shipped, each loaded once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from faster_whisper.audio import decode_audio
from numpy.typing import NDArray

from models.registry import default_model
from service.runners.face import FaceDetector, FaceModel
from service.runners.speech import SpeechModel
from service.runners.text import TextModel


@pytest.fixture(scope="session")
def text_model() -> TextModel:
    return TextModel.load(default_model("text-sentiment"))


@pytest.fixture(scope="session")
def speech_model() -> SpeechModel:
    return SpeechModel.load(default_model("speech-emotion"))


@pytest.fixture(scope="session")
def face_model() -> FaceModel:
    return FaceModel.load(default_model("face-emotion"))


@pytest.fixture(scope="session")
def detector() -> FaceDetector:
    return FaceDetector.load(default_model("face-detection"))


def listen(path: Path) -> NDArray[np.float32]:
    """A recording as mono samples at 16 kHz."""
    return np.asarray(decode_audio(str(path)), np.float32)
