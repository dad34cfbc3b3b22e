"""Words: a text of any length, its sentences, its aspects, and which words carry the verdict."""

from __future__ import annotations

import asyncio
import re
import unicodedata
from collections.abc import Sequence

from service.domain.analysis import AspectPart, Explanation, Notice, SentencePart, TextPart, WordWeight
from service.domain.fusion import Opinion
from service.domain.sentiment import NO_EVIDENCE, Prediction, Sentiment, verdict
from service.domain.timeline import mean
from service.features.text import MAX_TOKENS, SPECIAL_TOKENS, Asked, Span, sentences, words
from service.pipelines import Options
from service.pipelines.found import Found
from service.runners import Models

MAX_EXPLAINED_WORDS = 256
"""So many variants of a text are read at the most to explain it."""


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


async def explain(text: str, models: Models) -> Explanation:
    """How far each word moves the valence: by leaving it out (occlusion; Li, Monroe & Jurafsky 2016, arXiv 1612.08220).

    At most `MAX_EXPLAINED_WORDS` words, the first ones, are left out in turn.
    """
    spans = [span for span in words(text) if text[span.start : span.end].strip()][:MAX_EXPLAINED_WORDS]
    variants = [text[: span.start] + text[span.end :] for span in spans]
    whole, *without = await predict([text, *variants], models)
    return Explanation(
        tuple(
            WordWeight(span.start, span.end, text[span.start : span.end], _valence(whole) - _valence(rest))
            for span, rest in zip(spans, without, strict=True)
        )
    )


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
        explanation=await explain(text, models) if options.explain else None,
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


def _valence(prediction: Prediction | None) -> float:
    return prediction.probabilities[2] - prediction.probabilities[0] if prediction else 0.0
