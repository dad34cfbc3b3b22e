"""Uploads are private, and gone as soon as may be."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

import pytest

from ui.uploads import UploadGone, Uploads


@pytest.fixture
def uploads(tmp_path: Path) -> Uploads:
    made = Uploads(tmp_path / "uploads", keep_seconds=300, readable=[tmp_path / "examples"])
    made.prepare()
    return made


def put(uploads: Uploads, name: str, content: bytes = b"x") -> dict[str, str]:
    """What Gradio does: a folder by digest, the file in it; the record that a component then holds."""
    folder = uploads.folder / f"digest-of-{name}"
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)
    return {"path": str(folder / name)}


def files(uploads: Uploads) -> list[Path]:
    return list(uploads.folder.rglob("*"))


def test_the_folder_is_for_this_user_alone_and_empty_at_start(uploads: Uploads) -> None:
    put(uploads, "left.wav")
    uploads.folder.chmod(0o755)
    uploads.prepare()
    assert stat.S_IMODE(uploads.folder.stat().st_mode) == 0o700
    assert files(uploads) == []


def test_a_link_in_the_folders_place_is_refused(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").touch()
    (tmp_path / "uploads").symlink_to(elsewhere)
    with pytest.raises(PermissionError):
        Uploads(tmp_path / "uploads", 300).prepare()
    assert (elsewhere / "precious").exists()


def test_wiping_follows_no_link(uploads: Uploads, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").touch()
    (uploads.folder / "link").symlink_to(precious)
    uploads.wipe()
    assert (precious / "file").exists()
    assert files(uploads) == []


def test_a_file_is_deleted_when_another_takes_its_place(uploads: Uploads) -> None:
    uploads.show("page", "audio", put(uploads, "first.wav"))
    second = put(uploads, "second.wav")
    uploads.show("page", "audio", second)
    assert [path for path in files(uploads) if path.is_file()] == [Path(second["path"])]


def test_a_file_is_deleted_when_its_place_is_cleared(uploads: Uploads) -> None:
    uploads.show("page", "audio", put(uploads, "first.wav"))
    uploads.show("page", "audio", None)
    assert files(uploads) == []


def test_showing_the_same_file_again_keeps_it(uploads: Uploads) -> None:
    record = put(uploads, "first.wav")
    uploads.show("page", "audio", record)
    uploads.show("page", "audio", record)
    assert uploads.path(record) == Path(record["path"])


def test_closing_the_page_deletes_what_it_showed_and_nothing_else(uploads: Uploads) -> None:
    uploads.show("mine", "audio", put(uploads, "mine.wav"))
    theirs = put(uploads, "theirs.wav")
    uploads.show("theirs", "audio", theirs)
    uploads.close("mine")
    assert [path for path in files(uploads) if path.is_file()] == [Path(theirs["path"])]


def test_a_file_that_two_pages_show_stays_until_both_are_closed(uploads: Uploads) -> None:
    record = put(uploads, "same.wav")
    uploads.show("one", "audio", record)
    uploads.show("two", "audio", record)
    uploads.close("one")
    assert uploads.path(record)
    uploads.close("two")
    assert files(uploads) == []


def test_old_files_go_even_while_they_are_shown(uploads: Uploads) -> None:
    record = put(uploads, "old.wav")
    fresh = put(uploads, "fresh.wav")
    uploads.show("page", "audio", record)
    os.utime(record["path"], (0, time.time() - 301))
    assert uploads.sweep(time.time()) == 1
    assert uploads.path(fresh)
    with pytest.raises(UploadGone, match="after 5 minutes"):
        uploads.path(record)


def test_an_empty_component_holds_no_file(uploads: Uploads) -> None:
    assert uploads.path(None) is None


@pytest.mark.parametrize("path", ["/etc/passwd", "../secret", "", "http://localhost/x"])
def test_a_path_from_elsewhere_is_refused(uploads: Uploads, path: str) -> None:
    with pytest.raises(UploadGone, match="not uploaded here"):
        uploads.path({"path": path})


def test_a_link_that_leads_out_is_refused(uploads: Uploads) -> None:
    (uploads.folder / "link").symlink_to("/etc/passwd")
    with pytest.raises(UploadGone, match="not uploaded here"):
        uploads.path({"path": str(uploads.folder / "link")})


def test_examples_may_be_analysed_and_are_never_deleted(uploads: Uploads, tmp_path: Path) -> None:
    example = tmp_path / "examples" / "portrait.jpg"
    example.parent.mkdir()
    example.touch()
    record = {"path": str(example)}
    uploads.show("page", "image", record)
    assert uploads.path(record) == example
    uploads.close("page")
    assert example.exists()
