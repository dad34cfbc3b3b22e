"""What is asked of which model, from decoded media to an `Analysis`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Options:
    """What a caller may choose; the same names in every route."""

    language: str = "en"
    """BCP 47 tag of the language spoken or written."""
    explain: bool = False
    """Fill `explanation`."""
    transcribe: Literal["auto", "never"] = "auto"
    """Whether speech is put into words."""
    aspects: tuple[str, ...] = ()
    """Terms whose sentiment is wanted apart (text)."""
    detail: Literal["summary", "full"] = "summary"
    """`full` adds the parts: sentences, segments."""
    min_confidence: float | None = None
    """Withhold the verdict below this probability; null takes the service's setting."""


class LanguageUnsupported(ValueError):
    """No model for what was sent speaks the language."""

    def __init__(self, language: str, spoken: tuple[str, ...]) -> None:
        super().__init__(f"No model speaks {language!r}; these are spoken: {', '.join(spoken)}.")
        self.spoken = spoken
