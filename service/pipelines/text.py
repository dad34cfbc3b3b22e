"""Words: a text of any length, its sentences, its aspects, and what it says with parts of it left out."""

from __future__ import annotations

import asyncio
import re
import unicodedata
from collections.abc import Sequence

from service.domain.analysis import AspectPart, Notice, SentencePart, TextPart
from service.domain.fusion import Opinion
from service.domain.sentiment import NO_EVIDENCE, Prediction, Sentiment, verdict
from service.domain.timeline import mean
from service.features.text import MAX_TOKENS, SPECIAL_TOKENS, Asked, Span, Window, sentences
from service.pipelines import Options
from service.pipelines.found import Found
from service.runners import Models


async def predict(texts: Sequence[str], models: Models) -> list[Prediction | None]:
    """What the model says of each text, over all its windows by their tokens; None where there is nothing to read."""
    return [_weighed(said) for said in await predict_windows(texts, models)]


async def predict_windows(texts: Sequence[str], models: Models) -> list[list[tuple[Prediction, int]]]:
    """What the model says of each window of each text, with the window's tokens."""
    cuts = [[window for window in models.windows(text) if window.tokens > SPECIAL_TOKENS] for text in texts]
    pieces = [text[window.start : window.end] for text, cut in zip(texts, cuts, strict=True) for window in cut]
    answers = iter(await models.text(pieces) if pieces else ())
    return [[(next(answers), window.tokens) for window in cut] for cut in cuts]


async def read_text(text: str, options: Options, models: Models) -> Found:
    """A text as it was given. Raises what `Models.text` raises."""
    prediction = (await predict([text], models))[0]
    return await _finding(text, prediction, options, models)


async def read_texts(texts: Sequence[str], options: Options, models: Models) -> list[Found]:
    """Many texts, read together."""
    predictions = await predict(texts, models)
    work = (_finding(text, said, options, models) for text, said in zip(texts, predictions, strict=True))
    return list(await asyncio.gather(*work))


async def without_each(
    text: str, spans: Sequence[Span], models: Models
) -> tuple[Prediction | None, list[Prediction | None]]:
    """What the model says of a text, and of it without each span in turn, all asked at once.

    Occlusion by leaving out (Li, Monroe & Jurafsky 2016, arXiv 1612.08220). Of a text of several windows only those are
    read again that a span lies in, so that the cost does not grow with the text.
    """
    windows = [window for window in models.windows(text) if window.tokens > SPECIAL_TOKENS]
    cuts = [(place, piece) for span in spans for place, piece in _cut_out(text, span, windows)]
    asked = [text[window.start : window.end] for window in windows] + [piece for _, piece in cuts]
    said = await predict_windows(asked, models)
    whole, variants = said[: len(windows)], iter(said[len(windows) :])
    without = []
    for span in spans:
        changed = {place: next(variants) for place, _ in _cut_out(text, span, windows)}
        without.append(_weighed([one for place, here in enumerate(whole) for one in changed.get(place, here)]))
    return _weighed([one for here in whole for one in here]), without


def _cut_out(text: str, span: Span, windows: Sequence[Window]) -> list[tuple[int, str]]:
    """The windows that a span lies in, by their places, without it."""
    return [
        (place, text[window.start : max(span.start, window.start)] + text[min(span.end, window.end) : window.end])
        for place, window in enumerate(windows)
        if span.start < window.end and window.start < span.end
    ]


def foreign(text: str) -> bool:
    """Whether most letters are of a script that the default model cannot read (it reads Latin)."""
    letters = [character for character in text if character.isalpha()]
    latin = sum(unicodedata.name(character, "").startswith("LATIN") for character in letters)
    return bool(letters) and latin * 2 < len(letters)


async def _finding(text: str, prediction: Prediction | None, options: Options, models: Models) -> Found:
    info = models.info["text"]
    if info.languages and not text.isascii() and foreign(text):
        detail = f"Most letters are of a script that the text model cannot read; it speaks {', '.join(info.languages)}."
        return _silent(text, info.identifier, (Notice("language_unsupported", detail),))
    if prediction is None:
        return _silent(text, info.identifier, ())
    parts = await _sentences(text, models) if options.detail == "full" or options.aspects else ()
    return Found(
        opinions={"text": Opinion(prediction, reliability=info.reliability)},
        text=TextPart(
            sentiment=verdict(prediction.probabilities),
            emotions=prediction.emotions,
            text=text,
            source="given",
            aspects=tuple(await asyncio.gather(*(aspect(term, text, parts, models) for term in options.aspects))),
            sentences=parts if options.detail == "full" else (),
        ),
        models=("text",),
    )


def _silent(text: str, identifier: str, notices: tuple[Notice, ...]) -> Found:
    return Found(text=TextPart(NO_EVIDENCE, {}, text, "given"), models=("text",), notices=notices)


async def _sentences(text: str, models: Models) -> tuple[SentencePart, ...]:
    spans = sentences(text)
    said = await predict([text[span.start : span.end] for span in spans], models)
    return tuple(
        SentencePart(span.start, span.end, text[span.start : span.end], _sentiment(prediction))
        for span, prediction in zip(spans, said, strict=True)
    )


async def aspect(term: str, text: str, parts: Sequence[SentencePart], models: Models) -> AspectPart:
    """What the sentences that mention a term say of it, on average; no evidence if none does.

    A model that can be asked about a term tells it apart within a sentence; else the sentence speaks for it.
    """
    spans = [Span(*found.span()) for found in re.finditer(rf"(?<!\w){re.escape(term)}(?!\w)", text, re.IGNORECASE)]
    about = [part for part in parts if any(part.start <= span.start < part.end for span in spans)]
    told = await _towards(term, [part for part in about if part.sentiment.label], models)
    sentiment = verdict(mean([(one, 1.0) for one in told]).probabilities) if told else NO_EVIDENCE
    return AspectPart(term, sentiment, tuple((span.start, span.end) for span in spans))


async def _towards(term: str, about: Sequence[SentencePart], models: Models) -> list[Prediction]:
    """What each sentence says of a term that it mentions."""
    info = models.info["text"]
    room = info.settings.get("max_tokens", MAX_TOKENS) - _tokens(term, models) if info.settings.get("aspects") else 0
    fits = [_tokens(part.text, models) <= room for part in about]
    asked = [Asked(part.text, term) for part, fit in zip(about, fits, strict=True) if fit]
    said = iter(await models.text(asked) if asked else ())
    return [
        next(said) if fit else Prediction(part.sentiment.distribution) for part, fit in zip(about, fits, strict=True)
    ]


def _tokens(text: str, models: Models) -> int:
    """How many tokens the model reads a text as, those around it included."""
    return sum(window.tokens for window in models.windows(text))


def _weighed(said: Sequence[tuple[Prediction, int]]) -> Prediction | None:
    if len(said) == 1:
        return said[0][0]
    return mean(said) if said else None


def _sentiment(prediction: Prediction | None) -> Sentiment:
    return verdict(prediction.probabilities) if prediction else NO_EVIDENCE
