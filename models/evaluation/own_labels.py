"""Measures the models on labelled data of one's own, through the service's pipelines, and may write a recalibration.

python -m models.evaluation.own_labels labels.csv                        the calibration card as a page
python -m models.evaluation.own_labels labels.csv --profile profile.toml and a profile that the service can use

The CSV file has a column `label` (negative, neutral, positive) and one or more of `text`, `image`, `audio` and `video`;
the last three hold paths relative to the file.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from models.evaluation.card import card, page
from models.evaluation.evidence import Judgeable, evidence_of
from models.evaluation.labelled import LabelledRow, WrongLabels, digest, read_labelled
from models.evaluation.profiles import next_version, profile_of, write_profile
from models.evaluation.recalibration import (
    LEAST_ROWS,
    as_served,
    cross_validated,
    having,
    judged_subsets,
    recalibrate,
)
from service.domain.fusion import FusionRule
from service.domain.labels import MODALITIES, SENTIMENTS
from service.jobs.toolbox import Toolbox
from service.pipelines import LanguageUnsupported, Options
from service.pipelines.analyze import rule_of
from service.pipelines.media import Tools
from service.runners import RunnerError
from service.runners.profile import WrongProfile
from service.settings import Settings, load_settings


class TooFewRows(WrongLabels):
    """No modality says something in enough rows."""


@dataclass(frozen=True)
class Asked:
    """All rows as the pipelines found them, and what they were asked with."""

    rows: Sequence[Judgeable]
    rule: FusionRule
    """When verdicts are withheld now."""
    models: dict[str, str]
    profile: str | None


async def ask(labelled: Sequence[LabelledRow], options: Options, settings: Settings) -> Asked:
    """What the pipelines find. Raises `LanguageUnsupported`, `WrongProfile` and `RunnerError`."""
    toolbox = Toolbox(settings)
    try:
        async with toolbox.open() as tools:
            rows = await evidence_of(labelled, options, tools, lambda refusal: print(refusal, file=sys.stderr))
            return Asked(rows, rule_of(options, tools), _models(tools), _profile(tools))
    finally:
        await toolbox.close()


def measure(asked: Asked, about: dict[str, Any], share: float | None) -> dict[str, Any]:
    """The card. `share` of the rows shall be answered; of each choice of modalities as many as now if it is None.

    Raises `TooFewRows`.
    """
    rows, subsets = asked.rows, judged_subsets(asked.rows)
    if not subsets:
        counts = ", ".join(f"{name} in {len(having(rows, (name,)))}" for name in MODALITIES)
        raise TooFewRows(f"At least {LEAST_ROWS} rows in which a modality says something are needed; here {counts} do.")
    before = {subset: as_served(rows, subset, asked.rule) for subset in subsets}
    shares = {subset: one.answered.share if share is None else share for subset, one in before.items()}
    held_out = cross_validated(rows, before, shares, asked.rule.max_conflict)
    fitted = recalibrate(rows, shares, asked.rule.max_conflict)
    return card({**about, "models": asked.models, "profile": asked.profile}, held_out, fitted)


def run(arguments: argparse.Namespace, settings: Settings) -> None:
    """The whole command. Raises `WrongLabels`, `WrongProfile`, `LanguageUnsupported` and `RunnerError`."""
    path = arguments.labels
    name = arguments.name or (arguments.profile.stem if arguments.profile else "")
    if arguments.profile and settings.calibration_profile:
        raise WrongProfile("A profile is made for the models as shipped: unset SENTIMENT_CALIBRATION_PROFILE first.")
    version = next_version(arguments.profile, name) if arguments.profile else 1
    labelled = read_labelled(path, settings.max_text_characters)
    asked = asyncio.run(ask(labelled, Options(language=arguments.language), settings))
    record = measure(asked, _about(path, labelled, asked.rows), arguments.answered)
    print(page(record))
    if arguments.json:
        arguments.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    if arguments.profile:
        profile = profile_of(record, name, version)
        write_profile(arguments.profile, profile)
        print(f"{profile.identifier} is written: SENTIMENT_CALIBRATION_PROFILE={arguments.profile} serves it.")


def main() -> None:
    """The command line."""
    try:
        run(parser().parse_args(), load_settings())
    except (WrongLabels, WrongProfile, LanguageUnsupported, RunnerError) as error:
        sys.exit(str(error))


def parser() -> argparse.ArgumentParser:
    """What the command takes."""
    parser = argparse.ArgumentParser(
        prog="python -m models.evaluation.own_labels", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("labels", type=Path, help="CSV file: label, and text, image, audio or video")
    parser.add_argument("--profile", type=Path, help="write a recalibration profile (TOML) here")
    parser.add_argument("--name", help="name of the profile; the file's name if it is not given")
    parser.add_argument("--answered", type=_share, help="share of the rows that shall be answered; as many as now")
    parser.add_argument("--json", type=Path, help="write the card as JSON here")
    parser.add_argument("--language", default="en", help="language of texts and recordings (en)")
    return parser


def _share(given: str) -> float:
    share = float(given)
    if not 0 < share <= 1:
        raise argparse.ArgumentTypeError("a share lies above 0 and is at most 1, as 0.8")
    return share


def _about(path: Path, labelled: list[LabelledRow], rows: Sequence[Judgeable]) -> dict[str, Any]:
    """On what and when."""
    counts = Counter(row.label for row in rows)
    return {
        "data": path.name,
        "data_sha256": digest(path, labelled),
        "date": datetime.now(timezone.utc).date().isoformat(),
        "rows": len(rows),
        "labels": {label: counts[number] for number, label in enumerate(SENTIMENTS)},
        "left_out": len(labelled) - len(rows),
        "silent_rows": sum(not row.evidence for row in rows),
    }


def _models(tools: Tools) -> dict[str, str]:
    return {name: tools.models.info[name].identifier for name in MODALITIES}


def _profile(tools: Tools) -> str | None:
    return tools.models.profile.identifier if tools.models.profile else None


if __name__ == "__main__":
    main()
