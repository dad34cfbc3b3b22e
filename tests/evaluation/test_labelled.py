"""Labelled data of one's own, as people write it down."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.evaluation.labelled import SHOWN_FAULTS, WrongLabels, digest, read_labelled
from service.domain.labels import SENTIMENTS

LONGEST = 200


def written(folder: Path, content: str) -> Path:
    """A CSV file beside a picture and a recording."""
    (folder / "faces").mkdir()
    (folder / "faces" / "a.jpg").write_bytes(b"a picture")
    (folder / "call.ogg").write_bytes(b"a call")
    path = folder / "labels.csv"
    path.write_bytes(content.encode("utf-8-sig"))
    return path


def faults(folder: Path, content: str) -> list[str]:
    with pytest.raises(WrongLabels) as raised:
        read_labelled(written(folder, content), LONGEST)
    return str(raised.value).splitlines()


def test_rows_hold_texts_and_files_beside_the_csv(tmp_path: Path) -> None:
    content = 'id;Text;image;audio;Label\r\n7;"Late;\nagain";;;negative\r\n8;;faces/a.jpg;call.ogg; Positive \r\n\r\n'
    first, second = read_labelled(written(tmp_path, content), LONGEST)
    assert (first.inputs.text, SENTIMENTS[first.label], first.inputs.kind) == ("Late;\nagain", "negative", "text")
    assert (second.inputs.image, second.inputs.audio) == (tmp_path / "faces" / "a.jpg", tmp_path / "call.ogg")
    assert (SENTIMENTS[second.label], second.inputs.kind) == ("positive", "multimodal")
    assert [row.where for row in (first, second)] == ["Row 1 (line 3)", "Row 2 (line 4)"]


def test_each_bad_row_is_named_with_what_is_wrong_about_it(tmp_path: Path) -> None:
    content = (
        "text,image,video,label\n"
        "Fine.,,,positive\n"
        "Fine.,,,pos\n"
        ",,,neutral\n"
        ",faces/b.jpg,,neutral\n"
        f"{'x' * (LONGEST + 1)},,,neutral\n"
        ",faces/a.jpg,call.ogg,neutral\n"
        "Fine.,\n"
    )
    assert faults(tmp_path, content) == [
        "Row 2 (line 3): its label, 'pos', is none of negative, neutral, positive.",
        "Row 3 (line 4): it holds neither a text nor the path of a file.",
        f"Row 4 (line 5): its image, faces/b.jpg, is no file beside {tmp_path}.",
        "Row 5 (line 6): its text has 201 characters; at most 200 are taken.",
        "Row 6 (line 7): it names a picture and a video; give each a row of its own.",
        "Row 7 (line 8): it ends before the column of labels.",
    ]


def test_of_many_bad_rows_the_first_are_named(tmp_path: Path) -> None:
    said = faults(tmp_path, "text,label\n" + "Fine.,good\n" * (SHOWN_FAULTS + 30))
    assert len(said) == SHOWN_FAULTS + 1
    assert said[-1] == "30 more rows are wrong."


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("text,sentiment\nFine.,positive\n", "No column is called 'label'; the first line has: 'text', 'sentiment'."),
        ("message,label\nFine.,positive\n", "No column is called 'text', 'image', 'audio' or 'video'; the first"),
        ("text,label\n", "has no rows."),
        ('text,label\n"Fine.,positive\n', "is a quote not closed?"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(tmp_path: Path, content: str, fault: str) -> None:
    (said,) = faults(tmp_path, content)
    assert fault in said


def test_a_file_in_another_encoding_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes("text,label\nSchön.,positive\n".encode("latin-1"))
    with pytest.raises(WrongLabels, match="not text in UTF-8"):
        read_labelled(path, LONGEST)


def test_the_digest_is_that_of_rows_and_files(tmp_path: Path) -> None:
    path = written(tmp_path, "image,label\nfaces/a.jpg,positive\n")
    first = digest(path, read_labelled(path, LONGEST))
    assert first == digest(path, read_labelled(path, LONGEST))
    (tmp_path / "faces" / "a.jpg").write_bytes(b"another picture")
    assert digest(path, read_labelled(path, LONGEST)) != first
