"""One job, worked on: what is done part by part, what it tells on the way, and what it leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from service.access import use
from service.domain.analysis import Analysis
from service.domain.fusion import Opinion, fuse
from service.domain.timeline import average
from service.jobs.folders import MEDIA_RESULT, PARTS, JobFolders, write_whole
from service.jobs.parts import PartsNotebook
from service.jobs.progress import Progress
from service.jobs.rows import RowFile
from service.jobs.store import Job
from service.jobs.texts import Refuse, TextsWork
from service.observability import metrics
from service.pipelines import Options
from service.pipelines.analyze import Inputs, analyze, rule_of
from service.pipelines.checkpoint import Checkpoint, moments_of
from service.pipelines.media import Tools

RECORDINGS = ("audio", "video")

Store = Callable[[Analysis], Awaitable[None]]
"""Keeps an analysis in the history of the job's owner, once; what it raises ends the work."""
Tell = Callable[[Mapping[str, Any]], Awaitable[None]]
"""Hears of each part that is safe, with what it says; what it raises ends the work."""


class Work:
    """The work on one job. `progress` can be looked at any time."""

    def __init__(
        self, job: Job, folders: JobFolders, tools: Tools, *, refuse: Refuse, tell: Tell, store: Store
    ) -> None:
        self.job = job
        self.progress = Progress(job.done, job.total)
        self._folders = folders
        self._folder = folders.of(job.id)
        self._tools = tools
        self._refuse = refuse
        self._tell = tell
        self._store = store
        self._reached: dict[str, Progress] = {}

    async def run(self) -> None:
        """Do what is left to do; the result lies in the folder afterwards. Raises what is wrong with the input."""
        if self._folders.result(self.job.id) is not None:
            return
        await (self._read_texts() if self.job.kind == "texts" else self._read_media())

    async def _read_texts(self) -> None:
        request = self.job.request
        rows = await asyncio.to_thread(RowFile, self._folder / "file", request["format"], request["column"])
        work = TextsWork(self._folder, rows, _options(request), self._tools, self._refuse)
        begun: int | None = None
        async for standing in work.run(self._tools.settings.job_part_rows):
            self.progress = Progress(standing.rows, standing.total)
            if begun is not None:
                await self._tell({"start": begun + 1, "end": standing.rows, "labels": dict(standing.counts)})
            begun = standing.rows
        await asyncio.to_thread(work.finish)

    async def _read_media(self) -> None:
        parts = self._folder / PARTS
        parts.mkdir(mode=0o700, exist_ok=True)
        given = {name: self._folder / name for name in self.job.request["files"]}
        use.check(given, self._tools.settings.use)  # it may have been declared after the job was taken
        notebooks = {name: self._notebook(parts, name) for name in RECORDINGS if name in given}
        for notebook in notebooks.values():
            await asyncio.to_thread(notebook.read)
        inputs = Inputs(text=self.job.request.get("text"), **given)
        analysis = await analyze(inputs, _options(self.job.request), self._tools, notebooks)
        # The job's own identifier, so that an analysis which is stored twice is stored once.
        analysis = replace(analysis, id=self.job.id)
        if self.job.request["options"].get("store"):
            await self._store(analysis)
        if not notebooks:
            self.progress = Progress(1.0, 1.0)
        metrics.predicted(analysis)
        await asyncio.to_thread(write_whole, self._folder / MEDIA_RESULT, _json(analysis))

    def _notebook(self, parts: Path, name: str) -> PartsNotebook:
        return PartsNotebook(parts, name, self._tools.settings.job_part_seconds, self._reach, self._kept)

    def _reach(self, name: str, progress: Progress) -> None:
        self._reached[name] = progress
        known = [one.total for one in self._reached.values() if one.total is not None]
        total = sum(known) if len(known) == len(self._reached) else None
        self.progress = Progress(sum(one.done for one in self._reached.values()), total)

    async def _kept(self, name: str, part: Checkpoint) -> None:
        await self._tell({"of": name, **_impression(part, self._tools)})


def _impression(part: Checkpoint, tools: Tools) -> Mapping[str, Any]:
    """What one part says by itself, before the whole is known: voice and faces, fused; words come at the end."""
    found = moments_of(part, 1 / tools.settings.frames_per_second)
    opinions: dict[Any, Opinion] = {}
    for name, moments in found.items():
        opinion = average(moments)
        if opinion is not None:
            opinions[name] = replace(opinion, reliability=tools.models.info[name].reliability)
    times = [moment.start for moments in found.values() for moment in moments]
    until = max(part.heard_seconds, part.seen_seconds)
    return {
        "start": round(min(times, default=until), 3),
        "end": round(until, 3),
        "sentiment": orjson.loads(orjson.dumps(fuse(opinions, rule_of(Options(), tools)).sentiment)),
        "said": " ".join(transcript.text.strip() for transcript in part.heard.transcripts),
    }


def _options(request: Mapping[str, Any]) -> Options:
    given = dict(request["options"])
    return Options(**{**given, "aspects": tuple(given.get("aspects", ()))})


def _json(analysis: Analysis) -> bytes:
    return orjson.dumps(analysis, option=orjson.OPT_SERIALIZE_NUMPY)
