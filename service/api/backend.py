"""What the routes answer with: the settings, and once the service is warm, its tools."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from service.access.configured import share_of
from service.api.admission import AdmissionControl
from service.api.places import Places
from service.api.problems import ProblemError
from service.database import Database
from service.history.history import History
from service.jobs.intake import Jobs
from service.lifecycle import Lifecycle

if TYPE_CHECKING:
    from starlette.requests import Request

    from service.api.temp_folder import TempFolder
    from service.pipelines.analyze import Tools
    from service.settings import Settings

LARGE_BODIES = 4
"""Of each process at once."""


@dataclass
class Backend:
    """The state of one gateway process."""

    settings: Settings
    folder: TempFolder
    tools: Tools | None = None
    """None until models and decoder have started, and after they were closed."""
    start_problem: str | None = None
    """Why they could not be started, in one sentence; it is tried again."""
    checks: dict[str, Callable[[], Awaitable[None]]] = field(default_factory=dict)
    """What else /health asks, by name (`database`, `queue`): each returns when it is well, and raises when not."""
    lifecycle: Lifecycle = field(default_factory=Lifecycle)
    """Whether the process runs, drains or leaves. What goes on for long (streams, events) ends when `ending` is set."""
    started: float = field(default_factory=time.time)
    """Unix time in seconds."""

    @cached_property
    def texts(self) -> AdmissionControl:
        """The places of requests for texts."""
        return AdmissionControl(self.settings.steady_text_requests, self.settings.max_text_requests)

    @cached_property
    def streams(self) -> Places:
        """WebSockets of `/v1/stream` that are open now."""
        return Places("streams are open", self.settings.max_streams, share_of(self.settings))

    @cached_property
    def event_streams(self) -> Places:
        """Readers of the events of jobs."""
        return Places("readers of events are connected", self.settings.max_event_streams, share_of(self.settings))

    @cached_property
    def large_bodies(self) -> Places:
        """Texts that take much memory before they can be read."""
        return Places("long lists of texts are coming in", LARGE_BODIES, share_of(self.settings))

    @cached_property
    def database(self) -> Database:
        """Where histories and the state of jobs are kept; it opens when something is. Raises `WrongUrl`."""
        return Database.of(self.settings)

    @cached_property
    def history(self) -> History:
        """What callers asked to be kept."""
        return History(self.database)

    @cached_property
    def jobs(self) -> Jobs:
        """Work that outlives its request."""
        return Jobs(self.settings, self.database)

    def require_tools(self) -> Tools:
        """The tools. Raises `not_ready` while the service starts."""
        if self.tools is None:
            raise ProblemError("not_ready", self.start_problem or "The models are still being loaded; try again soon.")
        return self.tools


def backend_of(request: Request) -> Backend:
    """The backend of the app that answers this request."""
    return request.app.state.backend
