"""What the service's pipelines find in labelled rows, kept so that any temperature can be tried on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from models.evaluation.labelled import LabelledRow
from service.domain.fusion import Opinion
from service.domain.labels import MODALITIES, Modality
from service.domain.sentiment import Prediction, normalised, tempered
from service.domain.timeline import Moment
from service.media import MediaError
from service.pipelines import Options
from service.pipelines.analyze import findings
from service.pipelines.found import Found, Stopwatch
from service.pipelines.media import Tools
from service.pipelines.text import predict_windows

AT_ONCE = 16


@dataclass(frozen=True, eq=False)
class Evidence:
    """One modality of one row: what each window, face or view says, before they are averaged."""

    said: NDArray[np.float64]
    """Probabilities (n, 3)."""
    weights: NDArray[np.float64]
    """(n,), adding up to 1."""
    quality: float
    reliability: float

    def opinion(self, temperature: float = 1.0) -> Opinion:
        """What the pipeline makes of it where each prediction is tempered."""
        told = np.array([tempered((float(a), float(b), float(c)), temperature) for a, b, c in self.said])
        return Opinion(Prediction(normalised((self.weights @ told).tolist())), self.quality, self.reliability)


@dataclass(frozen=True, eq=False)
class Judgeable:
    """One row: what each modality says, absent where it says nothing, and the true label as a place in `SENTIMENTS`."""

    evidence: Mapping[Modality, Evidence]
    label: int

    def opinions(
        self, temperatures: Mapping[Modality, float], names: Collection[Modality] = MODALITIES
    ) -> dict[Modality, Opinion]:
        """One opinion for each of these modalities that says something; one without a temperature is as shipped."""
        return {
            name: self.evidence[name].opinion(temperatures.get(name, 1.0)) for name in names if name in self.evidence
        }


async def evidence_of(
    rows: Sequence[LabelledRow], options: Options, tools: Tools, refused: Callable[[str], None]
) -> list[Judgeable]:
    """What the pipelines find in each row. A file that can't be read is told to `refused`, and its row left out.

    Raises `LanguageUnsupported` and `RunnerError`.
    """
    judgeable: list[Judgeable] = []
    with tqdm(total=len(rows), desc="rows", disable=None) as bar:
        for start in range(0, len(rows), AT_ONCE):
            part = rows[start : start + AT_ONCE]
            found = await asyncio.gather(*(_find(row, options, tools, refused) for row in part))
            judgeable += [one for one in found if one is not None]
            bar.update(len(part))
    return judgeable


async def _find(row: LabelledRow, options: Options, tools: Tools, refused: Callable[[str], None]) -> Judgeable | None:
    try:
        found = await findings(row.inputs, options, tools, Stopwatch())
    except MediaError as error:
        refused(f"{row.where} is left out: {error}")
        return None
    evidence: dict[Modality, Evidence] = {
        name: _evidence(opinion, await _said(name, found, tools)) for name, opinion in found.opinions.items()
    }
    return Judgeable(evidence, row.label)


async def _said(name: Modality, found: Found, tools: Tools) -> list[tuple[Prediction, float]]:
    """What an opinion is the mean of, with its weights: windows of words or of a voice, or views of faces."""
    if name == "text":
        assert found.text is not None  # where words have an opinion there are words
        (windows,) = await predict_windows([found.text.text], tools.models)
        return [(prediction, float(tokens)) for prediction, tokens in windows]
    return [(moment.prediction, _weight(name, moment)) for moment in found.moments[name]]


def _weight(name: Modality, moment: Moment) -> float:
    """As the pipelines weigh: a view of a face by its quality, a window of a voice by its seconds too."""
    seconds = moment.end - moment.start if name == "speech" else 1.0
    return seconds * max(moment.quality, 1e-3)


def _evidence(opinion: Opinion, said: Sequence[tuple[Prediction, float]]) -> Evidence:
    weights = np.array([weight for _, weight in said])
    return Evidence(
        said=np.array([prediction.probabilities for prediction, _ in said]),
        weights=weights / weights.sum(),
        quality=opinion.quality,
        reliability=opinion.reliability,
    )
