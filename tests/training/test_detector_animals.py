"""Where the training's animals come from."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from models.training.detector_animals import animals, files_in, hands


def archive(files: dict[str, bytes]) -> bytes:
    """A Qt resource archive, version 1, of one folder with these files."""
    names, contents, tree = b"", b"", struct.pack(">IHII", 0, 2, len(files), 1)
    for name, data in files.items():
        tree += struct.pack(">IHHHI", len(names), 0, 0, 0, len(contents))
        names += struct.pack(">HI", len(name), 0) + name.encode("utf-16-be")
        contents += struct.pack(">I", len(data)) + data
    at = 20
    offsets = struct.pack(">IIII", 1, at, at + len(tree), at + len(tree) + len(contents))
    return b"qres" + offsets + tree + contents + names


def picture(channels: int, side: int = 120) -> bytes:
    return cv2.imencode(".png", np.full((side, side, channels), 200, np.uint8))[1].tobytes()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What the two packages unpack to, with a picture or two in each."""
    archives, stamps = tmp_path / "usr/share/gcompris-qt/rcc", tmp_path / "usr/share/tuxpaint/stamps"
    archives.mkdir(parents=True)
    inside = {"dog.png": picture(3), "gauguin.png": picture(3), "README": b"not a picture", "icon.png": picture(3, 32)}
    for name in ("erase", "explore_farm_animals", "explore_world_animals", "babyshapes", "leftright"):
        (archives / f"{name}.rcc").write_bytes(archive(inside))
    for name in ("animals/owl.png", "animals/cartoon/owl.png", "space/astronaut.png", "people/man.png"):
        (stamps / name).parent.mkdir(parents=True, exist_ok=True)
        (stamps / name).write_bytes(picture(4))
    return tmp_path


def test_an_archive_gives_back_the_files_that_were_put_in():
    files = {"a.png": b"one", "long name.webp": b"", "c": bytes(range(256))}
    assert dict(files_in(archive(files))) == files
    with pytest.raises(ValueError, match="no archive"):
        list(files_in(b"PK" + bytes(30)))


def test_photographs_are_taken_but_no_paintings_people_drawings_or_icons(folder: Path):
    names = {animal.name for animal in animals(folder)}
    assert names == {
        "erase/dog.png",
        "erase/gauguin.png",  # a name that means nothing in an archive of animals
        "explore_farm_animals/dog.png",
        "explore_farm_animals/gauguin.png",
        "explore_world_animals/dog.png",
        "explore_world_animals/gauguin.png",
        "babyshapes/dog.png",
        "animals/owl.png",
    }
    assert len(hands(folder)) == 2


def test_whoever_lacks_the_pictures_is_told_how_to_get_them(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="apt-get download gcompris-qt-data tuxpaint-stamps-default"):
        animals(tmp_path)
