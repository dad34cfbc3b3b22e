"""Any Hugging Face text-, audio- or image-classification model behind the same interface (extra `[torch]`)."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.domain.sentiment import Prediction
from service.features.face import Picture
from service.features.speech import SAMPLE_RATE, Samples
from service.runners import Failed, calibration
from service.runners.hub_labels import LabelMap, understand
from service.runners.text import batches_by_length

try:
    import torch
    import transformers
except ImportError as missing:
    raise ImportError('Hub models need the extra [torch]: pip install "multimodal-sentiment[torch]".') from missing

BATCH = 32
TOKENS_WITHOUT_LIMIT = 512
"""What is read at once by a model that names no limit."""

WORTH_HALF_PRECISION = 1.2
"""On a processor, bfloat16 is used only where it is so many times as fast."""

log = logging.getLogger(__name__)


class HubClassifier:
    """A network with the meanings of its outputs, on its device, in the precision that suits it."""

    def __init__(self, network: Any, device: str = "auto") -> None:
        """Raises `UnknownLabels`, or `ValueError` if the device is not there."""
        config = network.config
        self.labels: LabelMap = understand([config.id2label[index] for index in range(config.num_labels)])
        self.device = choose_device(device)
        self._several = config.problem_type == "multi_label_classification"
        self._network = network.to(device=self.device, dtype=_precision(self.device)).eval()
        self._autocast = False

    def predict(self, inputs: Any) -> list[list[float]]:
        """Probabilities (n, labels) of what a tokenizer or feature extractor made; they add up to 1."""
        with torch.inference_mode(), self._half():
            logits = self._network(**self._moved(inputs)).logits.float()
        # A model of several labels at once gives independent probabilities: scaled, they say which is likeliest.
        scores = torch.sigmoid(logits) if self._several else torch.softmax(logits, dim=-1)
        return (scores / scores.sum(dim=-1, keepdim=True)).cpu().tolist()

    def answer(self, probabilities: Sequence[float]) -> Prediction | Failed:
        """What one row of `predict` means."""
        return calibration.checked(self.labels.prediction(probabilities))

    def choose_precision(self, inputs: Any) -> None:
        """On a processor: try both precisions on `inputs`, keep the faster."""
        if self.device.type != "cpu":
            return
        seconds = {}
        for half in (False, True):
            self._autocast = half
            self.predict(inputs)
            seconds[half] = _fastest(lambda: self.predict(inputs))
        self._autocast = seconds[False] > WORTH_HALF_PRECISION * seconds[True]

    def _half(self) -> AbstractContextManager[Any]:
        return torch.autocast("cpu", dtype=torch.bfloat16) if self._autocast else nullcontext()

    def _moved(self, inputs: Any) -> dict[str, Any]:
        dtype = next(self._network.parameters()).dtype
        return {
            name: value.to(self.device, dtype if value.is_floating_point() else None) for name, value in inputs.items()
        }


class HubTextModel:
    """Texts to sentiment, by a sequence-classification model."""

    def __init__(self, classifier: HubClassifier, tokenizer: Any, max_tokens: int) -> None:
        self._classifier = classifier
        self._tokenizer = tokenizer
        self._max_tokens = max_tokens

    @classmethod
    def load(cls, name: str, device: str = "auto", threads: int = 1, revision: str | None = None) -> HubTextModel:
        """A model by its name on the hub (at a revision), or from a folder. Runs no code that comes with it."""
        torch.set_num_threads(threads)
        tokenizer = transformers.AutoTokenizer.from_pretrained(name, **_pinned(revision))
        network = transformers.AutoModelForSequenceClassification.from_pretrained(name, **_pinned(revision))
        return cls(HubClassifier(network, device), tokenizer, _max_tokens(tokenizer, network.config))

    def predict(self, texts: Sequence[str]) -> list[Prediction | Failed]:
        """One answer a text, in order. What is too long for the model is read in pieces, weighted by their tokens."""
        return _each(texts, self._predict)

    def warm(self) -> None:
        """Choose the precision, and infer once."""
        pieces, _ = self._pieces(["It rains, and I forgot my umbrella at home once more."] * 8)
        self._classifier.choose_precision(self._padded(pieces))

    def _predict(self, texts: Sequence[str]) -> list[Prediction | Failed]:
        pieces, owners = self._pieces(texts)
        lengths = np.array([len(piece["input_ids"]) for piece in pieces])
        if lengths.max() > self._max_tokens:
            raise ValueError(f"The text is longer than the {self._max_tokens} tokens that the model reads.")
        scores = np.zeros((len(texts), len(self._classifier.labels.meanings)))
        for group in batches_by_length(lengths.tolist(), self._max_tokens):
            probabilities = self._classifier.predict(self._padded([pieces[index] for index in group]))
            for index, row in zip(group, probabilities, strict=True):
                scores[owners[index]] += lengths[index] * np.array(row)
        return [self._classifier.answer((row / row.sum()).tolist()) for row in scores]

    def _pieces(self, texts: Sequence[str]) -> tuple[list[dict[str, Any]], list[int]]:
        """The tokens of texts, cut where a text is longer than the model reads; and which text each piece is of."""
        cut = {"truncation": True, "max_length": self._max_tokens, "return_overflowing_tokens": True}
        encoded = self._tokenizer(list(texts), **(cut if self._tokenizer.is_fast else {}))
        owners = encoded.pop("overflow_to_sample_mapping", range(len(texts)))
        names = [name for name in self._tokenizer.model_input_names if name in encoded]
        return [{name: encoded[name][index] for name in names} for index in range(len(owners))], list(owners)

    def _padded(self, pieces: Sequence[dict[str, Any]]) -> Any:
        return self._tokenizer.pad(list(pieces), return_tensors="pt")


class HubAudioModel:
    """Windows of a voice to emotions, by an audio-classification model."""

    def __init__(self, classifier: HubClassifier, extractor: Any) -> None:
        self._classifier = classifier
        self._extractor = extractor

    @classmethod
    def load(cls, name: str, device: str = "auto", threads: int = 1, revision: str | None = None) -> HubAudioModel:
        """A model by its name on the hub (at a revision), or from a folder. Runs no code that comes with it."""
        torch.set_num_threads(threads)
        extractor = transformers.AutoFeatureExtractor.from_pretrained(name, **_pinned(revision))
        network = transformers.AutoModelForAudioClassification.from_pretrained(name, **_pinned(revision))
        return cls(HubClassifier(network, device), extractor)

    def predict(self, windows: Sequence[Samples]) -> list[Prediction | Failed]:
        """One answer a window of mono 16 kHz samples (n,), in order."""
        return _each(windows, self._predict)

    def warm(self) -> None:
        """Choose the precision, and infer once."""
        self._classifier.choose_precision(self._features([np.zeros(2 * SAMPLE_RATE, np.float32)]))

    def _predict(self, windows: Sequence[Samples]) -> list[Prediction | Failed]:
        results: list[Prediction | Failed] = [Failed("")] * len(windows)
        for group in _by_key(windows, len):  # of one length: many models read padding as silence and answer otherwise
            probabilities = self._classifier.predict(self._features([windows[index] for index in group]))
            for index, row in zip(group, probabilities, strict=True):
                results[index] = self._classifier.answer(row)
        return results

    def _features(self, windows: Sequence[Samples]) -> Any:
        rate = self._extractor.sampling_rate
        resampled = [resample(window, rate) for window in windows]
        return self._extractor(resampled, sampling_rate=rate, return_tensors="pt", padding=True)


class HubImageModel:
    """Crops of faces to emotions, by an image-classification model."""

    def __init__(self, classifier: HubClassifier, processor: Any) -> None:
        self._classifier = classifier
        self._processor = processor

    @classmethod
    def load(cls, name: str, device: str = "auto", threads: int = 1, revision: str | None = None) -> HubImageModel:
        """A model by its name on the hub (at a revision), or from a folder. Runs no code that comes with it."""
        torch.set_num_threads(threads)
        processor = transformers.AutoImageProcessor.from_pretrained(name, **_pinned(revision))
        network = transformers.AutoModelForImageClassification.from_pretrained(name, **_pinned(revision))
        return cls(HubClassifier(network, device), processor)

    def predict(self, crops: Sequence[Picture]) -> list[Prediction | Failed]:
        """One answer an RGB crop (h, w, 3) of any size, in order."""
        return _each(crops, self._predict)

    def warm(self) -> None:
        """Choose the precision, and infer once."""
        self._classifier.choose_precision(self._features([np.zeros((224, 224, 3), np.uint8)]))

    def _predict(self, crops: Sequence[Picture]) -> list[Prediction | Failed]:
        probabilities = self._classifier.predict(self._features(crops))
        return [self._classifier.answer(row) for row in probabilities]

    def _features(self, crops: Sequence[Picture]) -> Any:
        return self._processor([Image.fromarray(crop) for crop in crops], return_tensors="pt")


def choose_device(setting: str) -> Any:
    """The device that `device` names. Raises `ValueError` if it is not there."""
    if setting == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if setting.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError("SENTIMENT_DEVICE is cuda, but torch sees no GPU.")
    return torch.device(setting)


def resample(samples: Samples, rate: int) -> NDArray[np.float32]:
    """Samples at `SAMPLE_RATE` at another rate; by torchaudio, which is asked only if the rates differ."""
    if rate == SAMPLE_RATE:
        return samples
    try:
        from torchaudio.functional import resample as by_sinc  # noqa: PLC0415
    except (ImportError, OSError) as missing:  # OSError: its wheel was built for another torch (CPU beside CUDA)
        raise ImportError(
            f"A model of {rate} Hz needs torchaudio of the same build as torch (extra [resample])."
        ) from missing
    return by_sinc(torch.from_numpy(np.array(samples)), SAMPLE_RATE, rate).numpy()


def _pinned(revision: str | None) -> dict[str, Any]:
    """A branch, a tag or a commit of a model's repository; without one, what its main branch has."""
    return {"trust_remote_code": False} | ({"revision": revision} if revision else {})


