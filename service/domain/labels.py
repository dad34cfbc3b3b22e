"""The names that every layer uses, and how an emotion speaks for a sentiment."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, get_args

Label = Literal["negative", "neutral", "positive"]
Modality = Literal["text", "speech", "face"]
Reason = Literal["low_confidence", "no_evidence", "conflict"]
WarningCode = Literal[
    "no_face",
    "no_speech",
    "no_audio",
    "no_video",
    "low_quality",
    "truncated",
    "transcript_unavailable",
    "transcript_uncertain",
    "language_unsupported",
    "clipped",
    "not_stored",
]

SENTIMENTS: tuple[Label, ...] = get_args(Label)
"""The order of every sentiment vector: negative, neutral, positive."""

MODALITIES: tuple[Modality, ...] = get_args(Modality)

EMOTIONS: tuple[str, ...] = (
    "neutral",
    "calm",
    "happy",
    "sad",
    "angry",
    "fearful",
    "disgust",
    "surprised",
    "contempt",
)
"""The union of what our models say; each model speaks of a subset, named in the registry."""

EMOTION_SENTIMENT: Mapping[str, tuple[float, float, float]] = MappingProxyType(
    {
        "neutral": (0.0, 1.0, 0.0),
        "calm": (0.0, 1.0, 0.0),
        "happy": (0.0, 0.0, 1.0),
        "sad": (1.0, 0.0, 0.0),
        "angry": (1.0, 0.0, 0.0),
        "fearful": (1.0, 0.0, 0.0),
        "disgust": (1.0, 0.0, 0.0),
        "surprised": (0.51, 0.0, 0.49),
        "contempt": (1.0, 0.0, 0.0),
    }
)
"""P(sentiment | emotion), over `SENTIMENTS`; surprise as in MELD's training lines (583 negative, 565 positive)."""
