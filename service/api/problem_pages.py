"""What each problem means, what helps, and the limits in force: all at `/problems`, one at `/problems/<code>`.

`python -m service.api.problem_pages` prints the catalogue as `docs/problems.md` holds it, with the default limits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType

from service.api.problems import PROBLEMS, ProblemKind
from service.settings import Settings, variable

_LIMITS: Mapping[str, tuple[tuple[str, str], ...]] = MappingProxyType(
    {
        "too_large": (
            ("max_body_bytes", "bytes"),
            ("max_job_bytes", "bytes"),
            ("max_pixels", "pixels"),
            ("max_audio_seconds", "seconds"),
            ("max_video_seconds", "seconds"),
            ("max_job_audio_seconds", "seconds"),
            ("max_job_video_seconds", "seconds"),
            ("max_texts", "texts"),
            ("max_job_rows", "texts"),
            ("stream_frame_bytes", "bytes"),
            ("stream_text_characters", "characters"),
            ("stream_total_seconds", "seconds"),
        ),
        "too_long": (("max_text_characters", "characters"),),
        "undecodable": (
            ("decode_memory_bytes", "bytes"),
            ("decode_cpu_seconds", "seconds"),
            ("decode_stall_seconds", "seconds"),
        ),
        "forbidden": (("cors_origins", ""), ("allowed_hosts", "")),
        "use_restricted": (("use", ""),),
        "unauthenticated": (("auth", ""),),
        "expired": (("job_hours", "hours"), ("history_days", "days")),
        "rate_limited": (
            ("rate_limit", ""),
            ("client_share", ""),
            ("stream_frames_per_second", "frames a second"),
        ),
        "overloaded": (
            ("max_text_requests", "requests at once"),
            ("queue_limit", "items"),
            ("decoders", "files at once"),
            ("max_streams", "streams"),
            ("max_event_streams", "readers"),
            ("max_queued_jobs", "jobs"),
            ("min_free_bytes", "bytes"),
        ),
        "model_unavailable": (("runner_timeout_seconds", "seconds"),),
        "shutting_down": (("graceful_seconds", "seconds"),),
        "timed_out": (
            ("request_timeout_seconds", "seconds"),
            ("head_seconds", "seconds"),
            ("stream_idle_seconds", "seconds"),
        ),
    }
)
"""The settings that a problem's limits are, and their units."""


@dataclass(frozen=True)
class Limit:
    """One limit in force."""

    setting: str
    """The environment variable that sets it."""
    value: float | str
    unit: str
    """Empty where the value is a word."""
    meaning: str


def limits_of(code: str, settings: Settings) -> list[Limit]:
    """The limits behind a problem."""
    return [
        Limit(variable(name), _plain(getattr(settings, name)), unit, Settings.model_fields[name].description or "")
        for name, unit in _LIMITS.get(code, ())
    ]


def catalogue(settings: Settings) -> list[dict[str, object]]:
    """Every problem, as JSON."""
    return [entry(kind, settings) for kind in PROBLEMS.values()]


def entry(kind: ProblemKind, settings: Settings) -> dict[str, object]:
    """One problem, as JSON."""
    return {"type": f"/problems/{kind.code}", **asdict(kind), "limits": limits_of(kind.code, settings)}


def sentence(limit: Limit, where: str = "Here") -> str:
    """A limit for people to read; `where` it is in force."""
    return f"{limit.meaning} {where}: {_shown(limit)} ({limit.setting})."


def _shown(limit: Limit) -> str:
    if not limit.unit:
        return f"`{limit.value}`" if limit.value != "" else "none"
    number = f"{limit.value:,g}" if isinstance(limit.value, float) else f"{limit.value:,}"
    return f"{number} {limit.unit}"


def markdown(settings: Settings) -> str:
    """The catalogue as a page of the documentation."""
    lines = [
        "# Problems",
        "",
        "Every error is an `application/problem+json` (RFC 9457) with one of these codes. A running service tells the",
        "same, with the limits in force there, under `/problems` and `/problems/<code>`. Written by",
        "`python -m service.api.problem_pages`; a test compares.",
        "",
    ]
    for kind in PROBLEMS.values():
        lines += [f"## {kind.code}", "", f"**{kind.status}** {kind.title}.", "", kind.cause, "", f"*{kind.remedy}*", ""]
        if kind.retry_after_seconds is not None:
            lines += [f"`Retry-After`: {kind.retry_after_seconds} s or longer.", ""]
        found = [f"- {sentence(limit, 'By default')}" for limit in limits_of(kind.code, settings)]
        lines += [*found, ""] if found else []
    return "\n".join(lines)


def _plain(value: object) -> float | str:
    if value is None:
        return "unset"
    return value if isinstance(value, (int, float, str)) else str(value)


if __name__ == "__main__":
    # The defaults, whatever this machine's environment says.
    print(markdown(Settings.model_construct()), end="")
