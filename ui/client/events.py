"""What happens to a job, as the service tells it: server-sent events, read line by line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ui import answers, problems
from ui.answers import JobProgress
from ui.problems import Problem, UnexpectedAnswer


@dataclass(frozen=True)
class Progress:
    """It is so far."""

    state: str
    progress: JobProgress


@dataclass(frozen=True)
class Partial:
    """A part is finished; `data` tells of it, as it came."""

    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Done:
    """There is a result."""


@dataclass(frozen=True)
class Failed:
    """There will be none, and why."""

    problem: Problem


@dataclass(frozen=True)
class Cancelled:
    """It was called off."""


JobEvent = Progress | Partial | Done | Failed | Cancelled


class EventLines:
    """Lines become events (WHATWG HTML, section 9.2.6); `last_id` is where to go on after a connection broke."""

    def __init__(self, last_id: str | None = None) -> None:
        self.last_id = last_id
        self._id: str | None = last_id
        self._name = ""
        self._data: list[str] = []

    def feed(self, line: str) -> JobEvent | None:
        """The event that a line ends, if it ends one. Raises `UnexpectedAnswer`."""
        if not line:
            return self._end()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            self._name = value
        elif name == "data":
            self._data.append(value)
        elif name == "id" and "\0" not in value:
            self._id = value
        return None

    def _end(self) -> JobEvent | None:
        name, data, self._name, self._data = self._name, "\n".join(self._data), "", []
        self.last_id = self._id
        return _event(name, data) if data else None


def _event(name: str, data: str) -> JobEvent | None:
    """An event of another name is one of a newer service, and passed over."""
    try:
        body = json.loads(data)
        if name == "progress":
            return Progress(body["state"], answers.job_progress(body["progress"]))
        if name == "partial":
            return Partial(body)
        if name == "failed":
            return Failed(problems.from_body(body["problem"], 500))
    except (ValueError, KeyError, TypeError) as error:
        raise UnexpectedAnswer("The service told of the job in a form that this client does not understand.") from error
    return {"done": Done(), "cancelled": Cancelled()}.get(name)
