"""The private folder in which uploads stay while they are answered."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.private_folders import HeldFolder, make_private, remove_left


class TempFolder:
    """A folder of this process under `root`; what dead processes left there is removed when it opens."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._held: HeldFolder | None = None

    @property
    def path(self) -> Path:
        """The folder, while it is open."""
        if self._held is None:
            raise RuntimeError("the folder of uploads is not open")
        return self._held.path

    def open(self) -> None:
        """Make the folder, empty and readable by this user alone. Raises `UnsafeFolder`."""
        self.close()
        make_private(self._root)
        self._held = HeldFolder.make(self._root)
        remove_left(self._root)

    def close(self) -> None:
        """Remove the folder and all that is in it."""
        held, self._held = self._held, None
        if held is not None:
            held.let_go()

    @contextmanager
    def request(self) -> Iterator[Path]:
        """A folder for the files of one request; gone afterwards, however the request ends."""
        path = self.path / secrets.token_hex(8)
        path.mkdir(mode=0o700)
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)
