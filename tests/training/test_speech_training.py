"""The training of the speech model, on a few made-up clips and the real encoder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra [train]")
pytest.importorskip("onnx", reason="needs the extra [train]")

from models.training.speech_clips import CORPORA, Clip, absent, batches, disturb  # noqa: E402
from models.training.speech_model import EMOTIONS, EmotionModel, export, pretrained, quantise  # noqa: E402
from models.training.speech_trainer import (  # noqa: E402
    Recipe,
    Tuning,
    clip_logits,
    fit_head,
    frozen_features,
    rows_of,
)

RECIPE = replace(Recipe(), window_seconds=1.0, epochs=2, batch_size=4, averaging=0.5)


def clip(number: int, split: str = "train", corpus: str = "ravdess") -> Clip:
    """Half a second and more of a tone whose pitch is its emotion, in noise."""
    rng = np.random.default_rng(number)
    emotion = EMOTIONS.index(CORPORA[corpus][number % len(CORPORA[corpus])])
    time = np.arange(8000 + 500 * (number % 5)) / 16_000
    tone = np.sin(2 * np.pi * (200 + 150 * emotion) * time) + rng.normal(0, 0.1, len(time))
    return Clip((tone * 8000).astype(np.int16), corpus, f"{corpus}-{number}", split, emotion)


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    train = [clip(number) for number in range(16)] + [clip(number, corpus="nemo") for number in range(6)]
    return train + [clip(number, "val") for number in range(100, 108)]


@pytest.fixture(scope="module")
def learnt(clips: list[Clip], tmp_path_factory: pytest.TempPathFactory) -> EmotionModel:
    """The frozen encoder under a fitted head."""
    folder = tmp_path_factory.mktemp("features")
    model = pretrained(RECIPE.window_seconds).eval()
    train, val = ([c for c in clips if c.split == split] for split in ("train", "val"))
    rows = rows_of(train, [frozen_features(model, train, 0, RECIPE, folder / "train.npy")], RECIPE)
    val_rows = rows_of(val, [frozen_features(model, val, 0, RECIPE, folder / "val.npy")], RECIPE)
    fit_head(model, rows, val_rows, RECIPE)
    return model


def test_a_head_learns_from_the_frozen_encoder(learnt: EmotionModel, clips: list[Clip]) -> None:
    unheard = [c for c in clips if c.split == "val"]
    predicted = clip_logits(learnt, unheard, RECIPE).argmax(axis=1)
    assert (predicted == [c.emotion for c in unheard]).mean() >= 0.75


def test_an_emotion_that_a_corpus_lacks_gets_no_gradient() -> None:
    logits = torch.zeros(1, len(EMOTIONS), requires_grad=True)
    torch.nn.functional.cross_entropy(logits + absent("nemo"), torch.tensor([EMOTIONS.index("sad")])).backward()
    assert logits.grad is not None
    moved = {emotion for emotion, slope in zip(EMOTIONS, logits.grad[0].tolist(), strict=True) if slope}
    assert moved == set(CORPORA["nemo"])


@pytest.mark.parametrize("seed", [None, 3])
def test_an_epoch_hears_every_clip_once(clips: list[Clip], seed: int | None) -> None:
    rng = None if seed is None else np.random.default_rng(seed)
    groups = [group for group, _ in batches(clips, 4, rng, RECIPE.longest)]
    assert sorted(np.concatenate(groups)) == list(range(len(clips)))


def test_the_same_seed_disturbs_alike_and_speech_stays_finite() -> None:
    sound = np.random.default_rng(0).normal(0, 0.1, 16_001).astype(np.float32)
    for seed in range(20):
        first, again = (disturb(sound, np.random.default_rng(seed)) for _ in range(2))
        assert np.array_equal(first, again)
        assert np.isfinite(first).all()
        assert 0.85 < len(first) / len(sound) < 1.16


def test_a_stopped_tuning_goes_on_as_if_it_had_not_stopped(
    learnt: EmotionModel, clips: list[Clip], tmp_path: Path
) -> None:
    def tuning(folder: str) -> Tuning:
        (tmp_path / folder).mkdir(exist_ok=True)
        model = pretrained(RECIPE.window_seconds)
        model.load_state_dict(learnt.state_dict())
        return Tuning(model, clips, RECIPE, tmp_path / folder)

    whole = tuning("whole")
    whole.run()
    stopped = tuning("stopped")
    stopped.run_epoch()
    resumed = tuning("stopped")
    assert resumed.epoch == 1
    resumed.run()
    for one, other in zip(whole.average.parameters(), resumed.average.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_the_exported_graph_answers_as_torch_and_int8_nearly_so(
    learnt: EmotionModel, clips: list[Clip], tmp_path: Path
) -> None:
    import onnxruntime

    export(learnt, tmp_path / "exact.onnx", RECIPE.window_seconds)
    quantise(tmp_path / "exact.onnx", tmp_path / "small.onnx")
    _, batch = next(batches(clips[:5], 5, None, RECIPE.longest))
    with torch.no_grad():
        expected = learnt(batch.waveforms, batch.lengths).numpy()
    feed = {"waveform": batch.waveforms.numpy(), "lengths": batch.lengths.numpy()}
    for name, tolerance in (("exact.onnx", 1e-3), ("small.onnx", 0.5)):
        session = onnxruntime.InferenceSession(tmp_path / name, providers=["CPUExecutionProvider"])
        assert np.abs(session.run(["logits"], feed)[0] - expected).max() < tolerance
