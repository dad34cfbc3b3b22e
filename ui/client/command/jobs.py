"""`jobs`: list, follow, cancel, and fetch what they came to."""

from __future__ import annotations

import argparse
import sys
from itertools import islice

from ui.answers import Job
from ui.client.blocking import Client
from ui.client.command.bars import Bars


def show_all(client: Client, given: argparse.Namespace) -> int:
    """The newest jobs, a line each."""
    for job in islice(client.jobs.list(), given.limit):
        print(_line(job))
    return 0


def show(client: Client, given: argparse.Namespace) -> int:
    """Where a job stands; at a terminal, follow it until it is over."""
    job = client.jobs.get(given.id)
    if not job.over and sys.stderr.isatty():
        with Bars(job.id) as bars:
            for event in client.jobs.events(job):
                bars.happened(event)
        job = client.jobs.get(job)
    print(_line(job))
    if job.problem:
        print(f"  {job.problem.get('detail', '')}")
    return 1 if job.state == "failed" else 0


def cancel(client: Client, given: argparse.Namespace) -> int:
    """Stop a job, and have its media and result removed."""
    client.jobs.cancel(given.id)
    return 0


def result(client: Client, given: argparse.Namespace) -> int:
    """What a job came to, as the service sends it."""
    client.jobs.save(given.id, given.output or sys.stdout.buffer, given.format)
    return 0


def _line(job: Job) -> str:
    return f"{job.id}  {job.state:9} {100 * job.progress.fraction:3.0f} %  {job.kind:10} {job.created or ''}".rstrip()
