"""Work that outlives its request: long media and bulk texts."""

from __future__ import annotations


class JobError(Exception):
    """The root of what a job, its file or one of its rows can be refused for; the message is one sentence."""


class WrongFile(JobError):
    """The file of texts cannot be read as what it is said to be."""


class UnknownFormat(JobError):
    """The file has no name of a kind that holds texts."""


class TooManyRows(JobError):
    """The file has more rows than a job may have."""


class BadRow(JobError):
    """One row holds no text; the rows around it are not touched by that."""


class LongRow(JobError):
    """The text of one row is longer than the service takes."""


class QueueFull(JobError):
    """As many jobs as may wait are waiting."""


class NoSpace(JobError):
    """The disk of the jobs is nearly full."""


class QueueGone(JobError):
    """The queue does not answer."""


class JobLost(JobError):
    """The job ended its worker again and again."""


class KeyReused(JobError):
    """The idempotency key stands for another request."""
