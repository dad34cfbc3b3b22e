"""Where answers are written: one after another to the standard output, or a document each into a folder."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from ui.answers import LABELS, Analysis, Job
from ui.client.blocking import Client
from ui.client.command.documents import SUBTITLES, document, head, line, notes
from ui.problems import Problem


@dataclass
class Paper:
    """What one run writes. `folder` None is the standard output; `many` says that more than one answer may come."""

    kind: str
    folder: str | None
    many: bool
    begun: bool = False
    written: set[Path] = field(default_factory=set)

    def answer(self, name: str, analysis: Analysis) -> None:
        """Write one answer."""
        if self.folder is not None:
            self._file(name).write_text(document(self.kind, name, analysis), encoding="utf-8")
        elif self.kind == "json":
            self._separate()
            sys.stdout.write(document("json", name, analysis).rstrip("\n"))
        elif self.kind in SUBTITLES:
            sys.stdout.write(document(self.kind, name, analysis))
        else:
            sys.stdout.write(("" if self.begun else head(self.kind)) + line(self.kind, name, analysis))
            if self.kind == "table":
                sys.stdout.writelines(notes(analysis))
        self.begun = True
        sys.stdout.flush()

    def rows(self, name: str, client: Client, job: Job) -> None:
        """Write what a table of texts came to, as the service sends it."""
        if self.folder is not None:
            client.jobs.save(job, self._file(name), self.kind)
        elif self.kind == "table":
            sys.stdout.write(_summary(name, client, job))
        else:
            if self.kind == "json":
                self._separate()
            sys.stdout.flush()
            client.jobs.save(job, sys.stdout.buffer, self.kind)
        self.begun = True

    def end(self) -> None:
        """Nothing follows."""
        if self.kind == "json" and self.folder is None and self.begun:
            sys.stdout.write("\n]\n" if self.many else "\n")

    def _separate(self) -> None:
        """Several documents of JSON are one list."""
        if self.many:
            sys.stdout.write(",\n" if self.begun else "[\n")

    def _file(self, name: str) -> Path:
        """A place of its own in the folder, also for two files of one name."""
        folder = Path(self.folder or ".")
        folder.mkdir(parents=True, exist_ok=True)
        stem, number = Path(name).name, 1
        path = folder / f"{stem}.{self.kind}"
        while path in self.written:
            number += 1
            path = folder / f"{stem}-{number}.{self.kind}"
        self.written.add(path)
        return path


def _summary(name: str, client: Client, job: Job) -> str:
    """How many of the texts of a table got which verdict."""
    counts: Counter[str] = Counter()
    for row in client.jobs.rows(job):
        counts["failed" if isinstance(row, Problem) else row.sentiment.label or "undecided"] += 1
    total = sum(counts.values())
    shares = (
        f"  {kind:10} {counts[kind]:>9,}  {100 * counts[kind] / total:5.1f} %\n"
        for kind in (*LABELS, "undecided", "failed")
        if counts[kind]
    )
    hint = f"  Each of them: python -m ui.client jobs result {job.id} --format csv\n"
    return "".join((f"{name}: {total:,} texts\n", *shares, hint))
