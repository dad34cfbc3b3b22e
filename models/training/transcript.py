"""How far a transcript's confidence tells that its words are right: chooses `min_transcript_confidence`.

    python -m models.training.transcript

Clips of RAVDESS's validation actors, whose sentences are known, are transcribed clean and under white noise. The
threshold is the lowest at which the transcripts that pass have at most `MAX_ERROR_RATE` word errors on average.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from models.training.data import decode, read_table
from service.domain.analysis import Transcript
from service.runners.transcript import TranscriptModel

CLIPS = 60
NOISE_DB = (None, 10.0, 5.0, 0.0, -5.0)
"""Speech over noise; None leaves the clip as it is."""

MAX_ERROR_RATE = 0.25
THRESHOLDS = tuple(round(0.3 + 0.05 * step, 2) for step in range(10))
SEED = 7


def word_error_rate(said: str, heard: str) -> float:
    """Edit distance in words over the number of words said (Levenshtein 1966); above 1 where words were added."""
    reference, hypothesis = (re.findall(r"[\w']+", text.lower()) for text in (said, heard))
    row = list(range(len(hypothesis) + 1))
    for i, word in enumerate(reference, start=1):
        before, row[0] = row[0], i
        for j, other in enumerate(hypothesis, start=1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (word != other))
    return row[-1] / len(reference)


def noisy(samples: NDArray[np.float32], ratio_db: float | None, random: np.random.Generator) -> NDArray[np.float32]:
    """The clip under white noise."""
    if ratio_db is None:
        return samples
    power = float(np.mean(np.square(samples))) / 10 ** (ratio_db / 10)
    return (samples + random.normal(0, np.sqrt(power), len(samples))).astype(np.float32)


def measure() -> NDArray[np.float64]:
    """Confidence and word error rate (n, 2) of every clip under every noise."""
    random = np.random.default_rng(SEED)
    rows = read_table("speech/ravdess", "val")
    chosen = [rows[index] for index in random.choice(len(rows), CLIPS, replace=False)]
    model, results = TranscriptModel.load(), []
    for row in tqdm(chosen, desc="transcripts"):
        for ratio_db in NOISE_DB:
            (heard,) = model.transcribe([noisy(decode(row["audio"]), ratio_db, random)])
            assert isinstance(heard, Transcript)
            results.append((heard.confidence, word_error_rate(row["text"], heard.text)))
    return np.array(results)


def main() -> None:
    """Print a line a threshold."""
    confidence, errors = measure().T
    print(f"{len(errors)} transcripts, {errors.mean():.2f} word errors a word")
    print("| threshold | kept | word errors of those kept | of those left out |\n|---|---|---|---|")
    for threshold in THRESHOLDS:
        kept = confidence >= threshold
        inside, outside = (errors[part].mean() if part.any() else float("nan") for part in (kept, ~kept))
        print(f"| {threshold:.2f} | {kept.mean():.0%} | {inside:.2f} | {outside:.2f} |")
    print(f"Lowest with at most {MAX_ERROR_RATE} word errors a word: {lowest_threshold(confidence, errors)}")


def lowest_threshold(confidence: NDArray[np.float64], errors: NDArray[np.float64]) -> float | None:
    """The rule that chooses; None if no threshold is high enough."""
    passing = ((t, confidence >= t) for t in THRESHOLDS)
    return next((t for t, kept in passing if kept.any() and errors[kept].mean() <= MAX_ERROR_RATE), None)


if __name__ == "__main__":
    main()
