"""The conformance suite against a bare service; and each of its checks against one whose answers are spoiled."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from tests.deployment.conformance import ABILITIES, CHECKS, Check, Missed, Target, stops_without_dropping
from tests.deployment.spoiling import SPOILS, spoiling
from tests.jobs_running import running_worker
from tests.serving import CHECKOUT, RunningService, running_service

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def service(tmp_path_factory) -> Iterator[RunningService]:
    folder = tmp_path_factory.mktemp("bare")
    settings = {"state_folder": folder / "state", "min_free_bytes": 0}
    with (
        running_service(folder, drain_delay_seconds=1, **settings) as service,
        running_worker(folder, **settings, temp_folder=folder / "worker"),
    ):
        yield service


class Asked(httpx.HTTPTransport):
    """Remembers what was asked for and answered with success."""

    def __init__(self) -> None:
        super().__init__(retries=1)
        self.well: set[tuple[str, str]] = set()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = super().handle_request(request)
        if answer.is_success:
            self.well.add((request.method, request.url.path))
        return answer

    def missing(self, routes: set[tuple[str, str]]) -> set[tuple[str, str]]:
        """Of these methods and templates of paths, those that were not."""

        def asked(way: str, template: str) -> bool:
            pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template))
            return any(one == way and re.fullmatch(pattern, path) for one, path in self.well)

        return {route for route in routes if not asked(*route)}


@pytest.fixture(scope="module")
def asked_of() -> Asked:
    return Asked()


@pytest.fixture(scope="module")
def target(service: RunningService, asked_of: Asked) -> Iterator[Target]:
    target = Target(service.address, transport=asked_of)
    yield target
    target.close()


def test_each_check_has_an_answer_that_it_must_not_take():
    assert set(SPOILS) == set(map(str, CHECKS))


@pytest.mark.parametrize("check", CHECKS, ids=str)
def test_a_bare_service_conforms(check: Check, target: Target):
    check(target)


NOT_FOR_ALL = frozenset(
    {
        ("DELETE", "/v1/history"),  # would remove what others keep by the same key
        ("GET", "/v1/stream"),  # a WebSocket, which has a check of its own
    }
)


def test_every_route_was_asked_for_a_real_answer(target: Target, asked_of: Asked):
    document = httpx.get(f"{target.address}/docs.json").json()
    routes = {(way.upper(), path) for path, ways in document["paths"].items() for way in ways} - NOT_FOR_ALL
    assert routes
    if asked_of.missing(routes):  # this test was asked for alone
        for check in CHECKS:
            check(target)
    assert asked_of.missing(routes) == set()
    assert asked_of.missing({("GET", "/v1/nothing")})


@pytest.mark.parametrize("check", CHECKS, ids=str)
def test_a_spoiled_answer_is_missed(check: Check, service: RunningService):
    with spoiling(service.address, SPOILS[check.name]) as address:
        target = Target(address)
        with pytest.raises(Exception) as raised:
            check(target)
        target.close()
    if check.name != "a_stream_is_answered_while_it_runs":
        assert isinstance(raised.value, Missed), raised.value


def test_the_command_says_what_was_missed(service: RunningService):
    without = sorted(ABILITIES - {"text"})
    good, bad = asked(service.address, "--without", *without), None
    with spoiling(service.address, SPOILS["a_text_is_judged"]) as address:
        bad = asked(address, "--without", *without)
    assert good.returncode == 0, good.stdout
    assert "conforms" in good.stdout
    assert "- " in good.stdout  # what was not asked is said
    assert bad.returncode == 1
    assert "MISSED  a text is judged: negative instead of positive" in bad.stdout


def test_a_service_that_drops_what_it_has_begun_is_missed():
    with dropping() as (address, stop), pytest.raises((Missed, OSError)):
        stops_without_dropping(Target(address), stop)


def test_a_bare_service_stops_without_dropping(service: RunningService, target: Target):
    stops_without_dropping(target, service.process.terminate)
    assert service.process.wait(60) == 0


def asked(address: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, "-m", "tests.deployment.conformance", address, *words)
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)


@contextmanager
def dropping() -> Iterator[tuple[str, Callable[[], object]]]:
    """A server that cuts every connection as soon as it is told to stop."""
    stopped = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(503 if stopped.is_set() else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_POST(self) -> None:
            stopped.wait(60)
            self.connection.close()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", stopped.set
    finally:
        server.shutdown()
        server.server_close()
