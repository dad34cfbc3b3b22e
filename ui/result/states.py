"""What stands in the place of a result while there is none."""

from __future__ import annotations

from ui.client.events import Progress
from ui.markup import clock, percent, style, text
from ui.problems import Problem

EMPTY = (
    """<section class="ms-result ms-blank"><p>The verdict will stand here, with everything it rests on.</p></section>"""
)

CALLED_OFF = """<section class="ms-result ms-blank"><p>The job was cancelled.</p></section>"""


def working(sentence: str) -> str:
    """Shown while the service works."""
    return (
        f'<section class="ms-result ms-working"><p>{text(sentence)}</p>'
        '<div class="ms-track" aria-hidden="true"><i></i></div>'
        '<div class="ms-ghost" aria-hidden="true"></div>'
        '<div class="ms-ghost ms-ghost-low" aria-hidden="true"></div></section>'
    )


def advancing(event: Progress) -> str:
    """Shown while a job is worked on: how far it is."""
    progress = event.progress
    known = event.state == "running" and progress.fraction > 0
    bar = f"<i {style(share=progress.fraction)}></i>" if known else "<i></i>"
    share = f"<b>{percent(progress.fraction)}</b>" if known else ""
    return (
        '<section class="ms-result ms-working"><article class="ms-card ms-job">'
        f"<p>{text(_how_far(event))}</p>{share}"
        f'<div class="ms-track{" ms-known" if known else ""}" aria-hidden="true">{bar}</div></article></section>'
    )


def _how_far(event: Progress) -> str:
    """`12,000 of 100,000 texts`, `3:05 of about 65:00`."""
    progress = event.progress
    if event.state == "queued":
        return "Waiting for its turn\u2026"
    if not progress.done:
        return "Getting ready\u2026"
    if progress.unit == "seconds":
        of = f" of about {clock(progress.total)}" if progress.total else ""
        return f"{clock(progress.done)}{of} read"
    of = f" of {progress.total:,.0f}" if progress.total else ""
    return f"{progress.done:,.0f}{of} {'texts' if progress.unit == 'rows' else progress.unit} read"


def failed(error: Exception) -> str:
    """The service's own sentence, or ours about it; with the request's number, for whoever reads the logs."""
    details = ""
    if isinstance(error, Problem):
        more = "".join(f"<li>{text(item.get('detail', item))}</li>" for item in error.errors)
        number = f" · request {text(error.request_id)}" if error.request_id else ""
        details = f'<ul>{more}</ul><p class="ms-small">{text(error.title or error.code)} · {error.status}{number}</p>'
    return (
        '<section class="ms-result"><article class="ms-card ms-failed" role="alert"><h3>No answer</h3>'
        f"<p>{text(error)}</p>{details}</article></section>"
    )
