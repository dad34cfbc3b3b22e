"""Text as the model reads it: tokens, sentences and windows, the same in training and in serving.

All offsets are Unicode code points of the text as sent. User names, links, quotes and case are normalised
inside the tokenizer's own file, so that the text itself stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tokenizers import Encoding, Tokenizer

MAX_TOKENS = 128
MIN_TOKENS = 16  # one character may read as several tokens (a Hangul syllable as three)
SPECIAL_TOKENS = 2  # [CLS] and [SEP] around every window

_PICTOGRAM = "[\U0001f300-\U0001faff\u2190-\u21ff\u2300-\u23ff\u25a0-\u27bf\u2b00-\u2bff\u00a9\u00ae\u2122]"
_EMOJI = (
    f"(?:[\U0001f1e6-\U0001f1ff]{{2}}|{_PICTOGRAM}(?:[\ufe0e\ufe0f\u20e3\U0001f3fb-\U0001f3ff]|\u200d{_PICTOGRAM})*)"
)
_LETTERS = r"\w[^\s!-/:-@\[-`{-~\u2000-\u2bff\u3000-\u303f\U0001f000-\U0001faff]*"
_WORD = re.compile(
    rf"(?:https?://|www\.)\S+|{_EMOJI}|[@#]?{_LETTERS}(?:['\u2019-]{_LETTERS})*|(?:(?!{_EMOJI})[^\w\s])+|\S"
)
# A run of stops or of spaces is looked at from its first character only: else a run of n would take n^2 steps.
_SENTENCE_END = re.compile(
    rf"(?<![.!?\u2026])(?P<stop>[.!?\u2026]+)[\"'\u201d\u2019)\]]*(?:[^\S\r\n]*{_EMOJI})*(?=\s)"
    rf"|[\u3002\uff01\uff1f]+[\u300d\u300f\u201d]*"
    rf"|(?<![^\S\r\n])(?P<line>[^\S\r\n]*(?:\r\n|\r|\n)\s*)"
)
_LAST_WORD = re.compile(r"[\w.]*\w$")
_ABBREVIATIONS = frozenset(
    (
        *("mr", "mrs", "ms", "dr", "prof", "st", "jr", "sr", "vs", "e.g", "i.e", "cf"),
        *("fig", "vol", "approx", "dept", "est", "inc", "ltd", "co", "corp", "u.s", "u.k", "a.m", "p.m"),
        *("gen", "col", "sgt", "capt", "lt", "rep", "sen", "gov", "hon", "rev", "jan"),
        *("feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec"),
    )
)


@dataclass(frozen=True)
class Span:
    """Code points `start` (included) to `end` (excluded) of a text."""

    start: int
    end: int


@dataclass(frozen=True)
class Window:
    """A piece of a text that the model reads at once; `tokens` counts [CLS] and [SEP] too."""

    start: int
    end: int
    tokens: int


class Asked(NamedTuple):
    """A text and a term in it, whose sentiment is asked for; the model reads one behind the other."""

    text: str
    term: str


@dataclass(frozen=True)
class Batch:
    """`input_ids` and `attention_mask`, both int64 (n, longest); padding is 0 in both."""

    input_ids: np.ndarray
    attention_mask: np.ndarray


def load_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer of a `tokenizer.json`, without truncation or padding.

    It says of a token that stands for a name or a link only where that ends; for offsets take `words`.
    """
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def encode(texts: Sequence[str], tokenizer: Tokenizer) -> Batch:
    """The tokens of texts, padded to the longest of them. Nothing is cut: pass windows of a long text.

    Raises `ValueError` if there is no text.
    """
    if not texts:
        raise ValueError("A batch needs at least one text.")
    return pad([encoding.ids for encoding in tokenizer.encode_batch_fast(list(texts))])


def pad(token_ids: Sequence[Sequence[int]]) -> Batch:
    """Token ids of different lengths as one batch."""
    lengths = np.array([len(ids) for ids in token_ids])
    mask = np.arange(lengths.max()) < lengths[:, None]
    input_ids = np.zeros(mask.shape, dtype=np.int64)
    input_ids[mask] = np.concatenate([np.asarray(ids, dtype=np.int64) for ids in token_ids])
    return Batch(input_ids, mask.astype(np.int64))


def words(text: str) -> list[Span]:
    """Words, links, emoji and runs of punctuation; together they hold every character that isn't white space."""
    return [Span(*match.span()) for match in _WORD.finditer(text)]


