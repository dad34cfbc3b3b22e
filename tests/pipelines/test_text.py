"""Words, from a string to an answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from service.domain.sentiment import Prediction
from service.features.text import Asked
from service.pipelines import LanguageUnsupported, Options
from service.pipelines.analyze import analyze_texts
from service.pipelines.media import Tools
from service.pipelines.text import foreign, read_text
from service.runners import Models

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("I love it", "positive"),
        ("I hate it", "negative"),
        ("The meeting is at noon", "neutral"),
        ("This is not good at all", "negative"),
        ("Best day ever 😍🎉", "positive"),
    ],
)
async def test_plain_sentences_get_the_label_that_anyone_would_give(tools: Tools, text: str, label: str) -> None:
    (answer,) = await analyze_texts([text], Options(), tools)
    assert answer.sentiment.label == label
    assert answer.sentiment.confidence == max(answer.sentiment.probabilities.values())
    assert answer.kind == "text"
    assert list(answer.modalities) == ["text"]


async def test_words_show_emotions_and_alone_they_are_those_of_the_answer(tools: Tools) -> None:
    (answer,) = await analyze_texts(["I am scared of the dark"], Options(), tools)
    assert max(answer.emotions, key=answer.emotions.__getitem__) == "fearful"
    assert answer.emotions == pytest.approx(dict(answer.modalities["text"].emotions))


async def test_emotions_of_a_long_text_are_those_of_all_its_windows(tools: Tools) -> None:
    sad, glad = "My dog died and I miss him so much. " * 20, "I am so happy for you, congratulations! " * 20
    (answer,) = await analyze_texts([sad + glad], Options(), tools)
    assert len(tools.models.windows(sad + glad)) > 1
    assert min(answer.emotions["sad"], answer.emotions["happy"]) > 0.2
    assert sum(answer.emotions.values()) == pytest.approx(1)


@pytest.mark.parametrize("text", ["", "   \n\t", "\u200b\u200b"])
async def test_nothing_to_read_is_an_abstention(tools: Tools, text: str) -> None:
    (answer,) = await analyze_texts([text], Options(), tools)
    assert answer.sentiment.reason == "no_evidence"
    assert answer.sentiment.label is None
    assert not answer.emotions


async def test_many_texts_get_the_answers_that_each_gets_alone(tools: Tools) -> None:
    texts = ["I love it", "", "It was all right, I suppose. " * 40, "Never again!"]
    together = await analyze_texts(texts, Options(), tools)
    for text, answer in zip(texts, together, strict=True):
        (alone,) = await analyze_texts([text], Options(), tools)
        assert answer.sentiment.label == alone.sentiment.label
        assert answer.sentiment.distribution == pytest.approx(alone.sentiment.distribution, abs=1e-4)


async def test_the_end_of_a_long_text_counts(tools: Tools) -> None:
    plain = "The committee met on Monday and read the minutes. " * 60
    angry = "I am furious, this was a horrible, disgusting disaster. " * 60
    (calm,), (ends_badly,) = [await analyze_texts([text], Options(), tools) for text in (plain, plain + angry)]
    assert calm.sentiment.label == "neutral"
    assert ends_badly.sentiment.probabilities["negative"] > calm.sentiment.probabilities["negative"] + 0.2


async def test_aspects_are_told_apart(tools: Tools) -> None:
    text = "The food was delicious and I loved it. The waiter was rude and awful."
    options = Options(aspects=("food", "waiter", "music"), detail="full")
    (answer,) = await analyze_texts([text], options, tools)
    food, waiter, music = answer.modalities["text"].aspects
    assert (food.sentiment.label, waiter.sentiment.label) == ("positive", "negative")
    assert music.sentiment.reason == "no_evidence"
    assert [text[start:end] for start, end in food.spans] == ["food"]
    assert [sentence.text for sentence in answer.modalities["text"].sentences] == [
        "The food was delicious and I loved it.",
        "The waiter was rude and awful.",
    ]


async def test_a_script_that_the_model_cannot_read_is_not_guessed_at(tools: Tools) -> None:
    (answer,) = await analyze_texts(["Мне очень не нравится этот фильм"], Options(), tools)
    assert answer.sentiment.reason == "no_evidence"
    assert [notice.code for notice in answer.warnings] == ["language_unsupported"]
    assert not foreign("Café 😀 naïve")


async def test_a_language_that_no_model_speaks_is_refused_with_those_that_are_spoken(tools: Tools) -> None:
    with pytest.raises(LanguageUnsupported, match="en") as refused:
        await analyze_texts(["Bonjour"], Options(language="fr-CA"), tools)
    assert refused.value.spoken == ("en",)


async def test_a_caller_may_ask_for_more_confidence(tools: Tools) -> None:
    (answer,) = await analyze_texts(["I love it"], Options(min_confidence=1.0), tools)
    assert answer.sentiment.reason == "low_confidence"
    assert answer.modalities["text"].sentiment.label == "positive"


class Telling:
    """The real models, but the text model can be asked about a term, and answers `towards` then (made up)."""

    def __init__(self, models: Models, towards: Prediction) -> None:
        info = models.info["text"]
        self.info = {**models.info, "text": replace(info, settings={**info.settings, "aspects": {"output": "aspect"}})}
        self.windows = models.windows
        self.asked: list[Asked] = []
        self._models, self._towards = models, towards

    async def text(self, texts: Sequence[str | Asked]) -> list[Prediction]:
        asked = [text for text in texts if isinstance(text, Asked)]
        self.asked += asked
        return [self._towards] * len(asked) if asked else await self._models.text(texts)


async def test_a_model_that_can_be_asked_about_a_term_tells_it_apart_within_a_sentence(tools: Tools) -> None:
    models: Any = Telling(tools.models, Prediction((0.8, 0.1, 0.1)))
    text = "I loved the food but the waiter was rude. The music was fine."
    found = await read_text(text, Options(aspects=("waiter", "bill")), models)
    assert found.text is not None
    waiter, bill = found.text.aspects
    assert models.asked == [Asked("I loved the food but the waiter was rude.", "waiter")]
    assert waiter.sentiment.label == "negative"
    assert bill.sentiment.reason == "no_evidence"


async def test_a_sentence_that_leaves_no_room_for_the_term_speaks_for_it(tools: Tools) -> None:
    models: Any = Telling(tools.models, Prediction((0.8, 0.1, 0.1)))
    text = "I love the food, " + "really, " * 60 + "I love it."
    found = await read_text(text, Options(aspects=("food",)), models)
    assert found.text is not None
    assert models.asked == []
    assert found.text.aspects[0].sentiment.label == "positive"
