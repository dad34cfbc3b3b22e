from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from service.api.temp_folder import TempFolder
from service.private_folders import UnsafeFolder

LIVING = "import sys, service.api.temp_folder as t; from pathlib import Path; f = t.TempFolder(Path(sys.argv[1]))"
PROGRAM = f"{LIVING}; f.open(); (f.path / 'voice').write_bytes(b'x'); print(f.path, flush=True); input()"


@contextmanager
def another_process(root: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A process that has a folder of uploads with a file in it; the process and the folder."""
    process = subprocess.Popen(
        (sys.executable, "-c", PROGRAM, str(root)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        try:
            assert process.stdout is not None
            yield process, Path(process.stdout.readline().strip())
        finally:
            process.kill()


def test_the_folder_is_for_this_user_alone(tmp_path):
    folder = TempFolder(tmp_path / "uploads")
    folder.open()
    with folder.request() as private:
        for path in (tmp_path / "uploads", folder.path, private):
            assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_files_are_gone_after_their_request_even_if_it_fails(tmp_path):
    folder = TempFolder(tmp_path / "uploads")
    folder.open()
    with pytest.raises(ZeroDivisionError), folder.request() as private:
        (private / "audio").write_bytes(b"x")
        raise ZeroDivisionError
    assert list(folder.path.iterdir()) == []


def test_what_living_processes_use_is_kept_and_what_killed_ones_left_is_removed(tmp_path):
    root = tmp_path / "uploads"
    with another_process(root) as (process, theirs):
        folder = TempFolder(root)
        folder.open()
        assert {path.name for path in root.iterdir()} == {folder.path.name, theirs.name}
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert (theirs / "voice").exists(), "nobody could remove it"
        folder.open()
        assert list(root.iterdir()) == [folder.path]


def test_a_number_that_is_another_process_by_now_keeps_nothing(tmp_path):
    root = tmp_path / "uploads"
    (root / str(os.getppid())).mkdir(parents=True)
    root.chmod(0o700)
    folder = TempFolder(root)
    folder.open()
    (folder.path / "left by myself").mkdir()
    folder.open()
    assert list(root.iterdir()) == [folder.path] and list(folder.path.iterdir()) == []
    folder.close()
    assert list(root.iterdir()) == []


def test_a_link_in_the_folder_goes_and_what_it_names_stays(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").write_bytes(b"x")
    (tmp_path / "uploads").mkdir(mode=0o700)
    (tmp_path / "uploads" / "link").symlink_to(tmp_path / "elsewhere")
    folder = TempFolder(tmp_path / "uploads")
    folder.open()
    assert list((tmp_path / "uploads").iterdir()) == [folder.path]
    assert (tmp_path / "elsewhere" / "file").exists()


def test_a_folder_that_others_can_read_is_refused(tmp_path):
    (tmp_path / "uploads").mkdir(mode=0o755)
    (tmp_path / "uploads").chmod(0o755)
    with pytest.raises(UnsafeFolder):
        TempFolder(tmp_path / "uploads").open()


def test_a_link_instead_of_the_folder_is_refused(tmp_path):
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "uploads").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnsafeFolder):
        TempFolder(tmp_path / "uploads").open()
