"""What is asked of a live session."""

from __future__ import annotations

from dataclasses import dataclass

from service.domain.labels import Modality
from service.features.speech import SAMPLE_RATE
from service.pipelines import Options


@dataclass(frozen=True)
class Start:
    """What is asked of a session."""

    modalities: frozenset[Modality]
    options: Options
    sample_rate: int = SAMPLE_RATE
    timestamps: bool = False
