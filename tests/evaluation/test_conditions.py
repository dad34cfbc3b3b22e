"""What damage does, who is grouped how, and what is counted: on made-up items whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from models.evaluation.answers import Answers
from models.evaluation.confusion import counted
from models.evaluation.groups import by_group, gaps, in_thirds
from models.evaluation.pitch import median_pitch
from models.evaluation.robustness import point, wilson
from models.evaluation.spoiling import among_voices, compressed, crowd, further_away, noisy
from service.domain.fusion import Opinion
from service.domain.sentiment import Prediction

SECOND = 16_000
NEGATIVE, NEUTRAL, POSITIVE = ((0.8, 0.1, 0.1), (0.1, 0.8, 0.1), (0.1, 0.1, 0.8))


def voice(hertz: float, seconds: float = 2.0) -> np.ndarray:
    """A buzz with falling overtones, as vocal folds give it."""
    time = np.arange(round(seconds * SECOND)) / SECOND
    return (0.1 * sum(np.sin(2 * np.pi * hertz * k * time) / k for k in range(1, 11))).astype(np.float32)


def answers(*pairs: tuple[tuple[float, float, float] | None, int], quality: float = 1.0) -> Answers:
    """Opinions of these probabilities, and the true labels."""
    said = [None if one is None else Opinion(Prediction(one), quality) for one, _ in pairs]
    return Answers(tuple(said), np.array([label for _, label in pairs]))


@pytest.mark.parametrize("hertz", [85.0, 120.0, 210.0, 330.0])
def test_the_pitch_of_a_voice_is_found_among_pauses_and_a_little_noise(hertz: float) -> None:
    spoken = np.concatenate([np.zeros(SECOND, np.float32), voice(hertz), np.zeros(SECOND, np.float32)])
    assert median_pitch(noisy(spoken, 20.0)) == pytest.approx(hertz, rel=0.03)


def test_noise_and_silence_have_no_pitch() -> None:
    hiss = np.random.default_rng(5).normal(0, 0.1, SECOND).astype(np.float32)
    assert median_pitch(hiss) is None
    assert median_pitch(np.zeros(SECOND, np.float32)) is None
    assert median_pitch(np.zeros(0, np.float32)) is None


@pytest.mark.parametrize("decibels", [20.0, 5.0, 0.0])
def test_other_voices_are_as_loud_as_was_asked(decibels: float) -> None:
    babble = crowd([[voice(100.0), voice(130.0)], [voice(190.0)], [voice(240.0)]], 20 * SECOND)
    spoken = 0.2 * voice(150.0, 3.0)
    noise = among_voices(spoken, decibels, babble) - spoken
    measured = 10 * np.log10(np.mean(spoken**2) / np.mean(noise**2))
    assert measured == pytest.approx(decibels, abs=0.1)


def test_everybody_in_a_crowd_is_heard_all_the_time() -> None:
    quiet_then_loud = np.concatenate([np.zeros(SECOND, np.float32), 0.01 * voice(100.0)])
    babble = crowd([[quiet_then_loud], [voice(240.0)]], 4 * SECOND)
    loudness = np.sqrt(np.mean(babble.reshape(-1, SECOND // 4) ** 2, axis=1))
    assert loudness.min() > 0.7
    assert np.sqrt(np.mean(babble**2)) == pytest.approx(1.0, abs=0.01)


def test_a_face_further_away_is_small_and_in_the_middle() -> None:
    pixels = np.full((256, 256, 3), 255, np.uint8)
    far = further_away(pixels, 0.25)
    assert far.shape == pixels.shape
    assert (far[96:160, 96:160] == 255).all()
    assert (far == 255).all(axis=2).sum() == 64 * 64
    assert (further_away(pixels, 1.0) == pixels).all()


def test_less_quality_of_jpeg_leaves_less_of_a_picture() -> None:
    rows, columns = np.mgrid[:64, :64]
    pixels = np.repeat((127 + 100 * np.sin(rows / 3) * np.cos(columns / 4)).astype(np.uint8)[..., None], 3, axis=2)
    lost = [np.abs(compressed(pixels, quality).astype(int) - pixels).mean() for quality in (95, 30, 5)]
    assert lost == sorted(lost)
    assert lost[0] < 0.1 * lost[-1]


def test_no_answer_counts_as_a_wrong_one() -> None:
    found = point(10.0, answers((NEGATIVE, 0), (NEGATIVE, 2), (None, 1), (POSITIVE, 2)))
    assert (found.accuracy, found.answered, found.accuracy_of_answered) == (0.5, 0.75, 0.6667)


def test_what_is_too_bad_by_default_is_not_answered() -> None:
    found = point(8.0, answers((NEGATIVE, 0), (NEUTRAL, 1), quality=0.1), least=0.15)
    assert (found.accuracy, found.answered, found.accuracy_of_answered, found.quality) == (1.0, 0.0, None, 0.1)


def test_intervals_of_shares_are_wilsons() -> None:
    assert wilson(8, 10) == (0.4902, 0.9433)
    assert wilson(0, 20)[0] == 0.0
    assert wilson(20, 20)[1] == 1.0


def test_what_is_taken_for_what_is_counted_by_true_label() -> None:
    found = counted(
        "made up", ["sad", "sad", "happy", "sad"], ["sad", "happy", "happy", None], ("happy", "sad", "calm")
    )
    assert (found.rows, found.counts, found.unanswered) == (("happy", "sad"), ((1, 0, 0), (1, 1, 0)), 1)
    assert found.accuracy == pytest.approx(2 / 3)


def test_thirds_hold_a_third_each_and_what_is_unknown_apart() -> None:
    groups = in_thirds(np.array([*range(30), np.nan]), ("low", "middle", "high"), "Hz")
    assert [groups.count(name) for name in dict.fromkeys(groups)] == [10, 10, 10, 1]
    assert groups[0] == "low, up to 10 Hz"
    assert groups[-1] == "unknown"


def test_groups_are_scored_apart_and_the_gap_is_named() -> None:
    said = answers((NEGATIVE, 0), (NEUTRAL, 1), (POSITIVE, 2), (NEGATIVE, 0), (NEGATIVE, 1), (NEGATIVE, 2), (None, 2))
    traits = [{"gender": name} for name in ("female",) * 3 + ("male",) * 4]
    female, male = by_group(said, traits, ["a", "a", "b", "c", "c", "c", "c"])
    assert (female.macro_recall, female.wrongly_negative, female.speakers) == (1.0, 0.0, 2)
    assert (male.macro_recall, male.wrongly_negative, male.speakers) == (0.3333, 1.0, 1)
    assert (male.rows, male.answered) == (4, 0.75)
    assert gaps([female, male]) == {"gender": (male, female)}
    assert male.too_sure == pytest.approx(0.8 - 1 / 3, abs=1e-3)
