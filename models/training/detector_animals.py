"""Pictures of animals and things that a face detector takes for faces, from two Debian packages.

Anyone gets them with

    apt-get download gcompris-qt-data tuxpaint-stamps-default
    for package in *.deb; do dpkg-deb -x "$package" build/animals; done

GCompris keeps photographs in Qt's resource archives; Tux Paint has stamps, cut out. Both are free (GPL, CC BY-SA and
public domain by picture; their `copyright` files say which).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

ARCHIVES = {"erase": "", "explore_farm_animals": "", "explore_world_animals": "", "babyshapes": "dog"}
"""Of GCompris: photographs of animals; and the part of their names that tells animals from paintings, if need be."""

HANDS = "leftright"
"""Of GCompris: photographs of hands, cut out."""

STAMPS = ("animals", "vehicles", "food", "plants", "household", "sports", "space")
"""Of Tux Paint. Not people, coins, graves, saints and snowmen: some of them have faces."""

SKIPPED = "astronaut"
LONGEST = 384
DIRECTORY = 0x02
PACKED = 0x01


@dataclass(frozen=True, eq=False)
class Animal:
    """RGB (h, w, 3), what of it is there (h, w) in [0, 1], and the name that decides whether training may see it."""

    name: str
    picture: NDArray[np.uint8]
    cover: NDArray[np.float32]

    @property
    def kept_for_validation(self) -> bool:
        """A sixth of them, by name."""
        return zlib.crc32(self.name.encode()) % 6 == 0


def animals(folder: Path) -> list[Animal]:
    """All of them. Raises `FileNotFoundError` that says how to get them."""
    encoded = [
        (f"{archive}/{name}", data)
        for archive, part in ARCHIVES.items()
        for name, data in files_in(_existing(folder, f"gcompris-qt/rcc/{archive}.rcc").read_bytes())
        if name.startswith(part)
    ]
    stamps = _existing(folder, "tuxpaint/stamps")
    for kind in STAMPS:
        paths = sorted(path for path in (stamps / kind).rglob("*.png") if "cartoon" not in path.parts)
        encoded += [(str(path.relative_to(stamps)), path.read_bytes()) for path in paths if SKIPPED not in path.name]
    return [animal for name, data in encoded if (animal := _animal(name, data)) is not None]


def hands(folder: Path) -> list[Animal]:
    """Eight hands, cut out. Raises `FileNotFoundError` that says how to get them."""
    archive = _existing(folder, f"gcompris-qt/rcc/{HANDS}.rcc").read_bytes()
    return [hand for name, data in files_in(archive) if (hand := _animal(f"{HANDS}/{name}", data)) is not None]


def _existing(folder: Path, path: str) -> Path:
    whole = folder / "usr/share" / path
    if not whole.exists():
        raise FileNotFoundError(f"{whole} is missing. {__doc__}")
    return whole


def files_in(archive: bytes) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the files of a Qt resource archive that are not compressed, as pictures are not."""
    if archive[:4] != b"qres":
        raise ValueError("This is no archive of Qt resources.")
    version, tree, contents, names = (_number(archive, at) for at in (4, 8, 12, 16))
    step = 22 if version >= 2 else 14
    waiting = [0]
    while waiting:
        at = tree + step * waiting.pop()
        flags = _number(archive, at + 4, 2)
        if flags & DIRECTORY:
            count, first = _number(archive, at + 6), _number(archive, at + 10)
            waiting += range(first, first + count)
        elif not flags & PACKED:
            start = contents + _number(archive, at + 10)
            yield _name(archive, names + _number(archive, at)), archive[start + 4 : start + 4 + _number(archive, start)]


def _number(archive: bytes, at: int, length: int = 4) -> int:
    return int.from_bytes(archive[at : at + length], "big")


def _name(archive: bytes, at: int) -> str:
    return archive[at + 6 : at + 6 + 2 * _number(archive, at, 2)].decode("utf-16-be")


def _animal(name: str, data: bytes) -> Animal | None:
    """A decoded picture, at most `LONGEST` pixels long; None for sounds, texts and small icons."""
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
    if picture is None or picture.ndim < 3 or picture.dtype != np.uint8 or min(picture.shape[:2]) < 80:
        return None
    factor = min(1.0, LONGEST / max(picture.shape[:2]))
    small = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    cover = small[..., 3] / np.float32(255) if small.shape[2] == 4 else np.ones(small.shape[:2], np.float32)
    return Animal(name, cv2.cvtColor(small[..., :3], cv2.COLOR_BGR2RGB), cover.astype(np.float32))
