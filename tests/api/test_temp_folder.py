from __future__ import annotations

import os
import stat
import subprocess
import sys

import pytest

from service.api.temp_folder import TempFolder, UnsafeFolder


def dead_process() -> int:
    ended = subprocess.Popen((sys.executable, "-c", ""))
    ended.wait()
    return ended.pid


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


def test_what_dead_processes_left_is_removed_and_what_living_ones_use_is_kept(tmp_path):
    root = tmp_path / "uploads"
    folder = TempFolder(root)
    folder.open()
    (folder.path / "left by myself").mkdir()
    for name in (str(dead_process()), str(os.getppid())):
        (root / name).mkdir()
    folder.open()
    assert {path.name for path in root.iterdir()} == {str(os.getpid()), str(os.getppid())}
    assert list(folder.path.iterdir()) == []


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
