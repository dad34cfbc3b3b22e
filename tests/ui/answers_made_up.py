"""Answers in the contract's shape, made up: these tests are about showing and reading answers, not about models."""

from __future__ import annotations

from typing import Any

LABELS = ("negative", "neutral", "positive")


def sentiment(negative: float, neutral: float, positive: float, reason: str | None = None) -> dict[str, Any]:
    """A verdict; with a reason, an abstention."""
    probabilities = dict(zip(LABELS, (negative, neutral, positive), strict=True))
    label = max(probabilities, key=probabilities.__getitem__)
    return {
        "label": None if reason else label,
        "valence": positive - negative,
        "confidence": 0.0 if reason == "no_evidence" else probabilities[label],
        "probabilities": probabilities,
        "abstained": reason is not None,
        "reason": reason,
    }


HAPPY, CROSS, PLAIN = sentiment(0.05, 0.14, 0.81), sentiment(0.78, 0.15, 0.07), sentiment(0.1, 0.8, 0.1)
NOTHING = sentiment(1 / 3, 1 / 3, 1 / 3, "no_evidence")
EMOTIONS = {"happy": 0.7, "neutral": 0.2, "surprised": 0.06, "sad": 0.04}


def analysis(kind: str, **more: Any) -> dict[str, Any]:
    """An Analysis with nothing in it but what is given."""
    return {
        "id": "01JDXR6ZK3M2V9Q8W7T5S4R3P2",
        "created": "2026-11-24T06:30:00Z",
        "kind": kind,
        "sentiment": HAPPY,
        "emotions": {},
        "modalities": {},
        "fusion": fusion({}),
        "timeline": [],
        "transcript": None,
        "explanation": None,
        "media": None,
        "models": {},
        "warnings": [],
        "timings": {"decode": 0.12, "total": 0.31},
        **more,
    }


def fusion(
    contributions: dict[str, float], conflict: float = 0.0, without: dict[str, Any] | None = None
) -> dict[str, Any]:
    """How it was combined."""
    return {
        "method": "log_linear_pool",
        "contributions": contributions,
        "weights": contributions,
        "quality": dict.fromkeys(contributions, 0.8),
        "conflict": conflict,
        "without": without or {},
    }


def text(words: str, verdict: dict[str, Any] = HAPPY) -> dict[str, Any]:
    """A text part."""
    return {"sentiment": verdict, "emotions": {}, "text": words, "source": "given", "aspects": [], "sentences": []}


def speech(seconds: float, verdict: dict[str, Any] = PLAIN) -> dict[str, Any]:
    """A speech part."""
    return {"sentiment": verdict, "emotions": EMOTIONS, "speech_seconds": seconds, "segments": []}


def face(*boxes: tuple[float, float, float, float], verdict: dict[str, Any] = HAPPY, **seen: Any) -> dict[str, Any]:
    """A face part with these boxes."""
    faces = [
        {"box": box, "score": 0.98, "quality": 0.9, "sentiment": verdict, "emotions": EMOTIONS, "track": track, **seen}
        for track, box in enumerate(boxes, 1)
    ]
    return {"sentiment": verdict, "emotions": EMOTIONS, "faces": faces}


def point(start: float, verdict: dict[str, Any], **modalities: Any) -> dict[str, Any]:
    """One second of a timeline."""
    return {
        "start": start,
        "end": start + 1,
        "sentiment": verdict,
        "text": None,
        "speech": None,
        "face": None,
        **modalities,
    }


PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8Dwn4EIAAAK+QH+3tLOOAAAAABJRU5ErkJggg=="


def heatmap(track: int, box: tuple[float, float, float, float], seconds: float | None = None) -> dict[str, Any]:
    """A map whose strongest place is at the mouth, a little to the left."""
    weights = [[0.0] * 8 for _ in range(8)]
    weights[6][2], weights[2][4] = 0.4, -0.2
    return {
        "track": track,
        "box": box,
        "seconds": seconds,
        "label": "positive",
        "weights": weights,
        "strongest": 0.4,
        "png_base64": PNG,
    }


def reason(kind: str, weight: float, without: dict[str, Any] = PLAIN, **where: Any) -> dict[str, Any]:
    """A part and where it is."""
    modality = {"segment": "speech", "face": "face"}.get(kind, "text")
    nowhere = {"text": None, "span": None, "seconds": None, "box": None, "track": None}
    return {"kind": kind, "modality": modality, "weight": weight, "without": without, **nowhere, **where}


def job(id: str, **more: Any) -> dict[str, Any]:
    """A Job that waits."""
    return {
        "id": id,
        "kind": "texts",
        "state": "queued",
        "progress": {"fraction": 0.0, "done": 0, "total": 4, "unit": "rows"},
        "created": "2026-11-24T06:30:00Z",
        "started": None,
        "ended": None,
        "expires": None,
        "problem": None,
        **more,
    }


