"""Examples of the OpenAPI document that are too long to stand where they are used."""

from __future__ import annotations

from typing import Any

_WITHOUT_FACE = {
    "label": "negative",
    "valence": -0.676,
    "confidence": 0.771,
    "probabilities": {"negative": 0.771, "neutral": 0.134, "positive": 0.095},
    "abstained": False,
    "reason": None,
}
_WITHOUT_SENTENCE = {
    "label": "positive",
    "valence": 0.81,
    "confidence": 0.86,
    "probabilities": {"negative": 0.05, "neutral": 0.09, "positive": 0.86},
    "abstained": False,
    "reason": None,
}
_TRANSPARENT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="

EXPLAINED: dict[str, Any] = {
    "words": [{"start": 15, "end": 21, "text": "broken", "weight": -0.58}],
    "heatmaps": [
        {
            "track": 1,
            "box": [181.9, 48.7, 159.3, 159.3],
            "seconds": 2.0,
            "label": "positive",
            "weights": [[0.0] * 8, [0.0, 0.0, 0.01, 0.03, 0.03, 0.01, 0.0, 0.0]],
            "strongest": 0.05,
            "png_base64": _TRANSPARENT,
        }
    ],
    "reasons": [
        {
            "kind": "face",
            "modality": "face",
            "weight": 1.436,
            "without": _WITHOUT_FACE,
            "text": None,
            "span": None,
            "seconds": [0.0, 6.03],
            "box": [195.7, 46.9, 130.0, 175.5],
            "track": 1,
        },
        {
            "kind": "sentence",
            "modality": "text",
            "weight": -0.05,
            "without": _WITHOUT_SENTENCE,
            "text": "It arrived all broken.",
            "span": [0, 22],
            "seconds": [0.2, 1.9],
            "box": None,
            "track": None,
        },
    ],
}
"""An answer that rests on a face and, a little, on what was said; most rows of the map are left out."""
