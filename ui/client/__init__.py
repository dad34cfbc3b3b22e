"""A typed client of the service, to be used with or without the user interface.

>>> from ui.client import Client
>>> with Client("http://127.0.0.1:8000") as client:
...     client.text("I love it").sentiment.label
'positive'

`AsyncClient` has the same methods to await, and to iterate over with `async for`. Files are paths, bytes or open binary
files. Every failure is a `ServiceError`: `Problem` (the service's own word), `Unreachable`, `TookTooLong`,
`UnexpectedAnswer`, `JobCancelled` or `UnsafeAddress`. `python -m ui.client --help` is the same from a shell.
"""

from __future__ import annotations

from ui.answers import Analysis, Health, Job, JobProgress, Model, Receipt
from ui.client.asynchronous import AsyncClient
from ui.client.blocking import Client
from ui.client.calls import Options
from ui.client.events import Cancelled, Done, Failed, JobEvent, Partial, Progress
from ui.client.retries import NO_RETRIES, Retries
from ui.client.sending import Upload
from ui.client.stream import AsyncStream, Stream
from ui.problems import (
    JobCancelled,
    Problem,
    ServiceError,
    TookTooLong,
    UnexpectedAnswer,
    Unreachable,
    UnsafeAddress,
)

__all__ = [
    "NO_RETRIES",
    "Analysis",
    "AsyncClient",
    "AsyncStream",
    "Cancelled",
    "Client",
    "Done",
    "Failed",
    "Health",
    "Job",
    "JobCancelled",
    "JobEvent",
    "JobProgress",
    "Model",
    "Options",
    "Partial",
    "Problem",
    "Progress",
    "Receipt",
    "Retries",
    "ServiceError",
    "Stream",
    "TookTooLong",
    "UnexpectedAnswer",
    "Unreachable",
    "UnsafeAddress",
    "Upload",
]
