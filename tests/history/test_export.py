from __future__ import annotations

import csv
import io
from dataclasses import replace

import orjson
import pytest

from service.history.export import COLUMNS, as_csv, as_json, harmless
from service.history.history import Place, Stored
from tests.history.conftest import analysis


def stored(*analyses):
    async def rows():
        for one in analyses:
            yield Stored(Place(0, one.id), orjson.dumps(one).decode())

    return rows()


async def whole(pieces) -> str:
    return b"".join([piece async for piece in pieces]).decode()


async def table(*analyses) -> list[dict]:
    return list(csv.DictReader(io.StringIO(await whole(as_csv(stored(*analyses))), newline="")))


@pytest.mark.parametrize("count", [0, 1, 2, 300])
async def test_json_is_a_list_of_the_analyses_as_they_were_answered(count):
    kept = [analysis(text=f"{number} 😀") for number in range(count)]
    assert orjson.loads(await whole(as_json(stored(*kept)))) == orjson.loads(orjson.dumps(kept))


async def test_a_table_has_a_line_for_each_analysis():
    kept = [analysis(text=f"{number}") for number in range(300)]
    rows = await table(*kept)
    assert [row["id"] for row in rows] == [one.id for one in kept]
    assert tuple(rows[0]) == COLUMNS
    assert rows[0]["label"] == "positive"
    assert float(rows[0]["positive"]) == pytest.approx(0.8)
    assert float(rows[0]["text_weight"]) == pytest.approx(1)


async def test_an_empty_table_has_its_header():
    assert (await whole(as_csv(stored()))).split(",")[0] == "id"


async def test_the_strongest_emotion_stands_in_the_table():
    rows = await table(replace(analysis(), emotions={"sad": 0.2, "happy": 0.7, "neutral": 0.1}), analysis())
    assert [row["emotion"] for row in rows] == ["happy", ""]


async def test_a_withheld_verdict_has_empty_cells_and_its_reason():
    (row,) = await table(analysis(None))
    assert (row["label"], row["reason"], row["text"]) == ("", "no_evidence", "")


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "＝1", '="a,b"\n\'x'])  # noqa: RUF001
async def test_no_cell_is_a_formula(text):
    (row,) = await table(analysis(text=text))
    assert row["text"] == f"'{text}"


@pytest.mark.parametrize("text", ["I love it", "1-1", "a,b", 'he said "no"', "two\nlines", "'=1", ""])
async def test_other_texts_stay_as_they_are(text):
    (row,) = await table(analysis(text=text))
    assert row["text"] == text
    assert harmless(text) == text


async def test_a_negative_number_stays_a_number():
    (row,) = await table(analysis("negative"))
    assert float(row["valence"]) == pytest.approx(-0.7)
