"""Hugging Face models of the real architectures, small and untrained, made and saved here."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="hub models need the extra [torch]")
transformers = pytest.importorskip("transformers", reason="hub models need the extra [torch]")

from service.domain.sentiment import Prediction  # noqa: E402
from service.runners import Failed, catalogue  # noqa: E402
from service.runners.hub_labels import UnknownLabels  # noqa: E402
from service.runners.torch_hub import HubAudioModel, HubImageModel, HubTextModel, choose_device, resample  # noqa: E402
from service.settings import Settings  # noqa: E402

pytestmark = pytest.mark.torch

TEXTS = ["I love it", "I hate it", "", "the train leaves at noon " * 5, "Ünïcode 😍", "ok"]
EMOTIONS = ["angry", "calm", "disgust", "fearful", "happy", "neutral", "sad", "surprised"]
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "i", "love", "hate", "it", "the", "train", "leaves", "at", "ok"]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bert")
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    tokenizer = transformers.BertTokenizerFast(str(folder / "vocab.txt"), model_max_length=64)
    tokenizer.save_pretrained(folder)
    save_bert(folder, {0: "LABEL_0 negative", 1: "LABEL_1 neutral", 2: "LABEL_2 positive"})
    return folder


def save_bert(folder: Path, names: dict[int, str], **config: object) -> None:
    torch.manual_seed(1)
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    settings = transformers.BertConfig(
        vocab_size=len(WORDS), max_position_embeddings=64, initializer_range=0.5, **shape, id2label=names,
        label2id={name: index for index, name in names.items()}, **config,
    )  # fmt: skip
    transformers.BertForSequenceClassification(settings).save_pretrained(folder)


@pytest.fixture(scope="module")
def roberta(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Byte-level BPE and bare labels, as cardiffnlp's models have them."""
    from tokenizers import ByteLevelBPETokenizer

    folder = tmp_path_factory.mktemp("roberta")
    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator(TEXTS * 20, vocab_size=300, special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    bpe.save_model(str(folder))
    bpe.save(str(folder / "bpe.json"))
    tokenizer = transformers.RobertaTokenizerFast(
        vocab=str(folder / "vocab.json"), merges=str(folder / "merges.txt"),
        vocab_file=str(folder / "vocab.json"), merges_file=str(folder / "merges.txt"),
    )  # fmt: skip
    tokenizer.save_pretrained(folder)
    torch.manual_seed(2)
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = transformers.RobertaConfig(
        vocab_size=len(tokenizer), max_position_embeddings=66, num_labels=3, initializer_range=0.5, **shape
    )
    transformers.RobertaForSequenceClassification(config).save_pretrained(folder)
    return folder


def save_wav2vec2(folder: Path, rate: int = 16_000) -> Path:
    torch.manual_seed(3)
    config = transformers.Wav2Vec2Config(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, conv_dim=(32, 32),
        conv_kernel=(10, 8), conv_stride=(5, 4), num_feat_extract_layers=2, num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=4, classifier_proj_size=16, initializer_range=0.5,
        id2label=dict(enumerate(EMOTIONS)), label2id={name: index for index, name in enumerate(EMOTIONS)},
    )  # fmt: skip
    transformers.Wav2Vec2ForSequenceClassification(config).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(sampling_rate=rate, return_attention_mask=False).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def wav2vec2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_wav2vec2(tmp_path_factory.mktemp("wav2vec2"))


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vit")
    torch.manual_seed(4)
    names = ["anger", "joy", "neutral", "sadness"]
    config = transformers.ViTConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, image_size=32, patch_size=8,
        id2label=dict(enumerate(names)), label2id={name: index for index, name in enumerate(names)},
        initializer_range=0.5,
    )  # fmt: skip
    transformers.ViTForImageClassification(config).save_pretrained(folder)
    processor = getattr(transformers, "ViTImageProcessorPil", transformers.ViTImageProcessor)
    processor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def sentiment(answer: object) -> tuple[float, ...]:
    assert isinstance(answer, Prediction)
    return answer.probabilities


def test_bert_answers_as_transformers_own_pipeline(bert: Path) -> None:
    answers = HubTextModel.load(str(bert), "cpu").predict(TEXTS)
    pipeline = transformers.pipeline("text-classification", model=str(bert), top_k=None, device="cpu")
    for answer, theirs in zip(answers, pipeline(TEXTS), strict=True):
        by_label = {row["label"].split()[-1]: row["score"] for row in theirs}
        assert sentiment(answer) == pytest.approx([by_label[x] for x in ("negative", "neutral", "positive")], abs=1e-5)


