"""When the wall clock can be believed: what is removed for its age must not go because somebody set the clock."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from service.settings import Settings

JUMP_SECONDS = 600.0
"""A wall clock that moved by more than this against the steady one since the last look has jumped."""
RESPITE_SECONDS = 3000.0
"""After a jump somebody has so long to set the clock right; a little less than from one hourly sweep to the next."""
FILE_NAME = "clock.json"
MAX_BOOTS = 16
"""Machines that share a folder share the file; of those that were started again the oldest are forgotten."""
_BOOT = Path("/proc/sys/kernel/random/boot_id")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Standing:
    """How the clocks stood: `offset` is the wall's lead over the steady one, in seconds."""

    offset: float
    jumped: float | None = None
    """When the wall clock last jumped, by the steady one."""


class ClockMemory:
    """What processes tell those that come after them; the steady clock is one for all of them until the next boot.

    Without a boot's identifier (elsewhere than on Linux), or without the folder, nothing is remembered.
    """

    def __init__(self, file: Path, boot: str | None = None) -> None:
        self._file = file
        self._boot = boot or _boot()
        self._told = False

    def read(self) -> Standing | None:
        """How the clocks stood in this boot, if anybody looked."""
        known = self._all().get(self._boot)
        try:
            return (
                None if known is None else Standing(float(known["offset"]), known["jumped"] and float(known["jumped"]))
            )
        except (KeyError, TypeError, ValueError):
            return None

    def write(self, standing: Standing) -> None:
        """Remember; where that cannot be done, say so once."""
        if not self._boot or not self._file.parent.is_dir():
            return
        others = [(boot, known) for boot, known in self._all().items() if boot != self._boot]
        content = orjson.dumps(dict([*others[1 - MAX_BOOTS :], (self._boot, standing)]))
        draft = self._file.with_name(f"{self._file.name}.{secrets.token_hex(4)}")
        try:
            draft.touch(mode=0o600)
            draft.write_bytes(content)
            draft.rename(self._file)
        except OSError as error:
            with suppress(OSError):
                draft.unlink()
            if not self._told:
                log.warning("a jump of the clock would not be remembered: %s", error)
            self._told = True

    def _all(self) -> dict[str, Any]:
        try:
            found = orjson.loads(self._file.read_bytes())
        except (OSError, ValueError):  # a file that is not there, or damaged, is written anew
            return {}
        return found if isinstance(found, dict) else {}


class WallClock:
    """The time of day, beside a clock that only goes on."""

    def __init__(
        self,
        clock: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
        memory: ClockMemory | None = None,
    ) -> None:
        """With a `memory` it knows of jumps before its time."""
        self._clock = clock
        self._steady = steady
        self._memory = memory
        self._offset = clock() - steady()
        self._jumped: float | None = None
        known = None if memory is None else memory.read()
        if known is not None and (known.jumped or 0.0) <= steady():  # else it is of another boot after all
            self._offset, self._jumped = known.offset, known.jumped

    @classmethod
    def of(cls, settings: Settings) -> WallClock:
        """The clocks of this machine, with a memory in the state folder."""
        return cls(time.time, time.monotonic, ClockMemory(settings.state_folder / FILE_NAME))

    def now(self) -> float:
        """Unix time in seconds."""
        return self._clock()

    def jumped(self, within_seconds: float = RESPITE_SECONDS) -> bool:
        """Whether it has jumped within the last seconds that really passed, as far as anybody looked."""
        before, self._offset = self._offset, self._clock() - self._steady()
        jumps = abs(self._offset - before) > JUMP_SECONDS
        if jumps:
            self._jumped = self._steady()
        self._remember(jumps)
        return self._jumped is not None and self._steady() - self._jumped < within_seconds

    def _remember(self, jumps: bool) -> None:
        """Write it down if it is news: the file is small, but it is looked at every other second."""
        if self._memory is None:
            return
        known = self._memory.read()
        if jumps or known is None or abs(known.offset - self._offset) > JUMP_SECONDS / 10:
            self._memory.write(Standing(self._offset, self._jumped))


def _boot() -> str:
    try:
        return _BOOT.read_text().strip()
    except OSError:
        return ""
