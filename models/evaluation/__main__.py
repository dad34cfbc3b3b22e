"""Measures the shipped models through the service's pipelines, and writes `models/calibration` and `models/SCORES.md`.

python -m models.evaluation            everything: some ten minutes on two cores
python -m models.evaluation --rows 300 a slice of each set, printed and not written
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Mapping
from typing import Any

from models.evaluation import report, triplets
from models.evaluation.answers import Answers
from models.evaluation.heads import ASKING, DATA, TABLES, entry, weights
from models.evaluation.record import about, measured
from models.evaluation.spoiling import blurred, mistyped, noisy
from models.registry import CALIBRATION
from service.domain.labels import MODALITIES, Modality
from service.runners import Models
from service.runners.connect import connect
from service.settings import load_settings

SPOILT = {"text": mistyped, "speech": noisy, "face": blurred}
SPOILT_ROWS = 1000

Heads = Mapping[Modality, Answers]


async def ask(models: Models, rows: int | None) -> tuple[Heads, Heads, Heads]:
    """Validation answers, test answers, and those to spoilt test items."""
    validation = {name: await ASKING[name](models, "val", most=rows) for name in MODALITIES}
    test = {name: await ASKING[name](models, "test", most=rows) for name in MODALITIES}
    fewer = min(rows or SPOILT_ROWS, SPOILT_ROWS)
    spoilt = {name: await ASKING[name](models, "test", SPOILT[name], fewer) for name in MODALITIES}
    return validation, test, spoilt


def head(name: Modality, validation: Answers, test: Answers) -> dict[str, Any]:
    """The record of one model."""
    first = {"model": entry(name).identifier, "silent_rows": test.silent}
    return {**first, **about(DATA[name], TABLES[name], weights(name)), **measured(validation.told(), test.told())}


def fusion(validation: Heads, test: Heads, spoilt: Heads) -> dict[str, Any]:
    """The record of the fused verdict: each choice of modalities, and what one spoilt modality does."""
    fitted, tested = triplets.matched(validation), triplets.matched(test)
    subsets = {
        triplets.name_of(subset): measured(
            (triplets.fused(fitted[0], subset), fitted[1]), (triplets.fused(tested[0], subset), tested[1])
        )
        for subset in triplets.subsets()
    }
    return {
        "model": "log_linear_pool",
        **about(
            "triplets of the test items of all three modalities, matched by sentiment, a third each",
            [table for name in MODALITIES for table in TABLES[name]],
            {file: digest for name in MODALITIES for file, digest in weights(name).items()},
        ),
        "subsets": subsets,
        "robustness": triplets.robustness(test, spoilt),
    }


async def run(rows: int | None) -> dict[str, dict[str, Any]]:
    """Every record by its name."""
    models = connect(load_settings())
    await models.start()
    try:
        validation, test, spoilt = await ask(models, rows)
    finally:
        await models.close()
    heads = {entry(name).name: head(name, validation[name], test[name]) for name in MODALITIES}
    return {**heads, "fusion": fusion(validation, test, spoilt)}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m models.evaluation", description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, help="at most so many rows of each set; nothing is written then")
    rows = parser.parse_args().rows
    records = asyncio.run(run(rows))
    page = report.page(records)
    print(page)
    if rows is None:
        CALIBRATION.mkdir(exist_ok=True)
        for name, record in records.items():
            (CALIBRATION / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")
        report.PAGE.write_text(page)


if __name__ == "__main__":
    main()