def test_roberta_with_bare_labels_answers_as_transformers_own_pipeline(roberta: Path) -> None:
    answers = HubTextModel.load(str(roberta), "cpu").predict(TEXTS[:3])
    pipeline = transformers.pipeline("text-classification", model=str(roberta), top_k=None, device="cpu")
    for answer, theirs in zip(answers, pipeline(TEXTS[:3]), strict=True):
        by_label = {row["label"]: row["score"] for row in theirs}
        assert sentiment(answer) == pytest.approx([by_label[f"LABEL_{index}"] for index in range(3)], abs=1e-5)


def test_a_batch_of_texts_is_answered_as_each_text_alone(bert: Path) -> None:
    model = HubTextModel.load(str(bert), "cpu")
    for together, text in zip(model.predict(TEXTS), TEXTS, strict=True):
        assert sentiment(together) == pytest.approx(sentiment(model.predict([text])[0]), abs=1e-5)


def test_a_text_longer_than_the_model_is_read_in_pieces_and_not_cut(bert: Path) -> None:
    model = HubTextModel.load(str(bert), "cpu")
    start, end = "love it " * 30, "hate the train " * 60
    (long,), (cut,) = model.predict([start + end]), model.predict([start])
    assert np.abs(np.subtract(sentiment(long), sentiment(cut))).max() > 0.01
    assert sum(sentiment(long)) == pytest.approx(1)


def test_a_model_of_several_labels_at_once_gives_probabilities_that_add_up(bert: Path, tmp_path: Path) -> None:
    for file in bert.glob("*token*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    save_bert(tmp_path, {0: "admiration", 1: "anger", 2: "neutral"}, problem_type="multi_label_classification")
    (answer,) = HubTextModel.load(str(tmp_path), "cpu").predict(["I love it"])
    assert isinstance(answer, Prediction)
    assert set(answer.emotions) == {"happy", "angry", "neutral"}
    assert sum(answer.emotions.values()) == pytest.approx(1)


def test_wav2vec2_answers_as_transformers_own_pipeline(wav2vec2: Path) -> None:
    windows = [noise(n, seed) for seed, n in enumerate((8000, 16_000, 8000, 12_345))]
    answers = HubAudioModel.load(str(wav2vec2), "cpu").predict(windows)
    pipeline = transformers.pipeline("audio-classification", model=str(wav2vec2), top_k=None, device="cpu")
    for answer, window in zip(answers, windows, strict=True):
        assert isinstance(answer, Prediction)
        theirs = {row["label"]: row["score"] for row in pipeline({"raw": window, "sampling_rate": 16_000})}
        assert answer.emotions == pytest.approx(theirs, abs=1e-5)


def test_a_window_that_the_network_cannot_take_fails_alone(wav2vec2: Path) -> None:
    answers = HubAudioModel.load(str(wav2vec2), "cpu").predict([noise(8000, 0), noise(3, 1), noise(9000, 2)])
    assert [isinstance(answer, Failed) for answer in answers] == [False, True, False]


def test_a_model_of_another_rate_hears_the_same_tone(tmp_path: Path) -> None:
    pytest.importorskip("torchaudio", reason="resampling needs torchaudio", exc_type=(ImportError, OSError))
    tone = np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000).astype(np.float32)
    resampled = resample(tone, 8000)
    assert np.abs(np.fft.rfft(resampled)).argmax() == 440
    (answer,) = HubAudioModel.load(str(save_wav2vec2(tmp_path, 8000)), "cpu").predict([tone])
    assert isinstance(answer, Prediction)


def test_vit_answers_as_transformers_own_pipeline(vit: Path) -> None:
    from PIL import Image

    rng = np.random.default_rng(5)
    crops = [rng.integers(0, 255, (size, size, 3), np.uint8) for size in (32, 48, 64)]
    answers = HubImageModel.load(str(vit), "cpu").predict(crops)
    pipeline = transformers.pipeline("image-classification", model=str(vit), top_k=None, device="cpu")
    ours = {"anger": "angry", "joy": "happy", "neutral": "neutral", "sadness": "sad"}
    for answer, crop in zip(answers, crops, strict=True):
        assert isinstance(answer, Prediction)
        theirs = {ours[row["label"]]: row["score"] for row in pipeline(Image.fromarray(crop))}
        assert answer.emotions == pytest.approx(theirs, abs=1e-5)


