"""Progress bars on stderr, where somebody sits before it."""

from __future__ import annotations

import sys
from types import TracebackType

from tqdm import tqdm
from typing_extensions import Self

from ui.client.events import JobEvent, Progress

_FRACTION = "{desc} {percentage:3.0f}%|{bar}|{postfix}"


class Bars:
    """How far an upload and a job are, for one file. Nothing is drawn where stderr is no terminal."""

    def __init__(self, name: str) -> None:
        self._name = name if len(name) <= 28 else f"\u2026{name[-27:]}"
        self._quiet = not sys.stderr.isatty()
        self._upload: tqdm | None = None
        self._job: tqdm | None = None

    def sent(self, done: int, total: int) -> None:
        """So many bytes of so many were sent."""
        if self._quiet:
            return
        if self._upload is None:
            self._upload = tqdm(
                desc=self._name,
                total=total,
                unit="B",
                unit_scale=True,
                leave=False,
            )
        self._upload.update(done - self._upload.n)

    def happened(self, event: JobEvent) -> None:
        """Something happened to the job."""
        if self._quiet or not isinstance(event, Progress):
            return
        if self._job is None:
            self._job = tqdm(desc=self._name, total=1.0, leave=False, bar_format=_FRACTION)
        self._job.update(event.progress.fraction - self._job.n)
        self._job.set_postfix_str(_counted(event))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for bar in (self._upload, self._job):
            if bar is not None:
                bar.close()


def _counted(event: Progress) -> str:
    """`rows 300 of 1,000`, or the state while nothing is counted yet."""
    progress = event.progress
    if not progress.done and not progress.total:
        return event.state
    of = f" of {progress.total:,.0f}" if progress.total else ""
    return f"{progress.unit} {progress.done:,.0f}{of}".strip()
