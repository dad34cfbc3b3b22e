"""A proxy that spoils answers, so that each check of the conformance suite is seen to miss what it asks for."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

NOT_FORWARDED = frozenset({"connection", "transfer-encoding", "content-length", "host"})
MOST_BYTES = 100_000_000


@dataclass(frozen=True)
class Answer:
    """An answer on its way through."""

    status: int
    headers: Mapping[str, str]
    content: bytes


Spoil = Callable[[str, Answer], Answer]
"""From a path and its answer to another answer."""


def _json(change: Callable[[Any], Any], path: str, status: int = 200) -> Spoil:
    """Change the JSON of answers of this path and status, in place."""

    def spoil(asked: str, answer: Answer) -> Answer:
        if not asked.startswith(path) or answer.status != status:
            return answer
        value = json.loads(answer.content)
        change(value)
        return replace(answer, content=json.dumps(value).encode())

    return spoil


def _status(status: int, instead: int) -> Spoil:
    return lambda path, answer: replace(answer, status=instead) if answer.status == status else answer


def _without(header: str) -> Spoil:
    def spoil(path: str, answer: Answer) -> Answer:
        return replace(answer, headers={name: value for name, value in answer.headers.items() if name != header})

    return spoil


def _with(header: str, value: str) -> Spoil:
    return lambda path, answer: replace(answer, headers={**answer.headers, header: value})


def _swapped(path: str, answer: Answer) -> Answer:
    words = answer.content.replace(b"positive", b"?").replace(b"negative", b"positive").replace(b"?", b"negative")
    return replace(answer, content=words)


def _empty(path: str, answer: Answer) -> Answer:
    return replace(answer, content=b"", status=200)


def _talkative(path: str, answer: Answer) -> Answer:
    return replace(answer, content=b"ok") if path in ("/livez", "/readyz") else answer


SPOILS: Mapping[str, Spoil] = {
    "a_text_is_judged": _swapped,
    "several_texts_are_answered_in_order": _swapped,
    "texts_sent_at_once_are_all_answered": _swapped,
    "a_face_is_found_and_judged": _json(lambda a: a["modalities"].setdefault("face", {}).update(faces=[]), "/v1/image"),
    "a_voice_is_heard_and_transcribed": _json(lambda a: a["transcript"].update(text="hm"), "/v1/audio"),
    "a_video_has_face_voice_words_and_a_timeline": _json(lambda a: a.update(timeline=[]), "/v1/video"),
    "words_and_a_face_become_one_verdict": _json(lambda a: a["fusion"].update(contributions={"text": 1.0}), "/v1/an"),
    "broken_json_is_a_problem": _with("content-type", "application/json"),
    "a_wrong_field_is_pointed_at": _json(lambda a: a.pop("errors", None), "/v1/text", 422),
    "what_is_not_there_is_a_problem": _without("allow"),
    "what_is_no_picture_is_refused": _status(415, 400),
    "pickles_are_refused": _status(415, 200),
    "a_body_that_is_too_large_is_refused_before_it_is_sent": _status(413, 400),
    "a_large_recording_passes_whatever_is_on_the_way": _json(lambda a: a["sentiment"].update(abstained=False), "/v1/a"),
    "it_lives_and_is_ready": _talkative,
    "its_health_names_every_dependency": _json(lambda a: a["dependencies"]["runners"].pop("face"), "/health"),
    "its_metrics_count_what_was_asked": lambda path, answer: _empty(path, answer) if path == "/metrics" else answer,
    "it_tells_its_models": _without("etag"),
    "its_document_and_pages_are_there": _json(lambda a: a.update(openapi="3.0.2"), "/docs.json"),
    "its_answers_carry_their_headers": _without("x-request-id"),
    "other_origins_are_not_let_in": _with("access-control-allow-origin", "*"),
    "a_stream_is_answered_while_it_runs": lambda path, answer: answer,  # the proxy knows nothing of WebSockets
    "a_job_is_done_and_fetched_and_forgotten": _without("location"),
    "an_analysis_is_kept_found_exported_and_forgotten": _json(lambda a: a.update(id="another"), "/v1/history/"),
}
"""By check, an answer that it must not take for good."""


class Server(ThreadingHTTPServer):
    """Whoever comes while it is busy waits, and is not sent away."""

    request_queue_size = 128


@contextmanager
def spoiling(address: str, spoil: Spoil) -> Iterator[str]:
    """The address of a proxy in front of a service."""
    upstream = urlsplit(address)

    class Handler(BaseHTTPRequestHandler):
        def do(self) -> None:
            line = http.client.HTTPConnection(str(upstream.hostname), upstream.port, timeout=60)
            answer = spoil(self.path, _forwarded(self, line))
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)
            line.close()

        do_GET = do_POST = do_DELETE = do

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def _forwarded(request: BaseHTTPRequestHandler, line: http.client.HTTPConnection) -> Answer:
    """What the service answers. A body that is too large is announced and not sent."""
    length = int(request.headers.get("content-length", 0))
    line.putrequest(request.command, request.path)
    for name, value in request.headers.items():
        if name.lower() not in NOT_FORWARDED:
            line.putheader(name, value)
    line.putheader("Content-Length", str(length))
    line.endheaders(request.rfile.read(length) if length <= MOST_BYTES else None)
    answer = line.getresponse()
    headers = {name.lower(): value for name, value in answer.getheaders() if name.lower() not in NOT_FORWARDED}
    return Answer(answer.status, headers, answer.read())
