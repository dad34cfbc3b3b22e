"""Clips of acted and spontaneous speech: decoded, cut to where somebody speaks, disturbed at random, batched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from models.training.data import decode, read_table
from models.training.speech_model import EMOTIONS
from service.features.speech import SAMPLE_RATE, Samples, speech_segments

CORPORA = {
    "ravdess": EMOTIONS,
    "nemo": ("neutral", "happy", "sad", "angry", "fearful", "surprised"),
    "urdu": ("neutral", "happy", "sad", "angry"),
}
"""The corpora and the emotions that each could have been given: the loss compares only those."""

ABSENT = -1e4
"""Added to the logit of an emotion that a clip's corpus does not know."""

FULL_SCALE = 32767


@dataclass(frozen=True)
class Clip:
    """One utterance: its speech alone, as 16-bit samples (n,), and where it is from."""

    samples: NDArray[np.int16]
    corpus: str
    speaker: str
    split: str
    emotion: int


@dataclass(frozen=True)
class Batch:
    """Waveforms (n, samples), lengths (n,) in samples, what to add to logits (n, 8), emotions (n,)."""

    waveforms: Tensor
    lengths: Tensor
    absent: Tensor
    emotions: Tensor

    def to(self, device: torch.device) -> Batch:
        return Batch(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))


def load_clips(work: Path, window_seconds: float) -> list[Clip]:
    """All clips of all corpora, kept in `work` once they are made."""
    kept = work / "clips.npy"
    if not kept.exists():
        rows = [row for corpus in CORPORA for row in read_table(f"speech/{corpus}")]
        clips = [_clip(row, window_seconds) for row in tqdm(rows, "decode and find speech", unit="clip")]
        np.save(kept, np.array(clips, dtype=object), allow_pickle=True)
    return list(np.load(kept, allow_pickle=True))


def _clip(row: dict[str, Any], window_seconds: float) -> Clip:
    """The clip from its first to its last speech, as served; all of it if none is found, the label being true."""
    samples = decode(row["audio"])
    if segments := speech_segments(samples):
        samples = samples[
            round(segments[0].start_seconds * SAMPLE_RATE) : round(segments[-1].end_seconds * SAMPLE_RATE)
        ]
    whole = np.clip(samples[: round(window_seconds * SAMPLE_RATE)] * FULL_SCALE, -FULL_SCALE, FULL_SCALE)
    emotion = EMOTIONS.index(row["emotion"])
    return Clip(whole.astype(np.int16), row["corpus"], row["speaker"], row["split"], emotion)


def batches(
    clips: Sequence[Clip], size: int, rng: np.random.Generator | None, longest: int
) -> Iterator[tuple[NDArray[np.int64], Batch]]:
    """The clips once, in batches of similar length, with their numbers: shuffled and disturbed if there is an `rng`.

    `longest` is the number of samples at which a disturbed clip is cut.
    """
    jitter = 1.0 if rng is None else rng.uniform(0.9, 1.1, len(clips))
    order = np.argsort(np.array([len(clip.samples) for clip in clips]) * jitter, kind="stable")
    groups = [order[at : at + size] for at in range(0, len(order), size)]
    if rng is not None:
        rng.shuffle(groups)
    for group in groups:
        yield group, _batch([clips[index] for index in group], rng, longest)


def _batch(clips: list[Clip], rng: np.random.Generator | None, longest: int) -> Batch:
    sounds = [clip.samples.astype(np.float32) / FULL_SCALE for clip in clips]
    if rng is not None:
        sounds = [disturb(sound, rng)[:longest] for sound in sounds]
    waveforms = torch.zeros(len(clips), max(len(sound) for sound in sounds))
    for row, sound in zip(waveforms, sounds, strict=True):
        row[: len(sound)] = torch.from_numpy(sound)
    return Batch(
        waveforms,
        torch.tensor([len(sound) for sound in sounds]),
        torch.stack([absent(clip.corpus) for clip in clips]),
        torch.tensor([clip.emotion for clip in clips]),
    )


def absent(corpus: str) -> Tensor:
    """What to add to logits (8,): `ABSENT` where the corpus does not know the emotion, else 0."""
    return torch.tensor([0.0 if emotion in CORPORA[corpus] else ABSENT for emotion in EMOTIONS])


def disturb(samples: Samples, rng: np.random.Generator) -> Samples:
    """The same speech by somebody a little faster and higher or slower and lower, somewhere else.

    Speed within 12 % (pitch moves along), a random tilt or band of the spectrum, coloured noise 10 to 40 dB below.
    """
    if rng.random() < 0.8:
        samples = _resampled(samples, rng.uniform(0.88, 1.12))
    spectrum = np.fft.rfft(samples)
    hertz = np.fft.rfftfreq(len(samples), 1 / SAMPLE_RATE)
    if rng.random() < 0.5:
        spectrum *= _filter(hertz, rng)
    if rng.random() < 0.5:
        power = np.mean(np.square(samples)) / 10 ** rng.uniform(1.0, 4.0)
        spectrum += _noise(hertz, len(samples), power, rng)
    return np.fft.irfft(spectrum, len(samples)).astype(np.float32)


def _resampled(samples: Samples, speed: float) -> Samples:
    """Played `speed` times as fast, by linear interpolation."""
    places = np.arange(0, len(samples) - 1, speed)
    return np.interp(places, np.arange(len(samples)), samples).astype(np.float32)


def _filter(hertz: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """The gain of another microphone: a tilt of up to 4 dB an octave about 1 kHz, at times a telephone's band."""
    octaves = np.log2(np.maximum(hertz, 50.0) / 1000.0)
    gain = 10 ** (rng.uniform(-4.0, 4.0) * octaves / 20)
    if rng.random() < 0.3:
        gain *= (hertz > rng.uniform(100, 300)) & (hertz < rng.uniform(3400, 7000))
    return gain


def _noise(hertz: NDArray[np.float64], n: int, power: float, rng: np.random.Generator) -> NDArray[np.complex128]:
    """The spectrum of noise of this power, between white and brown."""
    white = np.fft.rfft(rng.standard_normal(n))
    coloured = white / np.maximum(hertz, 50.0) ** rng.uniform(0.0, 1.0)
    return coloured * np.sqrt(power / max(np.mean(np.square(np.fft.irfft(coloured, n))), 1e-20))
