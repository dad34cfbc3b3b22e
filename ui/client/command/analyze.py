"""`analyze`: each file to the route that takes it, or as a job; each answer to where it is wanted."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from ui.answers import Analysis
from ui.client.blocking import Client
from ui.client.calls import Options
from ui.client.command.bars import Bars
from ui.client.command.documents import SUBTITLES
from ui.client.command.inputs import STANDARD_INPUT, Given, given_file, given_text
from ui.client.command.paper import Paper
from ui.problems import Problem, ServiceError

TOO_MUCH = "too_large"
"""What a recording is that cannot be answered at once, and may be as a job."""


def run(client: Client, given: argparse.Namespace) -> int:
    """Judge everything that is given; 1 if something failed."""
    _check(given)
    inputs = _inputs(given)
    paper = Paper(given.kind or ("json" if given.output else "table"), given.output, len(inputs) > 1)
    failed = 0
    for name, read in inputs:
        try:
            _judge(client, read(), given, paper)
        except BrokenPipeError:
            raise
        except (ServiceError, OSError, ValueError) as error:
            failed += 1
            print(f"{name}: {_sentence(error)}", file=sys.stderr)
    paper.end()
    return 1 if failed else 0


def _inputs(given: argparse.Namespace) -> list[tuple[str, Callable[[], Given]]]:
    """What each input is called, and how it is read when its turn comes."""
    texts = [
        (f"text-{number}", partial(given_text, f"text-{number}", text)) for number, text in enumerate(given.text, 1)
    ]
    files = [(name, partial(given_file, name, a_text_a_line=given.job)) for name in given.files]
    return [*texts, *files]


def _check(given: argparse.Namespace) -> None:
    """Ends the program with 2 where the arguments make no sense together."""
    inputs = len(given.files) + len(given.text)
    if not inputs:
        given.usage("give a FILE, - for the standard input, or --text")
    if given.files.count(STANDARD_INPUT) > 1:
        given.usage("the standard input can be read once")
    if given.kind in SUBTITLES and not given.output and inputs > 1:
        given.usage("subtitles of several files need --output DIR")


def _judge(client: Client, one: Given, given: argparse.Namespace, paper: Paper) -> None:
    with Bars(one.name) as bars:
        if one.kind == "table" and given.kind in SUBTITLES:
            raise ValueError("A table of texts has no subtitles.")
        if one.kind == "table" and paper.kind == "csv" and paper.many and not paper.folder:
            raise ValueError("A table of texts beside other files needs --output DIR.")
        if given.job or given.detach or one.kind == "table":
            _as_job(client, one, given, paper, bars)
            return
        try:
            answer = _at_once(client, one, _options(given), bars)
        except Problem as problem:
            if problem.code != TOO_MUCH or one.kind not in ("audio", "video"):
                raise
            _as_job(client, one, given, paper, bars)
            return
    paper.answer(one.name, answer)


def _at_once(client: Client, one: Given, options: Options, bars: Bars) -> Analysis:
    if one.kind == "text":
        return client.text(one.text, **options)
    route = {"audio": client.audio, "image": client.image, "video": client.video}[one.kind]
    return route(one.file, progress=bars.sent, **options)


def _as_job(client: Client, one: Given, given: argparse.Namespace, paper: Paper, bars: Bars) -> None:
    """Send it as a job and wait, unless that is not wanted; an interrupt calls the job off."""
    options = _options(given)
    job = client.jobs.submit(
        **_part(one), column=given.column if one.kind == "table" else None, progress=bars.sent, **options
    )
    if given.detach:
        print(job.id, one.name, sep="\t")
        return
    try:
        job = client.jobs.wait(job, bars.happened)
    except KeyboardInterrupt:
        client.jobs.cancel(job)
        print(f"{one.name}: the job was cancelled.", file=sys.stderr)
        raise
    if one.kind == "table":
        paper.rows(one.name, client, job)
    else:
        paper.answer(one.name, client.jobs.result(job))


def _part(one: Given) -> dict[str, Any]:
    """The part of the form that it is."""
    if one.kind == "text":
        return {"text": one.text}
    return {"file" if one.kind == "table" else one.kind: one.file}


def _options(given: argparse.Namespace) -> Options:
    """Only what was asked for: the rest is the service's to say. Subtitles want each segment's emotion."""
    options: Options = {}
    if given.explain:
        options["explain"] = True
    if given.language:
        options["language"] = given.language
    if given.no_transcribe:
        options["transcribe"] = "never"
    if given.min_confidence is not None:
        options["min_confidence"] = given.min_confidence
    if given.coverage is not None:
        options["coverage"] = given.coverage
    if given.store:
        options["store"] = True
    if given.kind in SUBTITLES:
        options["detail"] = "full"
    return options


def _sentence(error: Exception) -> str:
    if isinstance(error, Problem):
        return f"{error} ({error.code})"
    if isinstance(error, UnicodeDecodeError):
        return "This is no text in UTF-8."
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
