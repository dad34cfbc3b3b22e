"""What was said in the last seconds, of which each result speaks."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from service.domain.fusion import Opinion
from service.domain.labels import Modality
from service.domain.timeline import Moment, average

ROLLING_SECONDS = 5.0
"""A result speaks of so much of what happened last."""


@dataclass
class Recent:
    """What each modality said in the last seconds."""

    moments: dict[Modality, deque[Moment]] = field(default_factory=dict)
    now: float = 0.0
    speaking: Moment | None = None
    """The voice in speech that has not ended yet."""

    def add(self, modality: Modality, moments: Sequence[Moment], now: float) -> None:
        """Take in what was said until `now`, and forget what is too old."""
        self.now = max(self.now, now)
        self.moments.setdefault(modality, deque()).extend(moments)
        for kept in self.moments.values():
            while kept and max(kept[0].end, kept[0].start) < self.now - ROLLING_SECONDS:
                kept.popleft()

    def opinions(self, reliability: Mapping[Modality, float]) -> dict[Modality, Opinion]:
        """One opinion a modality over the last seconds."""
        found: dict[Modality, Opinion] = {}
        for modality, share in reliability.items():
            said = list(self.moments.get(modality, ()))
            if modality == "speech" and self.speaking is not None:
                said.append(self.speaking)
            opinion = average(said, self.now - ROLLING_SECONDS, self.now + 1.0)
            if opinion is not None:
                found[modality] = replace(opinion, reliability=share)
        return found
