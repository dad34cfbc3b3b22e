"""What the client sends again, how long it waits before, and what it never sends twice."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.serving import CHECKOUT
from ui.client import NO_RETRIES, AsyncClient, Client, Problem, Retries, TookTooLong, Unreachable

QUICK = Retries(first_seconds=0.001)
ANSWER = {
    "id": "1",
    "created": "2026-11-24T06:30:00Z",
    "kind": "text",
    "sentiment": {"label": "positive", "valence": 0.5, "confidence": 0.7, "probabilities": {"positive": 0.7}},
}


def refused(status: int, code: str, **headers: str) -> httpx.Response:
    kind = {"content-type": "application/problem+json"}
    return httpx.Response(status, json={"code": code, "detail": "Later.", "status": status}, headers=kind | headers)


class Service:
    """Answers one after another; the last again and again. Counts what was asked and keeps the bodies."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.bodies: list[bytes] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.bodies.append(request.read())
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def client(self, retries: Retries = QUICK) -> Client:
        return Client(transport=httpx.MockTransport(self), retries=retries)


@pytest.mark.parametrize(("status", "code"), [(429, "rate_limited"), (503, "overloaded"), (503, "shutting_down")])
def test_what_was_refused_for_now_is_asked_again(status: int, code: str) -> None:
    service = Service(refused(status, code), refused(status, code), httpx.Response(200, json=ANSWER))
    assert service.client().text("Hello").sentiment.label == "positive"
    assert len(service.bodies) == 3


@pytest.mark.parametrize("status", [400, 401, 404, 413, 422, 500, 504])
def test_what_will_not_get_better_is_raised_at_once(status: int) -> None:
    service = Service(refused(status, "any"))
    with pytest.raises(Problem):
        service.client().text("Hello")
    assert len(service.bodies) == 1


def test_attempts_are_bounded() -> None:
    service = Service(refused(503, "overloaded"))
    with pytest.raises(Problem, match="Later"):
        service.client(Retries(attempts=3, first_seconds=0.001)).text("Hello")
    assert len(service.bodies) == 3


def test_retries_can_be_turned_off() -> None:
    service = Service(refused(503, "overloaded"))
    with pytest.raises(Problem):
        service.client(NO_RETRIES).text("Hello")
    assert len(service.bodies) == 1


def test_a_wait_that_would_be_too_long_in_all_is_not_begun() -> None:
    service = Service(refused(429, "rate_limited", **{"retry-after": "3600"}))
    with pytest.raises(Problem) as caught:
        service.client(Retries(total_seconds=60)).text("Hello")
    assert caught.value.retry_after_seconds == 3600
    assert len(service.bodies) == 1


def pauses(rules: Retries, problem: Problem) -> Iterator[float]:
    tries = rules.begin()
    while (pause := tries.pause(problem, again_is_safe=True)) is not None:
        yield pause


def test_the_steps_double_and_the_wait_is_anywhere_below_them() -> None:
    problem = Problem("overloaded", "Later.", 503)
    longest = Retries(attempts=6, first_seconds=1, longest_seconds=5, chance=lambda: 1.0, clock=lambda: 0.0)
    shortest = Retries(attempts=6, chance=lambda: 0.0, clock=lambda: 0.0)
    assert list(pauses(longest, problem)) == [1, 2, 4, 5, 5]
    assert list(pauses(shortest, problem)) == [0] * 5


def test_no_wait_is_shorter_than_the_service_asked_for() -> None:
    problem = Problem("rate_limited", "Later.", 429, retry_after_seconds=7)
    assert min(pauses(Retries(clock=lambda: 0.0), problem)) >= 7


def test_no_attempt_begins_after_the_time_is_over() -> None:
    now = [0.0]
    tries = Retries(attempts=100, total_seconds=10, chance=lambda: 1.0, clock=lambda: now[0]).begin()
    problem = Problem("overloaded", "Later.", 503)
    while (pause := tries.pause(problem, again_is_safe=True)) is not None:
        now[0] += pause
    assert now[0] <= 10


@pytest.mark.parametrize("error", [httpx.ConnectError("no"), httpx.ConnectTimeout("no")])
def test_a_connection_that_never_came_about_is_tried_again_whatever_was_asked(error: Exception) -> None:
    service = Service(error, httpx.Response(200, json=ANSWER))
    assert service.client().text("Hello", store=True).sentiment.label == "positive"


