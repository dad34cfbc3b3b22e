"""The use that the operator declares, and what the law forbids in it.

Regulation (EU) 2024/1689 (AI Act), Article 5(1)(f), prohibits AI systems "to infer emotions of a natural person in the
areas of workplace and education institutions, except where the use of the AI system is intended to be put in place or
into the market for medical or safety reasons". Recital 44 and the definition of an emotion recognition system in
Article 3(39) mean inference "on the basis of biometric data": face and voice are that, written words are not.

So in these uses whatever carries a face or a voice is refused whole. Text goes on, a transcript included that was made
elsewhere: it is words, and nothing of the voice is in them. A recording is refused even if its words alone are of
interest, for the service hears the voice in it too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, get_args

from service.domain.labels import MODALITIES, Modality

Use = Literal["general", "workplace", "education", "medical_or_safety"]
"""What `SENTIMENT_USE` may be:

`general`: neither at work nor in education.
`workplace`: people are judged as workers or applicants: recruiting, meetings, call centres, their staff.
`education`: people are judged as pupils, students, applicants or examinees, at any level of education or training.
`medical_or_safety`: at work or in education, but put in place for medical or safety reasons, the exception of
Article 5(1)(f). The operator answers for that; reasons like productivity or burn-out watch are not among them.
"""

USES: tuple[Use, ...] = get_args(Use)

BIOMETRIC: Mapping[str, Modality] = {"audio": "speech", "image": "face", "video": "face", "speech": "speech"}
"""What can be sent, and live modalities, to what is inferred from it; `face` and `text` are called so everywhere."""

_PROHIBITED: Mapping[Use, str] = {"workplace": "at work", "education": "in education"}


class UseRestricted(Exception):
    """The declared use forbids what was asked; the message says what is left."""


def restricted(use: Use) -> tuple[Modality, ...]:
    """The modalities that are not judged in this use."""
    return tuple(name for name in MODALITIES if name != "text") if use in _PROHIBITED else ()


def reason(use: Use) -> str | None:
    """One sentence about what is not judged in this use, and why; None if everything is."""
    where = _PROHIBITED.get(use)
    if where is None:
        return None
    return (
        f"Faces and voices are not judged here: inferring emotions from them {where} is prohibited "
        "(EU AI Act, Article 5(1)(f)). Text stays available."
    )


def check(kinds: Iterable[str], use: Use) -> None:
    """Refuse what the use forbids of `kinds`: what is sent (text, audio, image, video) or asked for (speech, face).

    Raises `UseRestricted`.
    """
    forbidden = restricted(use)
    if any(BIOMETRIC.get(kind, kind) in forbidden for kind in kinds):
        raise UseRestricted(reason(use))