def test_half_precision_moves_no_answer_far(bert: Path) -> None:
    model = HubTextModel.load(str(bert), "cpu")
    before = [sentiment(answer) for answer in model.predict(TEXTS)]
    model._classifier._autocast = True
    after = [sentiment(answer) for answer in model.predict(TEXTS)]
    assert np.abs(np.subtract(before, after)).max() < 0.05


def test_warming_chooses_a_precision_and_the_model_answers(bert: Path, wav2vec2: Path, vit: Path) -> None:
    for kind, folder, item in (
        (HubTextModel, bert, "I love it"),
        (HubAudioModel, wav2vec2, noise(8000, 0)),
        (HubImageModel, vit, np.zeros((32, 32, 3), np.uint8)),
    ):
        model = kind.load(str(folder), "cpu")
        model.warm()
        assert isinstance(model.predict([item])[0], Prediction)


def test_a_model_whose_labels_say_nothing_is_refused_by_their_names(bert: Path, tmp_path: Path) -> None:
    for file in bert.glob("*token*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    save_bert(tmp_path, {0: "sports", 1: "politics"})
    with pytest.raises(UnknownLabels, match="'sports', 'politics'"):
        HubTextModel.load(str(tmp_path), "cpu")


@pytest.fixture
def cached(bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A name on the hub whose `main` and `v1` are in this machine's cache, as the hub's client keeps them; no network.

    `v1` has the positive and the negative label the other way round.
    """
    folder = tmp_path / "models--some--bert"
    names = {"main": ("negative", "neutral", "positive"), "v1": ("positive", "neutral", "negative")}
    for digit, (revision, labels) in enumerate(names.items()):
        snapshot = folder / "snapshots" / (f"{digit}" * 40)
        snapshot.mkdir(parents=True)
        for file in bert.glob("*token*"):
            (snapshot / file.name).write_bytes(file.read_bytes())
        save_bert(snapshot, dict(enumerate(labels)))
        (folder / "refs").mkdir(exist_ok=True)
        (folder / "refs" / revision).write_text(snapshot.name)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return "some/bert"


def test_a_model_that_is_pinned_is_read_at_its_revision(cached: str) -> None:
    pinned = {
        setting: sentiment(catalogue.load_text(Settings(text_model=f"hf:{setting}", device="cpu")).predict(TEXTS)[0])
        for setting in (cached, f"{cached}@main", f"{cached}@v1", f"{cached}@{'1' * 40}")
    }
    newest, main, tag, commit = pinned.values()
    assert newest == pytest.approx(main, abs=1e-6)
    assert tag == pytest.approx(main[::-1], abs=1e-6)
    assert commit == pytest.approx(tag, abs=1e-6)
    assert tag != pytest.approx(main, abs=1e-3)


def test_a_revision_that_nobody_has_is_no_other_one(cached: str) -> None:
    with pytest.raises(OSError):
        catalogue.load_text(Settings(text_model=f"hf:{cached}@v2", device="cpu"))


def test_code_that_comes_with_a_model_is_not_run(bert: Path, tmp_path: Path) -> None:
    for file in bert.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.Config"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises((ValueError, OSError)):
        HubTextModel.load(str(tmp_path), "cpu")
    assert not (tmp_path / "ran").exists()


def test_a_gpu_that_is_not_there_is_said_plainly() -> None:
    if torch.cuda.is_available():
        pytest.skip("There is a GPU.")
    with pytest.raises(ValueError, match="no GPU"):
        choose_device("cuda")
    assert choose_device("auto").type == "cpu"


def noise(samples: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, samples).astype(np.float32)


async def test_settings_put_hub_models_in_the_place_of_the_default_ones(bert: Path, wav2vec2: Path, vit: Path) -> None:
    from service.runners.connect import connect

    models = connect(
        Settings(text_model=f"hf:{bert}", speech_model=f"hf:{wav2vec2}", face_model=f"hf:{vit}", transcript_model="off")
    )
    await models.start()
    (read,), (heard,) = await models.text(["I love it"]), await models.speech([noise(8000, 0)])
    size = models.info["face"].settings["crop_size"]
    (seen,) = await models.face([np.zeros((size, size, 3), np.uint8)])
    await models.close()
    assert models.info["text"].identifier == f"hf:{bert}"
    assert not read.emotions
    assert set(heard.emotions) == set(EMOTIONS)
    assert set(seen.emotions) == {"angry", "happy", "neutral", "sad"}
