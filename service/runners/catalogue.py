"""Which model each setting names: what it is, without loading it, and how it is loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.registry import ModelEntry, default_model, sha256
from service.features.text import MAX_TOKENS, Window, load_tokenizer, windows
from service.runners import ModelInfo, TranscriptUnavailable
from service.runners import transcript as whisper
from service.settings import Settings

if TYPE_CHECKING:
    from service.runners.face import FaceDetector, FaceModel, YuNetDetector
    from service.runners.speech import SpeechModel
    from service.runners.text import TextModel
    from service.runners.torch_hub import HubAudioModel, HubImageModel, HubTextModel
    from service.runners.transcript import TranscriptModel

HUB = "hf:"
DEFAULT = "default"

HUB_SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "text": {"max_tokens": 128, "emotions": {}, "aspects": {}},
    "speech": {},
    "face": {"crop_size": 224},  # what vision transformers read; they scale anything else
}
"""What differs for hub models from the settings of the default model of the same modality."""

TASKS: Mapping[str, str] = {
    "text": "text-sentiment",
    "speech": "speech-emotion",
    "face": "face-emotion",
    "detector": "face-detection",
}


@dataclass(frozen=True)
class HubModel:
    """A model by its name on the hub or its folder; and the branch, tag or commit that it is pinned to, if it is."""

    name: str
    revision: str | None = None


def describe(settings: Settings) -> dict[str, ModelInfo]:
    """Every model that the settings name; `transcript` only if its weights are on this machine."""
    info = {
        "text": _classifier("text", settings.text_model, settings),
        "speech": _classifier("speech", settings.speech_model, settings),
        "face": _classifier("face", settings.face_model, settings),
        "detector": _detector(settings.face_detector),
    }
    try:
        whisper.find_weights(settings.transcript_model)
    except TranscriptUnavailable:
        return info
    return info | {"transcript": ModelInfo(whisper.ENTRY.identifier, languages=whisper.ENTRY.languages)}


def loader(model: str, settings: Settings) -> Callable[[], Any]:
    """What loads a model by its name in `describe`, heavy imports included."""
    return {
        "text": lambda: load_text(settings),
        "speech": lambda: load_speech(settings),
        "face": lambda: load_face(settings),
        "detector": lambda: load_detector(settings),
        "transcript": lambda: load_transcript(settings),
    }[model]


def text_cutter() -> Callable[[str], list[Window]]:
    """Cuts a text of any length into windows by the default model's tokens; hub models get the same windows."""
    entry = default_model(TASKS["text"])
    tokenizer = load_tokenizer(next(entry.path(file) for file in entry.files if file.endswith("tokenizer.json")))
    return lambda text: windows(text, tokenizer, int(entry.settings.get("max_tokens", MAX_TOKENS)))


def load_text(settings: Settings) -> TextModel | HubTextModel:
    """The model that `text_model` names."""
    if hub := _hub_model("text_model", settings.text_model):
        from service.runners.torch_hub import HubTextModel  # noqa: PLC0415 (needs the extra [torch])

        return HubTextModel.load(hub.name, settings.device, settings.threads, hub.revision)
    from service.runners.text import TextModel  # noqa: PLC0415

    return TextModel.load(default_model(TASKS["text"]), settings.threads)


def load_speech(settings: Settings) -> SpeechModel | HubAudioModel:
    """The model that `speech_model` names."""
    if hub := _hub_model("speech_model", settings.speech_model):
        from service.runners.torch_hub import HubAudioModel  # noqa: PLC0415 (needs the extra [torch])

        return HubAudioModel.load(hub.name, settings.device, settings.threads, hub.revision)
    from service.runners.speech import SpeechModel  # noqa: PLC0415

    return SpeechModel.load(default_model(TASKS["speech"]), settings.threads)


def load_face(settings: Settings) -> FaceModel | HubImageModel:
    """The model that `face_model` names."""
    if hub := _hub_model("face_model", settings.face_model):
        from service.runners.torch_hub import HubImageModel  # noqa: PLC0415 (needs the extra [torch])

        return HubImageModel.load(hub.name, settings.device, settings.threads, hub.revision)
    from service.runners.face import FaceModel  # noqa: PLC0415

    return FaceModel.load(default_model(TASKS["face"]), settings.threads)


def load_detector(settings: Settings) -> FaceDetector | YuNetDetector:
    """The detector that `face_detector` names."""
    from service.runners.face import FaceDetector, YuNetDetector  # noqa: PLC0415

    if settings.face_detector != DEFAULT:
        return YuNetDetector(Path(settings.face_detector), settings.threads)
    return FaceDetector.load(default_model(TASKS["detector"]), settings.threads)


def load_transcript(settings: Settings) -> TranscriptModel:
    """The model that `transcript_model` names. Raises `TranscriptUnavailable`."""
    return whisper.TranscriptModel.load(settings.transcript_model, settings.threads)


def _classifier(model: str, setting: str, settings: Settings) -> ModelInfo:
    entry = default_model(TASKS[model])
    if _hub_model(f"{model}_model", setting):
        return ModelInfo(setting, settings.hub_reliability, settings={**entry.settings, **HUB_SETTINGS[model]})
    return _of_entry(entry)


def _detector(setting: str) -> ModelInfo:
    if setting == DEFAULT:
        return _of_entry(default_model(TASKS["detector"]))
    return ModelInfo(f"{Path(setting).stem}@{sha256(Path(setting))[:12]}")


def _of_entry(entry: ModelEntry) -> ModelInfo:
    return ModelInfo(entry.identifier, entry.reliability, entry.languages, entry.settings)


def _hub_model(variable: str, setting: str) -> HubModel | None:
    """The model behind `hf:`, or None for the default one. Raises `ValueError`."""
    if setting == DEFAULT:
        return None
    said = setting.removeprefix(HUB)
    name, at, revision = said.rpartition("@")
    if not at or Path(said).is_dir():
        name, revision = said, None
    if not setting.startswith(HUB) or not name or revision == "":
        raise ValueError(
            f"SENTIMENT_{variable.upper()} is `default`, `hf:<name or folder>` or `hf:<name>@<revision>`, "
            f"not {setting!r}."
        )
    if revision and Path(name).is_dir():
        raise ValueError(f"SENTIMENT_{variable.upper()}: {name} is a folder, which has no revision {revision!r}.")
    return HubModel(name, revision)
