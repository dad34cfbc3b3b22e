"""A live session: pictures, sound and texts come in as they happen, verdicts over the last seconds go out, and in the
end one `Analysis` of the whole, by the same steps as for a file."""

from __future__ import annotations

from service.pipelines.live.clock import Clock, Frame
from service.pipelines.live.events import Event, Result, Tell, Trouble, Words
from service.pipelines.live.recent import Recent
from service.pipelines.live.session import Session
from service.pipelines.live.start import Start

__all__ = ["Clock", "Event", "Frame", "Recent", "Result", "Session", "Start", "Tell", "Trouble", "Words"]
