from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from models.registry import default_model
from service.features.text import MAX_TOKENS, MIN_TOKENS, Span, encode, load_tokenizer, pad, sentences, windows, words

COMBINING = "Cafe\u0301 was good."  # é as e and an accent: two code points
FAMILY = "\U0001f469\u200d\U0001f469\u200d\U0001f467"  # three people and two joiners
THUMB = "\U0001f44d\U0001f3fd"  # a thumb and its skin tone
# Any text but lone surrogates, which JSON can't carry as UTF-8; with the characters that matter here more often.
TEXTS = st.text(
    st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from("a .!?\n\r\u2026😍\u200d\ufe0f@#'\u2019"))
)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    entry = default_model("text-sentiment")
    return load_tokenizer(entry.path(next(iter(entry.files))))


def pieces(text: str, spans: list) -> list[str]:
    return [text[span.start : span.end] for span in spans]


def visible(text: str) -> str:
    return "".join(text.split())


def test_sentences_keep_their_punctuation_and_the_emoji_behind_it():
    text = "I love it! 😍😍 But why?  No idea…\nBye"
    assert pieces(text, sentences(text)) == ["I love it! 😍😍", "But why?", "No idea…", "Bye"]


def test_offsets_are_code_points_across_emoji_combining_marks_and_line_ends():
    text = f"{COMBINING} {FAMILY}\r\nNext {THUMB} line."
    assert sentences(text) == [Span(0, 21), Span(23, 36)]
    assert pieces(text, sentences(text)) == [f"{COMBINING} {FAMILY}", f"Next {THUMB} line."]


def test_abbreviations_initials_and_numbers_do_not_end_a_sentence():
    text = "Dr. J. Smith paid $3.50 vs. the U.S. price. He left."
    assert pieces(text, sentences(text)) == ["Dr. J. Smith paid $3.50 vs. the U.S. price.", "He left."]


def test_a_hard_wrapped_line_goes_on_and_a_new_line_does_not():
    text = "The plot is\nrather thin\nWe left\n\nit was over"
    assert pieces(text, sentences(text)) == ["The plot is\nrather thin", "We left", "it was over"]


def test_sentences_without_spaces_between_them_are_found_in_chinese():
    assert pieces("好。坏!", sentences("好。坏!")) == ["好。", "坏!"]


@pytest.mark.parametrize("text", ["", " ", "\r\n\t \u00a0"])
def test_a_text_of_white_space_has_no_sentence_word_or_window(text, tokenizer):
    assert sentences(text) == words(text) == windows(text, tokenizer) == []


def test_words_are_whole_emoji_names_links_and_contractions():
    text = f"@Ann I can't… see {FAMILY}{THUMB}! #Hope www.a.org/b?c cafe\u0301 :)"
    expected = ["@Ann", "I", "can't", "…", "see", FAMILY, THUMB, "!", "#Hope", "www.a.org/b?c", "cafe\u0301", ":)"]
    assert pieces(text, words(text)) == expected


@settings(deadline=None)
@given(TEXTS)
def test_sentences_and_words_lose_no_character(text):
    for spans in (sentences(text), words(text)):
        assert visible("".join(pieces(text, spans))) == visible(text)
        assert all(left.end <= right.start for left, right in pairwise(spans))
        assert all(span.start < span.end for span in spans)


@settings(deadline=None, max_examples=200)
@given(text=TEXTS, repeat=st.integers(1, 40), max_tokens=st.integers(MIN_TOKENS, 40))
def test_windows_lose_no_character_and_fit(text, repeat, max_tokens, tokenizer):
    text *= repeat
    found = windows(text, tokenizer, max_tokens)
    assert visible("".join(pieces(text, found))) == visible(text)
    for window in found:
        assert window.tokens <= max_tokens
        assert encode([text[window.start : window.end]], tokenizer).input_ids.shape == (1, window.tokens)


