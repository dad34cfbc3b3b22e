"""What comes in, and when it was: one time of the session for the clocks of sender and service."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Frame:
    """Something that was captured: its bytes, when by the sender's clock (ms), and when it came (monotonic seconds)."""

    data: bytes
    captured: int | None
    arrived: float


@dataclass
class Clock:
    """Lays what comes in on the session's time, which begins with the capture of what comes first."""

    timestamps: bool
    origin: float | None = None
    _ahead: float = float("inf")
    """How far arrival was behind capture at the least: the difference of the two clocks and the fastest way."""

    def place(self, frame: Frame, lasted: float = 0.0) -> float:
        """When a frame began, in seconds of the session; `lasted` is its own length."""
        if frame.captured is not None:
            self._ahead = min(self._ahead, frame.arrived - frame.captured / 1000 - lasted)
        elif self.timestamps and self._ahead == float("inf"):
            return 0.0  # a text before anything else: the sender's clock is not known yet
        begun = self._captured(frame, lasted)
        if self.origin is None:
            self.origin = begun
        return max(0.0, begun - self.origin)

    def latency(self, frame: Frame, now: float, lasted: float = 0.0) -> float:
        """Seconds from the end of a frame's capture until now."""
        since = frame.arrived if frame.captured is None else frame.captured / 1000 + lasted + self._ahead
        return max(0.0, now - since)

    def _captured(self, frame: Frame, lasted: float) -> float:
        """When a frame began, by the clock that this session goes by: the sender's if it tells, else ours."""
        if frame.captured is not None:
            return frame.captured / 1000
        return frame.arrived - lasted - (self._ahead if self.timestamps else 0.0)
