"""What the page itself says: its head and foot, and what people must be told before a camera or microphone is used."""

from __future__ import annotations

from html import escape

_MARK = """<svg viewBox="0 0 40 40" aria-hidden="true" fill="none" stroke-width="4" stroke-linecap="round">
<path d="M6 27A14 14 0 0 1 14 15" style="stroke:var(--ms-negative)"/>
<path d="M16.5 13.6A14 14 0 0 1 23.5 13.6" style="stroke:var(--ms-neutral)"/>
<path d="M26 15A14 14 0 0 1 34 27" style="stroke:var(--ms-positive)"/>
<circle cx="20" cy="27" r="2.5" style="fill:currentColor"/></svg>"""

FOOT = """<footer class="ms-foot">
<p>Meant for understanding feedback, for accessibility and for research, with people who know of it. An expression is
not a feeling: models judge what is shown, they are wrong at times, and more often for people who are rare in their
training data.</p>
<p>Not meant for decisions about people: hiring, schooling, credit, policing, health. Inferring emotions at work or in
education is prohibited in the European Union (AI Act, Article 5).</p></footer>"""

_STATES = {
    "healthy": ("positive", "Service ready"),
    "degraded": ("undecided", "Service degraded"),
    "unhealthy": ("negative", "Service unhealthy"),
    "guarded": ("neutral", "Service answers"),
    "unreachable": ("negative", "Service not reachable"),
}


def head(status: str | None = None) -> str:
    """The page's head; `status` is how the service is, or `unreachable`, or not known yet."""
    kind, said = _STATES.get(status or "", ("neutral", "Asking the service\u2026"))
    return f"""<header class="ms-head">{_MARK}
<div><h1>Multimodal Sentiment</h1><p>Words, a voice, a face or a whole video in; one honest verdict out.</p></div>
<span class="ms-state ms-{kind}" role="status">{said}</span></header>"""


def live_duty() -> str:
    """The same for camera and microphone that run."""
    return """<aside class="ms-duty" role="note"><p>This system infers emotions from faces and voices. Before you turn
on camera or microphone, tell everyone who may be seen or heard (EU AI Act, Article 50(3)).</p><p>Pictures and sound are
judged as they come and not kept; what was recorded is deleted within a minute.</p></aside>"""


def duty(keep_seconds: float, *, camera: bool) -> str:
    """The notice of the AI Act, Article 50(3), and how long uploads stay."""
    source, seen = ("faces and voices", "shown or heard") if camera else ("voices", "heard")
    return f"""<aside class="ms-duty"><p>This system infers emotions from {source}. Tell everyone who is {seen} before
you record or upload (EU AI Act, Article 50(3)).</p><p>No file is kept: it is deleted when you replace or clear it
or close the page, and after {keep_seconds / 60:.0f} minutes at the latest.</p></aside>"""


def restriction(reason: str) -> str:
    """Why the tabs of faces and voices are closed, in the service's own sentence."""
    return f'<aside class="ms-duty" role="note"><p>{escape(reason)}</p></aside>'
