"""What holds of the face training itself; needs the extra `train`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnxruntime
import pytest

from models.training.face_data import EMOTIONS, Faces, whole_picture

torch = pytest.importorskip("torch", reason="the extra `train` is not installed")
pytest.importorskip("onnx", reason="the extra `train` is not installed")

from models.training import face, face_clarity, face_trainer  # noqa: E402
from models.training.face_clarity import ClarityRecipe, ClarityTraining, clarity_loss  # noqa: E402
from models.training.face_clarity_scores import lies_above  # noqa: E402
from models.training.face_further import blend, deepened, kept_answers  # noqa: E402
from models.training.face_network import ClarityNetwork, FaceNetwork, ServedFaceNetwork, export_onnx  # noqa: E402
from models.training.face_report import behind_hands  # noqa: E402
from models.training.face_scores import macro_f1  # noqa: E402
from models.training.face_shelf import anywhere  # noqa: E402

# Convolutions of fewer than 16 channels in bfloat16 on several threads corrupt memory in torch 2.13.
TINY = face_trainer.Recipe(stem=16, widths=(16,), depths=(1,), batch=16)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def faces() -> Faces:
    """Forty pictures of noise, five for each emotion."""
    labels = np.arange(40) % len(EMOTIONS)
    pictures = np.random.default_rng(7).integers(0, 256, (40, 48, 48), dtype=np.uint8)
    landmarks = np.repeat(whole_picture(48)[None], 40, axis=0)
    return Faces(pictures, landmarks, np.ones(40, bool), np.eye(len(EMOTIONS), dtype=np.float32)[labels], labels)


@pytest.fixture
def on_noise(monkeypatch, faces) -> None:
    monkeypatch.setattr(face, "ferplus", lambda split, work: faces)


def test_the_exported_graph_answers_as_the_network_does(tmp_path):
    torch.manual_seed(7)
    network = FaceNetwork(len(EMOTIONS), 8, (8, 16), (1, 1)).eval()
    clarity = ClarityNetwork().eval()
    export_onnx(network, clarity, tmp_path / "face.onnx", 48)
    crops = np.random.default_rng(7).integers(0, 256, (3, 48, 48, 3), dtype=np.uint8)
    session = onnxruntime.InferenceSession(str(tmp_path / "face.onnx"), providers=["CPUExecutionProvider"])
    with torch.inference_mode():
        expected = ServedFaceNetwork(network, clarity).eval()(torch.from_numpy(crops))
    for served, wanted in zip(session.run(["logits", "clarity"], {"faces": crops}), expected, strict=True):
        np.testing.assert_allclose(served, wanted.numpy(), atol=1e-4)


def test_a_network_made_deeper_answers_as_before():
    torch.manual_seed(7)
    first, recipe = replace(TINY, widths=(16, 32), depths=(1, 1)), replace(TINY, widths=(16, 32), depths=(2, 3))
    network = first.network().eval()
    grey = torch.rand(3, 1, 48, 48) * 255
    with torch.inference_mode():
        torch.testing.assert_close(deepened(network, first, recipe).eval()(grey), network(grey))
    once, again = (deepened(network, first, recipe).state_dict() for _ in range(2))
    assert all(torch.equal(once[name], again[name]) for name in once)


def test_a_blend_lies_between_the_runs_that_it_is_made_of():
    torch.manual_seed(7)
    before, after = TINY.network(), TINY.network()
    for share, expected in ((0.0, before), (1.0, after)):
        for name, value in blend(before, after, share).state_dict().items():
            torch.testing.assert_close(value, expected.state_dict()[name])
    middle = blend(before, after, 0.5).stem[0].weight
    torch.testing.assert_close(middle, (before.stem[0].weight + after.stem[0].weight) / 2)


def test_what_is_no_face_teaches_nothing_about_how_clear_a_face_is():
    odds = torch.zeros(3, 2, requires_grad=True)
    clarity_loss(odds, torch.tensor([1.0, 0.2, float("nan")])).backward()
    assert odds.grad is not None
    assert (odds.grad[:, 0] != 0).all()
    assert odds.grad[2, 1] == 0 and (odds.grad[:2, 1] != 0).all()


def test_what_lies_anywhere_in_a_picture_without_a_face_is_marked_as_none():
    rng, picture = np.random.default_rng(7), np.zeros((60, 90), np.uint8)
    marks = [anywhere(picture, rng) for _ in range(50)]
    assert all(np.isnan(each.left) and each.landmarks.shape == (5, 2) for each in marks)
    middles = np.array([each.landmarks.mean(axis=0) for each in marks])
    assert np.ptp(middles[:, 0]) > 40 and np.ptp(middles[:, 1]) > 25


def test_a_clarity_training_that_was_stopped_ends_where_one_that_was_not_does(tmp_path, monkeypatch):
    def noise(shelf, recipe, size, rng):
        return rng.integers(0, 256, (8, size, size), dtype=np.uint8), rng.random(8).astype(np.float32)

    monkeypatch.setattr(face_clarity, "batch_of", noise)
    recipe = ClarityRecipe(steps=4, every=2)
    whole = ClarityTraining(recipe, tmp_path / "whole.pt", "noise")
    whole.go_on(None, 48)
    stopped = ClarityTraining(recipe, tmp_path / "stopped.pt", "noise")
    stopped.recipe = replace(recipe, steps=2)
    stopped.go_on(None, 48)
    resumed = ClarityTraining(recipe, tmp_path / "stopped.pt", "noise")
    assert resumed.step == 2
    resumed.go_on(None, 48)
    for name, value in whole.network.state_dict().items():
        torch.testing.assert_close(resumed.network.state_dict()[name], value, msg=name)
    assert ClarityTraining(recipe, tmp_path / "stopped.pt", "other pictures").step == 0


def test_a_run_that_was_stopped_ends_where_one_that_was_not_does(tmp_path, on_noise):
    (tmp_path / "whole").mkdir()
    (tmp_path / "halved").mkdir()
    whole = face.trained(TINY, [1, 2], tmp_path / "whole", torch.device("cpu"))
    face.trained(TINY, [1], tmp_path / "halved", torch.device("cpu"))
    resumed = face.trained(TINY, [1, 2], tmp_path / "halved", torch.device("cpu"))
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], value, msg=name)


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path, on_noise):
    face.trained(TINY, [1], tmp_path, torch.device("cpu"))
    with pytest.raises(ValueError, match="another recipe"):
        face.trained(replace(TINY, batch=20), [2], tmp_path, torch.device("cpu"))


def test_a_checkpoint_of_other_faces_is_refused(tmp_path, monkeypatch, faces):
    monkeypatch.setattr(face, "ferplus", lambda split, work: faces)
    face.trained(TINY, [1], tmp_path, torch.device("cpu"))
    others = replace(faces, targets=faces.targets[::-1].copy())
    monkeypatch.setattr(face, "ferplus", lambda split, work: others if split == "train" else faces)
    with pytest.raises(ValueError, match="other faces"):
        face.trained(TINY, [2], tmp_path, torch.device("cpu"))


def test_answers_are_kept_for_the_network_and_the_crops_that_they_are_of(tmp_path, faces):
    torch.manual_seed(7)
    network, crops, cache = TINY.network(), faces.crops(48)[..., 0], tmp_path / "answers.npz"
    told = kept_answers(network, crops, cache)
    written = cache.stat().st_mtime_ns
    np.testing.assert_array_equal(kept_answers(network, crops, cache), told)
    assert cache.stat().st_mtime_ns == written
    np.testing.assert_allclose(kept_answers(network, crops[::-1].copy(), cache), told[::-1], atol=1e-6)
    other = kept_answers(TINY.network(), crops, cache)
    assert abs(other - told).max() > 1e-3


def test_rare_classes_come_more_often_than_their_share_and_no_row_of_theirs_is_left_out():
    targets = np.eye(8, dtype=np.float32)[np.repeat([0, 5], [900, 100])]
    rows = face_trainer.epoch_rows(targets, 0.3, np.random.default_rng(7))
    assert set(range(900, 1000)) <= set(rows)
    assert 0.13 < (rows >= 900).mean() < 0.25
    assert len(rows) == pytest.approx(1000, abs=50)


def test_every_cycle_starts_high_and_ends_near_zero():
    cycles = [4, 6]
    assert face_trainer.rate_at(1.0, cycles) > 0.8
    assert face_trainer.rate_at(3.99, cycles) < 0.001
    assert face_trainer.rate_at(5.0, cycles) > 0.9
    assert face_trainer.rate_at(9.99, cycles) < 0.001
    assert face_trainer.rate_at(10.0, cycles) == 0


def test_macro_f1_gives_a_class_that_is_never_right_nothing():
    labels = np.arange(8)
    said = labels.copy()
    said[7] = 0
    assert macro_f1(labels, labels) == 1
    assert macro_f1(said, labels) == pytest.approx((6 + 2 / 3) / 8)


def test_a_cover_lies_above_where_most_of_what_it_hides_is():
    forehead, mouth = np.zeros((2, 48, 48), np.float32)
    forehead[:15], mouth[30:] = 1, 1
    assert lies_above(forehead)
    assert not lies_above(mouth)


def test_the_same_rows_are_scored_behind_hands_and_without_them(faces):
    hand = np.dstack([np.full((60, 90), 240, np.uint8), np.full((60, 90), 255, np.uint8)])
    crops = np.repeat(faces.pictures[..., None], 3, axis=-1)
    known = {crop.tobytes() for crop in crops}

    def right_without_a_hand(seen):
        return np.eye(len(EMOTIONS), dtype=np.float32)[[0 if crop.tobytes() in known else 1 for crop in seen]]

    scores = behind_hands(right_without_a_hand, crops, np.zeros(len(faces), int), [hand])
    for place in ("over brows and eyes", "over cheeks and mouth"):
        assert 0 < scores[f"rows, {place}"] < len(faces)
        assert scores[f"accuracy of these without, {place}"] == 1
        assert scores[f"accuracy, {place}"] == 0
