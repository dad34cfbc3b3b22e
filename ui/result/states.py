"""What stands in the place of a result while there is none."""

from __future__ import annotations

from ui.markup import text
from ui.problems import Problem

EMPTY = (
    """<section class="ms-result ms-blank"><p>The verdict will stand here, with everything it rests on.</p></section>"""
)


def working(sentence: str) -> str:
    """Shown while the service works."""
    return (
        f'<section class="ms-result ms-working" role="status"><p>{text(sentence)}</p>'
        '<div class="ms-track" aria-hidden="true"><i></i></div>'
        '<div class="ms-ghost" aria-hidden="true"></div>'
        '<div class="ms-ghost ms-ghost-low" aria-hidden="true"></div></section>'
    )


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