def test_a_connection_that_broke_off_is_tried_again_where_that_does_nothing_twice() -> None:
    service = Service(httpx.RemoteProtocolError("gone"), httpx.Response(200, json=ANSWER))
    assert service.client().text("Hello").sentiment.label == "positive"


def test_what_would_be_kept_twice_is_not_sent_twice() -> None:
    service = Service(httpx.RemoteProtocolError("gone"))
    with pytest.raises(Unreachable):
        service.client().text("Hello", store=True)
    assert len(service.bodies) == 1


def test_an_answer_that_takes_too_long_is_not_asked_for_again() -> None:
    service = Service(httpx.ReadTimeout("late"))
    with pytest.raises(TookTooLong):
        service.client().text("Hello")
    assert len(service.bodies) == 1


def test_a_file_goes_out_whole_each_time(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(b"RIFF and more")
    service = Service(refused(503, "overloaded"), httpx.Response(200, json=ANSWER))
    service.client().audio(path)
    assert [body.count(b"RIFF and more") for body in service.bodies] == [1, 1]


class Pipe(io.BytesIO):
    def seekable(self) -> bool:
        return False


def test_what_can_be_read_once_is_sent_once() -> None:
    service = Service(refused(503, "overloaded"))
    with pytest.raises(Problem):
        service.client().audio(Pipe(b"RIFF"))
    assert len(service.bodies) == 1


def test_a_job_is_submitted_under_one_key_however_often() -> None:
    keys: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        keys.append(request.headers["idempotency-key"])
        if len(keys) == 1:
            raise httpx.RemoteProtocolError("gone")
        return httpx.Response(202, json={"id": "1", "state": "queued"})

    with Client(transport=httpx.MockTransport(answer), retries=QUICK) as client:
        assert client.jobs.submit(text="Hello").state == "queued"
        client.jobs.submit(text="Hello")
        client.jobs.submit(text="Hello", idempotency_key="mine")
    assert keys[0] == keys[1] != keys[2]
    assert keys[3] == "mine"


async def test_the_asynchronous_client_asks_again_too() -> None:
    service = Service(httpx.ConnectError("no"), refused(429, "rate_limited"), httpx.Response(200, json=ANSWER))
    async with AsyncClient(transport=httpx.MockTransport(service), retries=QUICK) as client:
        assert (await client.text("Hello")).sentiment.label == "positive"
    assert len(service.bodies) == 3


@pytest.mark.parametrize(
    ("said", "seconds"), [("7", 7.0), ("soon", None), ("", None), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0)]
)
def test_retry_after_is_a_number_or_a_date(said: str, seconds: float | None) -> None:
    with pytest.raises(Problem) as caught:
        Service(refused(429, "rate_limited", **{"retry-after": said})).client(NO_RETRIES).text("Hello")
    assert caught.value.retry_after_seconds == seconds


def sent(count: Callable[[int, int], None]) -> bytes:
    service = Service(httpx.Response(200, json=ANSWER))
    service.client().image(b"x" * 200_000, progress=count)
    return service.bodies[0]


def test_an_upload_tells_how_far_it_is() -> None:
    told: list[tuple[int, int]] = []
    body = sent(lambda done, total: told.append((done, total)))
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1] == (len(body), len(body))
    assert {total for _, total in told} == {len(body)}


UPLOAD_BYTES = 90_000_000
MEMORY = """
import resource, sys
import httpx
from ui.client import Client

class Sink(httpx.BaseTransport):
    def handle_request(self, request):
        for piece in request.stream:
            pass
        return httpx.Response(200, json={answer})

with Client(transport=Sink()) as client:
    client.image(b"small")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    told = []
    client.video(sys.argv[1], progress=lambda done, total: told.append(done))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, told[-1])
"""


def test_a_large_file_is_never_held_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    with path.open("wb") as file:
        file.truncate(UPLOAD_BYTES)
    program = MEMORY.format(answer=ANSWER)
    done = subprocess.run(
        (sys.executable, "-c", program, str(path)), cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    grown_kilobytes, sent_bytes = map(int, done.stdout.split())
    assert sent_bytes > UPLOAD_BYTES
    assert grown_kilobytes < 8_000
