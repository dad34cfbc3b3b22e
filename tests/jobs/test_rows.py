"""Files of texts, row by row."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.jobs import TooManyRows, UnknownFormat, WrongFile
from service.jobs.rows import MAX_LINE_BYTES, RowFile


@pytest.fixture
def write(tmp_path: Path):
    def writing(content: str | bytes) -> Path:
        path = tmp_path / "file"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return writing


def texts(file: RowFile) -> list[str | None]:
    return [row.text for row in file.rows()]


@pytest.mark.parametrize(
    ("content", "format"),
    [
        ("id,text\n1,good\n2,bad\n", "csv"),
        ("\ufeffid;Text\r\n1;good\r\n2;bad\r\n", "csv"),
        ("text\tid\ngood\t1\nbad\t2", "tsv"),
        ("review\ngood\nbad\n", "csv"),
        ('{"text": "good"}\n\n"bad"\n', "jsonl"),
        ("good\nbad", "txt"),
    ],
)
def test_each_format_gives_its_texts(write, content, format):
    assert texts(RowFile(write(content), format)) == ["good", "bad"]


def test_a_quoted_text_may_go_over_several_lines(write):
    rows = list(RowFile(write('text\n"one\ntwo, ""three"""\nnext\n'), "csv").rows())
    assert [row.text for row in rows] == ['one\ntwo, "three"', "next"]
    assert [(row.number, row.end.line) for row in rows] == [(1, 3), (2, 4)]


@pytest.mark.parametrize(
    ("content", "format"),
    [
        ('text,id\n"a\nb",1\nc,2\n\nd,3\n', "csv"),
        ('"a"\n\n{"text":"b"}\nno json\n"d"', "jsonl"),
        ("a\n\nü\nd", "txt"),
    ],
)
def test_reading_goes_on_after_any_row(write, content, format):
    file = RowFile(write(content), format)
    rows = list(file.rows())
    for place, row in enumerate(rows, start=1):
        assert list(file.rows(row.end)) == rows[place:]


def test_a_row_without_a_text_says_why_and_the_others_are_read(write):
    rows = list(RowFile(write(b"id,text\n1,good\n2\n3,\xff\xfe\n4,bad\n"), "csv").rows())
    assert [row.text for row in rows] == ["good", None, None, "bad"]
    assert "column" in (rows[1].fault or "") and "UTF-8" in (rows[2].fault or "")


def test_a_line_that_is_no_text_in_json_says_why(write):
    rows = list(RowFile(write('{"text": 1}\n{\n[1]\n{"text": "x"}\n'), "jsonl").rows())
    assert [row.text for row in rows] == [None, None, None, "x"]
    assert "JSON" in (rows[1].fault or "")


def test_a_very_long_line_is_one_row_without_a_text(write):
    rows = list(RowFile(write(b"a\n" + b"x" * (2 * MAX_LINE_BYTES + 5) + b"\nb\n"), "txt").rows())
    assert [row.text for row in rows] == ["a", None, "b"]


@pytest.mark.parametrize(
    ("content", "format", "column", "says"),
    [
        ("id,comment\n1,a\n", "csv", None, "'comment'"),
        ("id,text\n1,a\n", "csv", "missing", "'missing'"),
        ("", "txt", None, "empty"),
        (b"\x89PNG\r\n\x1a\n....", "txt", None, "PNG"),
        ("grüße".encode("utf-16"), "txt", None, "UTF-16"),
        (b"text\nab\0cdefgh\n", "csv", None, "UTF-8"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused_when_it_is_opened(write, content, format, column, says):
    with pytest.raises((WrongFile, UnknownFormat), match=says):
        RowFile(write(content), format, column)


def test_a_quote_that_is_not_closed_is_told_with_its_row(write):
    file = RowFile(write('text\ngood\n"open\n' + "more\n" * 40_000), "csv")
    with pytest.raises(WrongFile, match=r"Row 2.*quote"):
        file.count(10)


def test_rows_are_counted_and_limited(write):
    file = RowFile(write("a\nb\nc\n"), "txt")
    assert file.count(3) == 3
    with pytest.raises(TooManyRows, match="2 rows"):
        file.count(2)
    with pytest.raises(WrongFile, match="no rows"):
        RowFile(write("text\n"), "csv").count(3)
