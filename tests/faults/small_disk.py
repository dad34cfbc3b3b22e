"""A disk that is soon full."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DISK_BYTES = 4_000_000


@contextmanager
def small_disk(folder: Path, size: int = DISK_BYTES) -> Iterator[Path | None]:
    """A tmpfs in this folder, which is made; None where none may be mounted."""
    folder.mkdir(mode=0o700)
    options = ("-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", str(folder))
    mounted = os.geteuid() == 0 and subprocess.run(("mount", *options), check=False).returncode == 0
    try:
        yield folder if mounted else None
    finally:
        if mounted:
            subprocess.run(("umount", "--lazy", str(folder)), check=True)


def fill(disk: Path) -> Path:
    """Leave no byte free; the file that takes them."""
    hog = disk / "hog"
    with hog.open("wb", buffering=0) as file:
        for size in (65_536, 4096, 1):
            try:
                while file.write(bytes(size)) == size:
                    pass
            except OSError:
                continue
    return hog
