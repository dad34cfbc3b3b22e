"""What is asked of which model, from decoded media to an `Analysis`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

Term = Annotated[str, Field(min_length=1, max_length=100)]


@dataclass(frozen=True)
class Options:
    """What a caller may choose; the same names in every route."""

    language: Annotated[str, Field(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8}){0,5}$")] = "en"
    """BCP 47 tag of the language spoken or written."""
    explain: bool = False
    """Fill `explanation`: what words, sentences, stretches of voice and faces do to the verdict. It takes longer."""
    transcribe: Literal["auto", "never"] = "auto"
    """Whether speech is put into words."""
    aspects: Annotated[tuple[Term, ...], Field(max_length=32)] = ()
    """Terms whose sentiment is wanted apart (text)."""
    detail: Literal["summary", "full"] = "summary"
    """`full` adds the parts: sentences, segments."""
    store: bool = False
    """Keep the answer in the history: all that is in it, text and transcript included, and nothing else."""
    min_confidence: Annotated[float, Field(ge=0, le=1)] | None = None
    """Withhold the verdict below this probability, whatever its lead; null takes the settings of the service."""
    coverage: Annotated[float, Field(ge=0.8, le=0.99)] | None = None
    """Add the set of labels that holds the true one this often."""


class CoverageUnknown(ValueError):
    """A model was never calibrated on labelled data, so that nobody knows how often a set would hold the true label."""

    def __init__(self, model: str) -> None:
        super().__init__(f"How often {model} is right was never measured here, so that `coverage` can't be promised.")


class LanguageUnsupported(ValueError):
    """No model for what was sent speaks the language."""

    def __init__(self, language: str, spoken: tuple[str, ...]) -> None:
        super().__init__(f"No model speaks {language!r}; these are spoken: {', '.join(spoken)}.")
        self.spoken = spoken
