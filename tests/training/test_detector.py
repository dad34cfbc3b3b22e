from __future__ import annotations

import cv2
import numpy as np
import onnxruntime
import pytest

from models.registry import default_model, sha256
from models.training.data import data_folder
from service.features.face import Detection, Picture, cells, decode, letterbox, suppress, views

SAMPLES = data_folder() / "samples" / "image"
EXPECTED = {
    "astronaut.jpg": (1, 1),
    "astronaut_exif_rotated.jpg": (1, 1),
    "astronaut_grey.png": (1, 1),
    "astronaut_dark.jpg": (1, 1),
    "astronaut_tilted.jpg": (1, 1),
    "portrait_smile.jpg": (1, 1),
    "portrait_stern.jpg": (1, 1),
    "portrait_small.jpg": (1, 1),
    "neutral_glasses.jpg": (1, 1),
    "angry.jpg": (1, 1),
    "sad.jpg": (1, 1),
    "surprised.jpg": (1, 1),
    "fearful.jpg": (1, 1),
    "selfie_neutral.jpg": (1, 1),
    "slight_smile.jpg": (1, 1),
    "mask_one.jpg": (1, 1),
    "mask_two.jpg": (2, 2),
    "two_moods.jpg": (2, 2),
    "two_men.jpg": (2, 3),
    "three_smiling.jpg": (3, 3),
    "group_five.jpg": (5, 5),
    "group_seven_indoor.jpg": (5, 7),
    "profile.jpg": (0, 1),
    "hand_on_face_alpha.png": (0, 1),
    "cartoon_smiley.png": (0, 1),
    "no_face_coffee.jpg": (0, 0),
    "no_face_rocket.jpg": (0, 0),
    "no_face_dogs.jpg": (0, 1),
}
"""From the samples' index: the fewest and the most faces. One of the four dogs passes for a face: the card says so."""


@pytest.fixture(scope="module")
def entry():
    return default_model("face-detection")


