"""All models behind one interface, in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio

from models.registry import load_registry
from service.domain.sentiment import Prediction
from service.features.face import Detection
from service.features.text import Asked
from service.runners import ItemRefused, ModelUnavailable, Overloaded, TranscriptUnavailable, catalogue
from service.runners.catalogue import describe
from service.runners.connect import ConnectedModels, connect
from service.runners.text import TextModel
from service.runners.text_cache import TextCache
from service.settings import Settings
from tests.alike import differences
from tests.runners.conftest import listen

NAMES = {"text", "speech", "face", "detector", "transcript"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def models() -> AsyncIterator[ConnectedModels]:
    connected = connect(Settings())
    await connected.start()
    yield connected
    await connected.close()


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_every_model_is_described_without_loading_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "loader", None)
    info = describe(Settings())
    assert set(info) == NAMES
    registered = {entry.identifier for entry in load_registry().values()}
    assert {info[name].identifier for name in NAMES} <= registered
    assert info["transcript"].languages == ("en",)


async def test_all_models_are_healthy_once_started(models: ConnectedModels) -> None:
    assert await models.health() == dict.fromkeys(NAMES, "healthy")


async def test_texts_are_answered_in_order_as_by_the_model_itself(
    models: ConnectedModels, text_model: TextModel
) -> None:
    texts = ["I love it", "I hate it", "The meeting is at noon"]
    assert differences(await models.text(texts), text_model.predict(texts)) == []


async def test_a_voice_and_a_face_are_answered(models: ConnectedModels) -> None:
    size = models.info["face"].settings.get("crop_size", 64)
    (heard,) = await models.speech([np.zeros(16_000, np.float32)])
    (seen,) = await models.face([np.zeros((size, size, 3), np.uint8)])
    assert sum(heard.probabilities) == pytest.approx(1)
    assert sum(seen.probabilities) == pytest.approx(1)


async def test_a_large_picture_is_answered_in_its_own_pixels(models: ConnectedModels, samples: Path) -> None:
    import cv2

    small = cv2.cvtColor(cv2.imread(str(next((samples / "image").glob("*.jp*g")))), cv2.COLOR_BGR2RGB)  # type: ignore[arg-type]
    large = cv2.resize(small, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
    (in_small,), (in_large,) = await models.detect([small]), await models.detect([large])
    assert isinstance(in_large[0], Detection)
    assert np.array(in_large[0].box) / 3 == pytest.approx(np.array(in_small[0].box), abs=0.1 * in_small[0].box[2])
    assert in_large[0].landmarks / 3 == pytest.approx(in_small[0].landmarks, abs=0.1 * in_small[0].box[2])


async def test_an_item_that_a_model_refuses_fails_its_caller(models: ConnectedModels) -> None:
    with pytest.raises(ItemRefused, match="shape"):
        await models.face([np.zeros((5, 5, 3), np.uint8)])


async def test_speech_is_written_down_and_other_languages_are_not(models: ConnectedModels, samples: Path) -> None:
    recording = listen(samples / "audio" / "jfk.ogg")
    written = await models.transcribe(recording, "en-GB")
    assert "ask not what your country can do for you" in written.text.lower()
    with pytest.raises(TranscriptUnavailable, match="'de'"):
        await models.transcribe(recording, "de")


async def test_without_weights_there_is_no_transcript_and_everything_else_works() -> None:
    models = connect(Settings(transcript_model="off"))
    assert set(models.info) == NAMES - {"transcript"}
    await models.start()
    with pytest.raises(TranscriptUnavailable, match="turned off"):
        await models.transcribe(np.zeros(16_000, np.float32), "en")
    assert len(await models.text(["I love it"])) == 1
    await models.close()
    with pytest.raises(ModelUnavailable, match="shutting down"):
        await models.text(["I love it"])


async def test_pictures_take_more_of_the_queue_than_texts() -> None:
    models = connect(Settings(queue_limit=16))
    limits = {name: collector._limits for name, collector in models._collectors.items()}
    assert limits["text"].queue_limit == 16
    assert limits["detector"].queue_limit == 2
    assert limits["transcript"].queue_limit == 1
    await models.close()


async def test_settings_that_name_no_model_are_refused_in_one_sentence() -> None:
    for setting in ("bert", "hf:", "hf:some/bert@", "hf:@main", "some/bert@main"):
        with pytest.raises(ValueError, match=r"SENTIMENT_TEXT_MODEL is `default`, .* or `hf:<name>@<revision>`, not"):
            describe(Settings(text_model=setting))


async def test_a_hub_model_is_described_by_its_name_and_your_reliability() -> None:
    info = describe(Settings(face_model="hf:some/vit", hub_reliability=0.8))["face"]
    assert (info.identifier, info.reliability, info.languages) == ("hf:some/vit", 0.8, ())


async def test_a_hub_model_is_known_by_the_revision_that_it_is_pinned_to() -> None:
    info = describe(Settings(text_model="hf:some/bert@v1.2"))["text"]
    assert info.identifier == "hf:some/bert@v1.2"


async def test_a_folder_has_no_revision_but_may_have_an_at_in_its_name(tmp_path: Path) -> None:
    (tmp_path / "bert@home").mkdir()
    assert describe(Settings(text_model=f"hf:{tmp_path}/bert@home"))["text"].identifier.endswith("bert@home")
    with pytest.raises(ValueError, match=rf"SENTIMENT_TEXT_MODEL: {tmp_path} is a folder, which has no revision 'v1'"):
        describe(Settings(text_model=f"hf:{tmp_path}@v1"))


async def test_hub_models_without_the_extra_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    monkeypatch.delitem(__import__("sys").modules, "service.runners.torch_hub", raising=False)
    with pytest.raises(ImportError, match=r'pip install "multimodal-sentiment\[torch\]"'):
        catalogue.load_text(Settings(text_model="hf:some/bert"))


async def test_the_cache_asks_once_for_what_it_knows_and_forgets_the_oldest() -> None:
    asked: list[list[str]] = []

    async def ask(texts: object) -> list[Prediction]:
        asked.append(list(texts))  # type: ignore[call-overload]
        return [Prediction((0.0, 0.0, 1.0)) if "love" in text else Prediction((1.0, 0.0, 0.0)) for text in asked[-1]]

    cache = TextCache(2)
    first = await cache.through(["love", "hate", "love"], ask)
    assert [answer.probabilities[2] for answer in first] == [1.0, 0.0, 1.0]
    await cache.through(["hate", "lovely"], ask)
    await cache.through(["love", "\ud83d"], ask)
    assert asked == [["love", "hate"], ["lovely"], ["love", "\ud83d"]]


async def test_a_text_and_what_is_asked_of_it_are_kept_apart() -> None:
    asked: list[object] = []

    async def ask(texts: Sequence[str | Asked]) -> list[Prediction]:
        asked.extend(texts)
        return [Prediction((1.0, 0.0, 0.0) if isinstance(text, Asked) else (0.0, 0.0, 1.0)) for text in texts]

    cache = TextCache(8)
    about: list[str | Asked] = [
        "the soup",
        Asked("the soup", "soup"),
        Asked("the soup", "bread"),
        Asked("the sou", "psoup"),
    ]
    first = await cache.through(about, ask)
    assert [answer.probabilities[2] for answer in first] == [1.0, 0.0, 0.0, 0.0]
    assert await cache.through(about, ask) == first
    assert asked == about


async def test_a_cache_of_no_entries_keeps_nothing() -> None:
    asked = 0

    async def ask(texts: object) -> list[Prediction]:
        nonlocal asked
        asked += 1
        return [Prediction((0.0, 0.0, 1.0))]

    cache = TextCache(0)
    await cache.through(["love"], ask)
    await cache.through(["love"], ask)
    assert asked == 2
    assert not cache._predictions


async def test_what_the_cache_could_not_get_is_not_kept() -> None:
    async def refuse(texts: object) -> list[Prediction]:
        raise Overloaded("text")

    cache = TextCache(2)
    with pytest.raises(Overloaded):
        await cache.through(["love"], refuse)
    assert not cache._predictions