def of_text(words: str) -> dict[str, Any]:
    """As of `POST /v1/text`: the first word decides."""
    first = words.split(maxsplit=1)[0] if words.split() else ""
    explained = [{"start": 0, "end": len(first), "text": first, "weight": 0.4}]
    return analysis(
        "text",
        modalities={"text": text(words)},
        fusion=fusion({"text": 1.0}),
        explanation={"words": explained},
        emotions={"happy": 0.9, "sad": 0.1},
        models={"text": "text-minilm@1.0.0"},
    )


def of_audio() -> dict[str, Any]:
    """As of `POST /v1/audio`, with a silence in the middle."""
    words = "And so my fellow Americans, ask not what your country can do for you."
    points = [point(i, NOTHING if i in (3, 4) else HAPPY if i > 6 else PLAIN) for i in range(11)]
    for i, one in enumerate(points):
        one.update({} if i in (3, 4) else {"speech": PLAIN, "text": sentiment(0.3 - i / 50, 0.4, 0.3 + i / 50)})
    return analysis(
        "audio",
        modalities={"speech": speech(8.2), "text": {**text(words), "source": "transcript"}},
        emotions=EMOTIONS,
        fusion=fusion({"speech": 0.44, "text": 0.56}, 0.07, {"speech": HAPPY, "text": PLAIN}),
        timeline=points,
        transcript={
            "text": words,
            "language": "en",
            "confidence": 0.93,
            "segments": [
                {"start": 0.4, "end": 3.0, "text": "And so my fellow Americans,", "confidence": 0.9},
                {"start": 5.1, "end": 10.6, "text": "ask not what your country can do for you.", "confidence": 0.95},
            ],
        },
        explanation={
            "words": [{"start": 10, "end": 16, "text": "fellow", "weight": 0.12}],
            "heatmaps": [],
            "reasons": [
                reason("sentence", 0.31, text="ask not what your country can do for you.", seconds=(5.1, 10.6)),
                reason("segment", -0.12, HAPPY, seconds=(0.4, 3.0)),
                reason("word", 0.12, text="fellow", span=(10, 16), seconds=(0.4, 3.0)),
                reason("segment", 0.06, seconds=(5.1, 10.6)),
                reason("sentence", 0.001, text="And so my fellow Americans,", seconds=(0.4, 3.0)),
            ],
        },
        media={"seconds": 11.0, "width": None, "height": None, "frames_read": None},
        models={"speech": "speech-whisper@1.0.0", "text": "text-minilm@1.0.0", "transcript": "whisper-tiny.en@1"},
        warnings=[{"code": "transcript_uncertain", "detail": "Some words may be wrong; they weigh less."}],
    )


def of_image() -> dict[str, Any]:
    """As of `POST /v1/image`: two faces."""
    part = face((90, 40, 110, 140), (220, 60, 60, 80))
    part["faces"][1].update(sentiment=CROSS, emotions={"angry": 0.8, "sad": 0.2}, quality=0.6)
    return analysis(
        "image",
        modalities={"face": part},
        emotions=EMOTIONS,
        fusion=fusion({"face": 1.0}),
        explanation={
            "words": [],
            "heatmaps": [heatmap(1, (80, 40, 128, 128)), heatmap(2, (216, 56, 72, 72))],
            "reasons": [
                reason("face", 0.8, CROSS, box=(90, 40, 110, 140), track=1),
                reason("face", -0.5, box=(220, 60, 60, 80), track=2),
            ],
        },
        media={"seconds": None, "width": 320, "height": 320, "frames_read": None},
        models={"face": "face-ferplus@1.0.0"},
    )


def of_video() -> dict[str, Any]:
    """As of `POST /v1/video`: nobody seen in the first two seconds."""
    base = of_audio()
    base["explanation"]["heatmaps"] = [heatmap(1, (50, 30, 100, 100), 3.5)]
    base["explanation"]["reasons"].insert(0, reason("face", 0.6, box=(60, 30, 90, 110), seconds=(2.0, 7.0), track=1))
    for i, one in enumerate(base["timeline"][:7]):
        one["face"] = HAPPY if i > 1 else None
    return {
        **base,
        "kind": "video",
        "timeline": base["timeline"][:7],
        "modalities": {**base["modalities"], "face": face((60, 30, 90, 110), start=2.0, end=7.0)},
        "fusion": fusion({"text": 0.41, "speech": 0.22, "face": 0.37}, 0.08, {"text": HAPPY, "face": PLAIN}),
        "media": {"seconds": 7.0, "width": 256, "height": 256, "frames_read": 14},
    }