@pytest.fixture(scope="module")
def session(entry):
    return onnxruntime.InferenceSession(str(entry.path()), providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def samples():
    if not SAMPLES.exists():
        pytest.skip(f"no sample pictures at {SAMPLES}")
    return SAMPLES


@pytest.fixture(scope="module")
def detector_scenes():
    pytest.importorskip("pyarrow")
    from models.training import detector_scenes

    return detector_scenes


def read(path) -> Picture:
    return cv2.cvtColor(cv2.imread(str(path), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def find(session, entry, picture: Picture) -> list[Detection]:
    found = []
    for view in views(picture):
        outputs = session.run(["scores", "boxes", "landmarks"], {"pictures": view.canvas[None]})
        found += decode(*(output[0] for output in outputs), view, entry.settings["score_threshold"])
    return suppress(found)


def test_the_registry_names_the_shipped_file_and_its_digest(entry):
    assert sha256(entry.path()) == entry.sha256
    assert entry.path().stat().st_size <= 1 << 20
    assert entry.labels == ("face",) and not entry.commercial_use


@pytest.mark.parametrize("name", EXPECTED)
def test_the_shipped_detector_finds_the_faces_of_the_samples(name, samples, session, entry):
    fewest, most = EXPECTED[name]
    found = find(session, entry, read(samples / name))
    assert fewest <= len(found) <= most, [each.box for each in found]


@pytest.mark.parametrize("name", ["astronaut.jpg", "astronaut_tilted.jpg", "group_five.jpg", "three_smiling.jpg"])
def test_eyes_lie_above_the_mouth_inside_the_box_and_right_is_on_the_left(name, samples, session, entry):
    for each in find(session, entry, read(samples / name)):
        right, left, nose, right_mouth, left_mouth = each.landmarks
        assert right[0] < left[0] and right_mouth[0] < left_mouth[0]
        assert max(right[1], left[1]) < nose[1] < min(right_mouth[1], left_mouth[1])
        low = np.array(each.box[:2])
        assert np.all(each.landmarks >= low) and np.all(each.landmarks <= low + each.box[2:])


def test_a_mirrored_picture_has_mirrored_faces(samples, session, entry):
    picture = read(samples / "astronaut.jpg")
    (plain,) = find(session, entry, picture)
    (mirrored,) = find(session, entry, np.ascontiguousarray(picture[:, ::-1]))
    back = picture.shape[1] - mirrored.landmarks[[1, 0, 2, 4, 3], 0]
    np.testing.assert_allclose(back, plain.landmarks[:, 0], atol=0.08 * plain.box[2])


@pytest.mark.parametrize("side", [96, 320])
def test_a_batch_answers_as_each_picture_alone(side, session):
    rng = np.random.default_rng(5)
    pictures = rng.integers(0, 256, (3, side, side + 32, 3)).astype(np.uint8)
    together = session.run(None, {"pictures": pictures})
    for index, picture in enumerate(pictures):
        alone = session.run(None, {"pictures": picture[None]})
        for batched, single in zip(together, alone, strict=True):
            np.testing.assert_allclose(batched[index], single[0], atol=2e-4)


@pytest.mark.parametrize("shape", [(32, 32), (192, 320), (640, 352)])
def test_every_cell_of_any_canvas_has_a_score_a_box_and_landmarks(shape, session):
    scores, boxes, landmarks = session.run(
        ["scores", "boxes", "landmarks"], {"pictures": np.zeros((1, *shape, 3), np.uint8)}
    )
    count = len(cells(*shape)[0])
    assert scores.shape == (1, count) and boxes.shape == (1, count, 4) and landmarks.shape == (1, count, 10)
    assert scores.min() >= 0 and scores.max() <= 1
    assert scores.max() < 0.2, "there is nothing to see"


def test_a_turned_face_keeps_its_landmarks_and_its_box_holds_them(detector_scenes):
    faces = detector_scenes.faces_of([[10, 20, 40, 60]], [[[20, 40], [40, 40], [30, 55], [22, 68], [38, 68]]])
    quarter = np.array([[0.0, -1.0, 100.0], [1.0, 0.0, 0.0]])
    moved = faces.moved(quarter)
    np.testing.assert_allclose(moved.boxes, [[20, 10, 60, 40]], atol=1e-4)
    np.testing.assert_allclose(moved.landmarks[0, 0], [60, 20])


def test_a_mirrored_face_swaps_right_and_left(detector_scenes):
    faces = detector_scenes.faces_of([[10, 20, 40, 60]], [[[20, 40], [40, 40], [30, 55], [22, 68], [38, 68]]])
    moved = faces.moved(np.array([[-1.0, 0.0, 100.0], [0.0, 1.0, 0.0]]))
    np.testing.assert_allclose(moved.landmarks[0, 0], [60, 40])
    assert moved.landmarks[0, 0, 0] < moved.landmarks[0, 1, 0]


def test_a_composed_picture_is_the_same_for_the_same_seed_and_its_faces_are_in_it(detector_scenes):
    material = made_up_material(detector_scenes)
    kept = 0
    for seed in range(30):
        picture, faces = detector_scenes.compose(np.random.default_rng(seed), material, 128)
        again, same = detector_scenes.compose(np.random.default_rng(seed), material, 128)
        assert picture.shape == (128, 128, 3) and picture.dtype == np.uint8
        np.testing.assert_array_equal(picture, again)
        np.testing.assert_array_equal(faces.boxes, same.boxes)
        asked = faces.boxes[~faces.ignored]
        middles = asked[:, :2] + asked[:, 2:] / 2
        assert np.all(middles > -20) and np.all(middles < 148)
        assert np.all(asked[:, 2:].max(-1) >= detector_scenes.SMALLEST)
        kept += len(asked)
    assert kept > 30


def made_up_material(detector_scenes):
    """Grey squares for faces: composition does not care."""
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (100, 80, 3)).astype(np.uint8)
    spots = [[30, 40], [50, 40], [40, 50], [32, 62], [48, 62]]
    faces = detector_scenes.faces_of([[20, 25, 40, 50]], [spots])
    portrait = detector_scenes.Photograph(picture, faces)
    return detector_scenes.Material([portrait], [portrait], [picture], [portrait], [portrait])


def test_something_cut_out_hides_only_what_it_covers_and_brings_no_face(detector_scenes):
    from dataclasses import replace

    rng = np.random.default_rng(7)
    portrait = made_up_material(detector_scenes).portraits[0]
    cover = np.zeros((100, 80), np.float32)
    cover[:, :40] = 1
    canvas = np.zeros((100, 80, 3), np.uint8)
    animal = replace(
        portrait, picture=np.full((100, 80, 3), 200, np.uint8), faces=detector_scenes.faces_of([]), cover=cover
    )
    still = np.eye(2, 3)
    left = detector_scenes._paste(rng, canvas, portrait.faces, animal, still)
    assert canvas[:, :38].min() > 100 and canvas[:, 42:].max() == 0
    assert len(left) == 1 and left.ignored[0]  # half of its face lies under the animal


def test_average_precision_and_recall_at_false_alarms_are_those_worked_out_by_hand(detector_scenes):
    from models.training.detector_scores import match

    photographs = [
        detector_scenes.Photograph(np.zeros((100, 100, 3), np.uint8), detector_scenes.faces_of([[10, 10, 20, 20]])),
        detector_scenes.Photograph(np.zeros((90, 90, 3), np.uint8), detector_scenes.faces_of([[50, 50, 20, 20]])),
    ]
    answers = {
        100: [Detection((10, 10, 20, 20), np.zeros((5, 2)), 0.9), Detection((60, 60, 20, 20), np.zeros((5, 2)), 0.8)],
        90: [Detection((51, 50, 20, 20), np.zeros((5, 2)), 0.7), Detection((49, 50, 20, 20), np.zeros((5, 2)), 0.6)],
    }
    matched = match(lambda picture, side: answers[picture.shape[0]], photographs, 320)
    np.testing.assert_array_equal(matched.right, [True, False, True, False])
    assert matched.average_precision == pytest.approx((1 + 2 / 3) / 2)
    assert matched.recall_at(0.1) == 0.5 and matched.recall_at(0.5) == 1.0
    assert matched.at(0.75) == (0.5, 0.5, 0.5)


@pytest.fixture(scope="module")
def yunet(detector_scenes):
    pytest.importorskip("torch").set_num_threads(1)
    path = data_folder() / detector_scenes.YUNET
    if not path.exists():
        pytest.skip(f"no YuNet at {path}")
    return path


def test_training_starts_from_yunet_itself(yunet, samples, detector_scenes):
    import torch

    from models.training.detector_network import Served, start

    picture = read(samples / "group_five.jpg")
    view = letterbox(picture, 320)
    with torch.no_grad():
        outputs = Served(start(yunet).eval())(torch.from_numpy(view.canvas)[None])
    ours = suppress(decode(*(output[0].numpy() for output in outputs), view, 0.7), 0.3)
    theirs = detector_scenes.Teacher().find(picture, 320)
    assert len(ours) == len(theirs) > 0
    for mine, other in zip(ours, sorted(theirs, key=lambda each: -each.score), strict=True):
        assert mine.box == pytest.approx(other.box, abs=0.5)
        np.testing.assert_allclose(mine.landmarks, other.landmarks, atol=0.5)
        assert mine.score == pytest.approx(other.score, abs=0.01)


def test_a_few_steps_on_one_picture_halve_its_loss(yunet):
    import torch

    from models.training.detector_loss import detector_loss
    from models.training.detector_network import start
    from models.training.detector_trainer import MOST_FACES

    picture = np.full((128, 128, 3), 90, np.uint8)
    cv2.ellipse(picture, (64, 60), (20, 26), 0, 0, 360, (220, 180, 150), -1)
    table = torch.zeros(1, MOST_FACES, 16)
    table[0, 0] = torch.tensor([44, 34, 40, 52, 56, 50, 72, 50, 64, 60, 57, 72, 71, 72, 0, 1], dtype=torch.float32)
    detector, grid = start(yunet), tuple(torch.from_numpy(part) for part in cells(128, 128))
    optimiser, totals = torch.optim.AdamW(detector.parameters(), lr=1e-3), []
    for _ in range(25):
        losses = detector_loss(detector(torch.from_numpy(picture)[None].permute(0, 3, 1, 2) / 255), table, grid)
        optimiser.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        optimiser.step()
        totals.append(sum(loss.item() for loss in losses.values()))
    assert totals[-1] < totals[0] / 2


def test_a_blend_lies_between_the_weights_that_it_is_made_of(yunet):
    import torch

    from models.training.detector_network import Detector, blend, start

    before, after = start(yunet), Detector()
    for share, expected in ((0.0, before), (1.0, after)):
        for weights, wanted in zip(blend(before, after, share).parameters(), expected.parameters(), strict=True):
            torch.testing.assert_close(weights, wanted)
    middle = blend(before, after, 0.5).stem[0].weight
    torch.testing.assert_close(middle, (before.stem[0].weight + after.stem[0].weight) / 2)


def test_faces_without_landmarks_teach_none_and_ignored_ones_teach_nothing(yunet):
    import torch

    from models.training.detector_loss import detector_loss
    from models.training.detector_trainer import MOST_FACES

    grid = tuple(torch.from_numpy(part) for part in cells(64, 64))
    count = len(grid[0])
    outputs = (torch.full((1, count), -3.0), torch.zeros(1, count, 4), torch.zeros(1, count, 10))
    table = torch.zeros(1, MOST_FACES, 16)
    table[0, 0] = torch.tensor([10, 10, 30, 40, *[float("nan")] * 10, 0, 1])
    losses = detector_loss(outputs, table, grid)
    assert losses["landmarks"] == 0 and losses["box"] > 0
    table[0, 0, 14] = 1
    assert detector_loss(outputs, table, grid)["box"] == 0


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path, yunet):
    import torch

    from models.training.detector_network import start
    from models.training.detector_trainer import Recipe, Run

    def run() -> Run:
        return Run(Recipe(), tmp_path, start(yunet), torch.device("cpu"))

    before = run()
    before.resume("one recipe")
    before.step = 3
    before.save()
    after = run()
    after.resume("one recipe")
    assert after.step == 3
    with pytest.raises(ValueError, match="another recipe"):
        run().resume("another recipe")