def _precision(device: Any) -> Any:
    """On a GPU half precision, bfloat16 where the GPU has it; on a processor single."""
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def _max_tokens(tokenizer: Any, config: Any) -> int:
    """Two less than the positions, since models of RoBERTa's kind keep two back."""
    positions = getattr(config, "max_position_embeddings", None) or TOKENS_WITHOUT_LIMIT + 2
    return min(positions - 2, tokenizer.model_max_length)


def _each(items: Sequence[Any], predict: Callable[[Sequence[Any]], list[Prediction | Failed]]) -> list[Any]:
    """Batch after batch; if one fails, its items one by one, so that only what is to blame fails."""
    results: list[Prediction | Failed] = []
    for start in range(0, len(items), BATCH):
        batch = items[start : start + BATCH]
        try:
            results += predict(batch)
        except Exception as error:  # other people's models throw what they like
            log.warning("A batch of %d failed: %r", len(batch), error)
            results += [Failed(str(error))] if len(batch) == 1 else [_each([item], predict)[0] for item in batch]
    return results


def _by_key(items: Iterable[Any], key: Callable[[Any], int]) -> Iterable[list[int]]:
    """Indices of items, together where `key` is the same."""
    groups: dict[int, list[int]] = {}
    for index, item in enumerate(items):
        groups.setdefault(key(item), []).append(index)
    return groups.values()


def _fastest(run: Callable[[], object], times: int = 3) -> float:
    """Seconds of the fastest of some runs."""
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    return min(seconds)
