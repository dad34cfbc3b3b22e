from __future__ import annotations

import concurrent.futures

import pytest

from tests.contract.conftest import problem

pytestmark = pytest.mark.server


def verdict(http, text: str, **options) -> dict:
    response = http.post("/v1/text", json={"text": text, **options})
    assert response.status_code == 200, response.text
    return response.json()


@pytest.mark.parametrize(
    ("text", "label"),
    [("I love it", "positive"), ("I hate it", "negative"), ("The meeting is at noon", "neutral")],
)
def test_plain_words_are_understood(http, text, label):
    assert verdict(http, text)["sentiment"]["label"] == label


def test_an_answer_says_what_it_rests_on(http):
    analysis = verdict(http, "I love it")
    assert analysis["kind"] == "text"
    assert set(analysis["modalities"]) == {"text"}
    assert analysis["modalities"]["text"]["source"] == "given"
    assert analysis["fusion"]["contributions"] == {"text": 1.0}
    assert analysis["models"]["text"].startswith("text-minilm@")
    assert sum(analysis["sentiment"]["probabilities"].values()) == pytest.approx(1)


def test_an_answer_shows_the_emotions_of_the_words(http):
    analysis = verdict(http, "My grandmother died last night.")
    assert max(analysis["emotions"], key=analysis["emotions"].get) == "sad"
    assert analysis["modalities"]["text"]["emotions"] == pytest.approx(analysis["emotions"])


def test_several_texts_are_answered_in_order(http):
    texts = ["I love it", "I hate it", "", "The meeting is at noon"]
    results = http.post("/v1/text", json={"texts": texts}).json()["results"]
    assert [result["sentiment"]["label"] for result in results] == ["positive", "negative", None, "neutral"]
    assert [result["modalities"]["text"]["text"] for result in results] == texts


def test_one_text_that_is_too_long_spoils_only_its_own_answer(http):
    results = http.post("/v1/text", json={"texts": ["I love it", "x" * 20_001, "I hate it"]}).json()["results"]
    assert results[0]["sentiment"]["label"] == "positive"
    assert (results[1]["code"], results[1]["status"]) == ("too_long", 422)
    assert results[2]["sentiment"]["label"] == "negative"


@pytest.mark.parametrize("text", ["", " ", "\n\t "])
def test_nothing_to_read_is_an_answer(http, text):
    sentiment = verdict(http, text)["sentiment"]
    assert (sentiment["label"], sentiment["abstained"], sentiment["reason"]) == (None, True, "no_evidence")


def test_the_longest_text_is_read_to_its_end(http):
    filler = "The meeting is at noon. " * 800
    analysis = verdict(http, filler[:19_000] + "I hate it and it is awful. ", detail="full")
    assert analysis["modalities"]["text"]["sentences"][-1]["sentiment"]["label"] == "negative"


def test_offsets_count_code_points_of_the_text_as_sent(http):
    text = "😀😀 I love it. 😡 I hate it."
    analysis = verdict(http, text, detail="full", explain=True)
    for part in analysis["modalities"]["text"]["sentences"] + analysis["explanation"]["words"]:
        assert text[part["start"] : part["end"]] == part["text"]


def test_words_that_carry_the_verdict_weigh_most(http):
    words = verdict(http, "I love it", explain=True)["explanation"]["words"]
    assert max(words, key=lambda word: word["weight"])["text"] == "love"


def test_an_aspect_has_its_own_verdict(http):
    text = "The food was wonderful. The waiter was rude and I hated him."
    aspects = verdict(http, text, aspects=["food", "waiter", "music"])["modalities"]["text"]["aspects"]
    assert [aspect["sentiment"]["label"] for aspect in aspects] == ["positive", "negative", None]


def test_a_demanding_caller_gets_an_abstention(http):
    sentiment = verdict(http, "I love it", min_confidence=1.0)["sentiment"]
    assert (sentiment["label"], sentiment["reason"]) == (None, "low_confidence")


def test_options_may_stand_in_the_query(http):
    response = http.post("/v1/text?detail=full&explain=true", json={"text": "I love it."})
    assert response.json()["explanation"]["words"]
    assert response.json()["modalities"]["text"]["sentences"]


def test_a_language_that_nobody_speaks_is_refused_with_those_that_are(http):
    found = problem(http.post("/v1/text", json={"text": "kia ora", "language": "mi"}), "language_unsupported")
    assert "en" in found["detail"]


def test_a_text_in_a_script_that_the_model_cannot_read_abstains(http):
    analysis = verdict(http, "это было замечательно")
    assert analysis["sentiment"]["label"] is None
    assert [warning["code"] for warning in analysis["warnings"]] == ["language_unsupported"]


def test_a_batch_says_the_same_as_its_texts_one_by_one(http):
    texts = [f"I {word} number {number}" for number in range(20) for word in ("love", "hate", "saw")]
    together = http.post("/v1/text", json={"texts": texts}).json()["results"]
    for text, result in zip(texts, together, strict=True):
        alone = verdict(http, text)["sentiment"]
        assert alone["label"] == result["sentiment"]["label"]
        # Activations are quantised over the whole batch, so its other texts move the last digits.
        assert alone["valence"] == pytest.approx(result["sentiment"]["valence"], abs=1e-4)


def test_many_at_once_are_all_answered(http):
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda number: http.post("/v1/text", json={"text": f"I love {number}"}), range(200)))
    assert [answer.status_code for answer in answers] == [200] * 200


def test_the_same_text_gives_the_same_answer(http):
    first, second = (verdict(http, "It was not as bad as they say") for _ in range(2))
    assert first["sentiment"] == second["sentiment"]
    assert first["id"] != second["id"]