@pytest.mark.parametrize(
    "piece", [".", "!", " ", "\n", ".'", ". 😍", "😍", "\u200d👩", "@a ", "http://", "\u0301", "a\r\n"]
)
def test_a_hundred_thousand_times_the_same_is_read_in_one_pass(piece, tokenizer):
    """Were a pattern to start over at every character, this would take minutes."""
    text = "x" + piece * (100_000 // len(piece)) + "x"
    for spans in (sentences(text), words(text), windows(text, tokenizer)):
        assert visible("".join(pieces(text, spans))) == visible(text)


def test_a_short_text_is_one_window(tokenizer):
    text = "  Fine. Just fine. "
    assert pieces(text, windows(text, tokenizer)) == ["Fine. Just fine."]


def test_windows_hold_whole_sentences_as_many_as_fit(tokenizer):
    sentence = "The room was clean and the staff were kind."
    text = " ".join([sentence] * 100)
    found = windows(text, tokenizer)
    full = (MAX_TOKENS - 2) // 10  # nine words and a full stop
    assert [len(sentences(piece)) for piece in pieces(text, found)] == [full] * (100 // full) + [100 % full]
    assert all(piece.startswith("The") and piece.endswith("kind.") for piece in pieces(text, found))


def test_a_sentence_longer_than_a_window_is_split_between_words(tokenizer):
    text = "unbelievably " * 300
    found = windows(text, tokenizer)
    assert len(found) > 1
    assert {word for piece in pieces(text, found) for word in piece.split()} == {"unbelievably"}


def test_a_word_longer_than_a_window_is_split_and_kept(tokenizer):
    text = "!?" * 500
    assert "".join(pieces(text, windows(text, tokenizer))) == text


def test_a_window_without_room_is_refused(tokenizer):
    with pytest.raises(ValueError, match="at least 16"):
        windows("text", tokenizer, 3)


def test_names_links_case_quotes_and_skin_tones_are_read_as_one(tokenizer):
    same = [
        ("@JaneDoe said HI", "@user said hi"),
        ("see https://a.example/b?c=d now", "see http now"),
        ("don\u2019t \u201cgo\u201d", 'don\'t "go"'),
        ("\U0001f44d\U0001f3fd", "\U0001f44d\U0001f3fb"),
        ("cafe\u0301", "caf\u00e9"),
        ("❤\ufe0f", "❤"),
    ]
    for left, right in same:
        assert tokenizer.encode(left).ids == tokenizer.encode(right).ids


def test_a_mail_address_is_no_user_name(tokenizer):
    assert "user" not in tokenizer.encode("write to jane@example.org").tokens


def test_emoji_are_tokens_of_their_own_even_inside_a_word(tokenizer):
    tokens = tokenizer.encode("love😍it🥲", add_special_tokens=False).tokens
    assert tokens == ["love", "😍", "it", "🥲"]


def test_a_batch_is_padded_to_its_longest_text_with_what_each_text_has_alone(tokenizer):
    texts = ["good", "a much longer sentence than the first", "😍"]
    batch = encode(texts, tokenizer)
    assert batch.input_ids.dtype == batch.attention_mask.dtype == np.int64
    for row, mask, text in zip(batch.input_ids, batch.attention_mask, texts, strict=True):
        alone = encode([text], tokenizer).input_ids[0]
        assert row[: len(alone)].tolist() == alone.tolist()
        assert not row[len(alone) :].any()
        assert mask.tolist() == [1] * len(alone) + [0] * (len(row) - len(alone))


def test_an_empty_batch_is_refused(tokenizer):
    with pytest.raises(ValueError, match="at least one"):
        encode([], tokenizer)


def test_padding_keeps_every_token():
    batch = pad([[7], [8, 9, 10]])
    assert batch.input_ids.tolist() == [[7, 0, 0], [8, 9, 10]]
    assert batch.attention_mask.tolist() == [[1, 0, 0], [1, 1, 1]]