def sentences(text: str) -> list[Span]:
    """The sentences, without the white space around them; together they hold every other character.

    A sentence ends with its closing punctuation and the emoji behind it, or with its line,
    unless the next line goes on in lower case as in hard-wrapped prose.
    """
    spans, start = [], 0
    for end in (*_sentence_ends(text), len(text)):
        piece = text[start:end]
        if stripped := piece.strip():
            first = start + len(piece) - len(piece.lstrip())
            spans.append(Span(first, first + len(stripped)))
        start = end
    return spans


def windows(text: str, tokenizer: Tokenizer, max_tokens: int = MAX_TOKENS) -> list[Window]:
    """Cut a text into windows of at most `max_tokens` tokens, which together hold all that isn't white space.

    Whole sentences are packed together; a sentence that is too long is split between words, and a word that
    is too long between tokens. A text without any sentence has no window.
    Raises `ValueError` if `max_tokens` is less than 16.
    """
    if max_tokens < MIN_TOKENS:
        raise ValueError(f"max_tokens must be at least {MIN_TOKENS}.")
    room = max_tokens - SPECIAL_TOKENS
    parts = sentences(text)
    if not parts:
        return []
    encoding = tokenizer.encode(text, add_special_tokens=False)
    if len(encoding) <= room:
        return [Window(parts[0].start, parts[-1].end, len(encoding) + SPECIAL_TOKENS)]
    starts = np.array([start for start, _ in encoding.offsets])
    pieces = [piece for part in parts for piece in _split(text, part, starts, room)]
    return [window for span in _pack(pieces, starts, room) for window in _measured(text, span, tokenizer, room)]


def _sentence_ends(text: str) -> Iterator[int]:
    for match in _SENTENCE_END.finditer(text):
        stop, line = match["stop"], match["line"]
        if stop == "." and _abbreviates(text, match.start()):
            continue
        if line and _goes_on(text, match):
            continue
        yield match.end()


def _abbreviates(text: str, dot: int) -> bool:
    """Whether the full stop at `dot` ends an abbreviation or an initial rather than a sentence."""
    last = _LAST_WORD.search(text, max(0, dot - 12), dot)
    if not last:
        return False
    word = last.group()
    return word.lower() in _ABBREVIATIONS or (len(word) == 1 and word.isupper() and word != "I")


def _goes_on(text: str, line: re.Match[str]) -> bool:
    """Whether the sentence before a line break goes on behind it."""
    one_break = line["line"].count("\n") + line["line"].count("\r") - line["line"].count("\r\n") == 1
    before, after = text[max(0, line.start() - 1) : line.start()], text[line.end() : line.end() + 1]
    return one_break and after.islower() and (before.isalnum() or before == ",")


def _split(text: str, part: Span, starts: np.ndarray, room: int) -> Iterator[Span]:
    """Pieces of a sentence of at most `room` tokens; `starts` holds where each token of the text begins."""
    start = part.start
    while _count(starts, start, part.end) > room:
        first = int(np.searchsorted(starts, start))
        limit = int(starts[first + room])
        cut = _last_white_space(text, start, limit)
        cut = cut if cut is not None else max(limit, start + 1)
        yield Span(start, cut)
        start = cut
        while start < part.end and text[start].isspace():
            start += 1
    if start < part.end:
        yield Span(start, part.end)


def _last_white_space(text: str, start: int, end: int) -> int | None:
    """Where the last word of text[start:end] that is whole ends; None if it holds but one word."""
    position = end
    while position > start and not text[position].isspace():
        position -= 1
    while position > start and text[position - 1].isspace():
        position -= 1
    return position if position > start else None


def _pack(pieces: Sequence[Span], starts: np.ndarray, room: int) -> Iterator[Span]:
    """Neighbouring pieces together as long as they have at most `room` tokens."""
    packed = pieces[0]
    for piece in pieces[1:]:
        if _count(starts, packed.start, piece.end) <= room:
            packed = Span(packed.start, piece.end)
        else:
            yield packed
            packed = piece
    yield packed


def _count(starts: np.ndarray, start: int, end: int) -> int:
    first, last = np.searchsorted(starts, (start, end))
    return int(last - first)


def _measured(text: str, span: Span, tokenizer: Tokenizer, room: int) -> Iterator[Window]:
    """The window of a span with its own count of tokens; halved if the cut made more tokens than there is room.

    A word cut in two may read as more tokens than it was: `@averylongname` is `@user` only as a whole.
    """
    encoding: Encoding = tokenizer.encode(text[span.start : span.end], add_special_tokens=False)
    if len(encoding) <= room:
        yield Window(span.start, span.end, len(encoding) + SPECIAL_TOKENS)
        return
    middle = span.start + max(1, encoding.offsets[len(encoding) // 2][0])
    for half in (Span(span.start, middle), Span(middle, span.end)):
        yield from _measured(text, half, tokenizer, room)
