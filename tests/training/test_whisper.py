"""The encoder in torch beside CTranslate2, which runs the same file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra [train]")
pytest.importorskip("onnx", reason="needs the extra [train]")


@pytest.fixture(scope="module")
def speech(samples: Path) -> np.ndarray:
    from models.training.data import decode

    return decode((samples / "audio" / "jfk_16k_s16.wav").read_bytes())


@pytest.fixture(scope="module")
def half_minute(speech: np.ndarray) -> np.ndarray:
    """The sample and silence, 30 s together, as Whisper wants it."""
    return np.pad(speech, (0, 480_000 - len(speech)))


def test_log_mel_frames_are_those_of_faster_whisper(half_minute: np.ndarray, speech: np.ndarray) -> None:
    from faster_whisper.feature_extractor import FeatureExtractor

    from models.training.whisper import HOP_SAMPLES, LogMel

    expected = FeatureExtractor()(half_minute).T
    found = LogMel()(torch.from_numpy(half_minute)[None], torch.tensor([len(half_minute)]))[0].numpy()
    # They reflect the first half window where we pad with zeros.
    inner = slice(2, len(speech) // HOP_SAMPLES)
    assert np.abs(found[inner] - expected[inner]).max() < 1e-3


def test_tokens_are_those_of_ctranslate2(half_minute: np.ndarray) -> None:
    import ctranslate2
    from faster_whisper.feature_extractor import FeatureExtractor

    from models.training.whisper import bundled_weights, load_encoder

    frames = np.ascontiguousarray(FeatureExtractor()(half_minute)[:, :2000], dtype=np.float32)
    reference = ctranslate2.models.Whisper(str(bundled_weights().parent), device="cpu", compute_type="float32")
    expected = np.array(reference.encode(ctranslate2.StorageView.from_array(frames[None])))[0]
    encoder = load_encoder(bundled_weights(), window_seconds=20.0).eval()
    with torch.no_grad():
        depths, _ = encoder.contextualise(torch.from_numpy(frames.T[None].copy()), torch.tensor([320_000]))
    assert np.abs(depths[-1][0].numpy() - expected).max() < 1e-3


def test_padding_does_not_change_a_clips_tokens(speech: np.ndarray) -> None:
    from models.training.whisper import bundled_weights, load_encoder

    encoder = load_encoder(bundled_weights(), window_seconds=4.0).eval()
    clip, length = torch.from_numpy(speech[None, :40_001]), torch.tensor([40_001])
    with torch.no_grad():
        bare, inside = encoder(clip, length)
        padded, inside_padded = encoder(torch.nn.functional.pad(clip, (0, 20_000)), length)
    for short, long in zip(bare, padded, strict=True):
        assert torch.allclose(short[inside], long[inside_padded], atol=1e-4)


def test_another_format_of_file_is_refused(tmp_path: Path) -> None:
    from models.training.whisper import read_ctranslate2

    path = tmp_path / "model.bin"
    path.write_bytes(b"\x05\0\0\0" + bytes(64))
    with pytest.raises(ValueError, match="format 5"):
        read_ctranslate2(path)
