"""What dead processes counted, kept in one file of each kind instead of one a process for ever.

prometheus_client writes one file a process and kind of metric, and leaves those of dead processes where they are, since
their counts still count. Processes are replaced here again and again: so the counts move to `<kind>_past.db`, which
the client reads like any other, and gauges, which said how a process is, go.
"""

from __future__ import annotations

import fcntl
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from prometheus_client.mmap_dict import MmapedDict

PAST = "past"


def fold(folder: Path) -> None:
    """Move the counts of dead processes to the past. A scrape sees all of this or nothing."""
    dead = _dead(folder)
    if not dead:
        return
    with _locked(folder, fcntl.LOCK_EX):
        by_kind: dict[str, list[Path]] = defaultdict(list)
        for file in _dead(folder):
            by_kind[file.name.split("_", 1)[0]].append(file)
        for kind, files in by_kind.items():
            if kind != "gauge":
                _add(folder / f"{kind}_{PAST}.db", files)
            for file in files:
                file.unlink()


@contextmanager
def unfolded(folder: Path) -> Iterator[None]:
    """While the block runs nothing is folded."""
    with _locked(folder, fcntl.LOCK_SH):
        yield


def _dead(folder: Path) -> list[Path]:
    """Files of processes that are gone."""
    pids = ((file, file.stem.rsplit("_", 1)[-1]) for file in folder.glob("*_*.db"))
    return [file for file, pid in pids if pid.isdigit() and not psutil.pid_exists(int(pid))]


def _add(past: Path, files: Iterable[Path]) -> None:
    """`past` with the counts of `files` on top, put in its place at once."""
    total: dict[str, float] = defaultdict(float)
    for file in (past, *files):
        if file.exists():
            for key, count, *_ in MmapedDict.read_all_values_from_file(str(file)):
                total[key] += count
    unfinished = past.with_suffix(".new")
    unfinished.unlink(missing_ok=True)
    written = MmapedDict(str(unfinished))
    for key, count in total.items():
        written.write_value(key, count, 0.0)
    written.close()
    os.replace(unfinished, past)


@contextmanager
def _locked(folder: Path, how: int) -> Iterator[None]:
    descriptor = os.open(folder / "folding", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)
