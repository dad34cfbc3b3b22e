"""Every code of the catalogue, produced by really started services.

One has access control, rates and small limits; the other is used at work, reads texts in a process of its own, and is
killed, starved and stopped.
"""

from __future__ import annotations

import json
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path

import httpx
import pytest

from models.registry import default_model
from service.access.key_ring import KeyFile, new_key
from service.api.problems import PROBLEMS
from service.database import Database
from service.database.urls import file_url
from service.jobs.store import Job, JobStore
from service.pipelines.analyze import ulid
from tests.contract.conftest import picture, problem
from tests.faults.processes import workers
from tests.serving import CHECKOUT, RunningService, running_service

pytestmark = pytest.mark.server

TEXT = {"text": "I love it"}
SMALL = {
    "max_body_bytes": 200_000,
    "max_text_characters": 100,
    "request_timeout_seconds": 5.0,
    "transcript_model": "off",
}
AT_WORK = {
    "use": "workplace",
    "text_runner": "process",
    "max_streams": 0,
    "runner_timeout_seconds": 4.0,
    "reload_seconds": 0.5,
    "transcript_model": "off",
}
JSON = {"content-type": "application/json"}
HEAD = "POST /v1/text HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
UPGRADE = {
    "connection": "upgrade",
    "upgrade": "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
}


@dataclass(frozen=True)
class House:
    """The guarded service, a client with a good key, and the keys of two more callers."""

    service: RunningService
    http: httpx.Client
    clerk: str
    """May read the history, and nothing else."""
    hasty: str
    """May ask once a minute."""
    state: Path

    def send(self, **asked: object) -> httpx.Response:
        """A text, by somebody who may."""
        return self.http.post("/v1/text", **{"json": TEXT, **asked})

    def unwell(self) -> list[str]:
        """What of that which it stands on is not well, as it tells itself."""
        told = self.http.get("/health").json()["dependencies"]
        return [name for name in ("database", "queue", "disk") if told[name] != "healthy"]

    def upload(self, content: bytes) -> httpx.Response:
        """A picture."""
        return self.http.post("/v1/image", files={"file": content})


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("guarded")
    keys = {}
    for name, scopes, rate in (
        ("owner", ["admin"], None),
        ("clerk", ["history"], None),
        ("hasty", ["analyze"], "1/minute"),
    ):
        keys[name], record = new_key(name, scopes, rate)
        KeyFile(folder / "keys.json").add(record)
    own = {"auth": "api_key", "api_keys_file": folder / "keys.json", "state_folder": folder / "state", **SMALL}
    with running_service(folder, **own) as service:
        bearer = {"Authorization": f"Bearer {keys['owner']}"}
        with httpx.Client(base_url=service.address, headers=bearer, timeout=60) as http:
            yield House(service, http, keys["clerk"], keys["hasty"], folder / "state")


@pytest.fixture(scope="module")
def at_work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    folder = tmp_path_factory.mktemp("at_work")
    with running_service(folder, cwd=linked_checkout(folder), state_folder=folder / "state", **AT_WORK) as service:
        yield service


def with_key(house: House, key: str) -> httpx.Response:
    return house.send(headers={"Authorization": f"Bearer {key}"})


def asked_twice(house: House) -> httpx.Response:
    with_key(house, house.hasty)
    return with_key(house, house.hasty)


def never_sent(house: House) -> httpx.Response:
    """Of a body that does not come, until there is an answer."""
    with half_asked(house) as connection, HTTPResponse(connection) as answer:
        answer.begin()
        return httpx.Response(answer.status, headers=answer.getheaders(), content=answer.read())


@contextmanager
def half_asked(house: House, request_id: str = "half-asked") -> Iterator[socket.socket]:
    """A request whose body stops after its first byte."""
    address = ("127.0.0.1", httpx.URL(house.service.address).port)
    with socket.create_connection(address, timeout=60) as connection:
        key = house.http.headers["authorization"]
        head = f"{HEAD}Authorization: {key}\r\nX-Request-ID: {request_id}\r\n"
        connection.sendall(head.encode() + b"Content-Length: 9\r\n\r\n{")
        yield connection


def waiting_job(house: House) -> httpx.Response:
    """A job of a service without a worker."""
    job = house.http.post("/v1/jobs", files={"file": ("a.txt", b"I love it\n")})
    assert job.status_code == 202, job.text
    return house.http.get(f"{job.headers['location']}/result")


ANSWERED: dict[str, Callable[[House], httpx.Response]] = {
    "malformed_json": lambda house: house.send(json=None, content=b'{"text": ', headers=JSON),
    "malformed_multipart": lambda house: house.http.post(
        "/v1/image", content=b"x", headers={"content-type": "multipart/form-data; boundary=limes"}
    ),
    "unauthenticated": lambda house: with_key(house, "ms_nobody_knows"),
    "forbidden": lambda house: with_key(house, house.clerk),
    "not_found": lambda house: house.http.get("/nothing/here"),
    "method_not_allowed": lambda house: house.http.get("/v1/text"),
    "not_finished": waiting_job,
    "too_large": lambda house: house.upload(bytes(300_000)),
    "unsupported_media": lambda house: house.upload(b"Dear diary, this is only a text."),
    "invalid_input": lambda house: house.send(json={"text": 7}),
    "undecodable": lambda house: house.upload(picture()[:60]),
    "too_long": lambda house: house.send(json={"text": "a" * 101}),
    "language_unsupported": lambda house: house.send(json={**TEXT, "language": "tlh"}),
    "upgrade_required": lambda house: house.http.get("/v1/stream"),
    "rate_limited": asked_twice,
    "timed_out": never_sent,
}
"""By one request to the guarded service."""


@pytest.mark.parametrize("code", ANSWERED)
def test_a_request_gets_the_problem(house, code):
    told = problem(ANSWERED[code](house), code)
    assert told["title"] == PROBLEMS[code].title
    assert house.http.get(told["type"]).json()["code"] == code


async def test_expired(house):
    database = Database(file_url(house.state / "sentiment.db"))
    past = time.time() - 10
    times = {"created": past, "queued": past, "ended": past, "expires": past}
    job = Job(ulid(), "key:owner", "text", "done", {"options": {}}, "0" * 64, unit="files", **times)
    await JobStore(database).add(job)
    await database.close()
    problem(house.http.get(f"/v1/jobs/{job.id}/result"), "expired")


def test_cancelled(house):
    """Nobody is there to read it: it is in the log."""
    with half_asked(house, "impatient"):
        pass
    assert soon(lambda: [line["status"] for line in access_lines(house.service, "impatient")] == [499])


def test_use_restricted(at_work):
    problem(httpx.post(f"{at_work.address}/v1/image", files={"file": picture()}, timeout=60), "use_restricted")
    assert httpx.post(f"{at_work.address}/v1/text", json=TEXT, timeout=30).status_code == 200


def test_overloaded(at_work):
    """There is room for no stream."""
    problem(httpx.get(f"{at_work.address}/v1/stream", headers=UPGRADE, timeout=60), "overloaded")


def test_model_unavailable_and_not_ready_until_it_is_back(at_work):
    """A killed one is back before anybody notices, so it is stopped: that looks like one that hangs."""
    for process in workers(at_work, "text_runner"):
        process.suspend()
    told = problem(httpx.post(f"{at_work.address}/v1/text", json=TEXT, timeout=60), "model_unavailable")
    assert told["status"] == 503
    unready: list[httpx.Response] = []
    assert soon(lambda: unready.append(readiness(at_work)) or unready[-1].status_code == 503)
    problem(unready[-1], "not_ready")
    for process in workers(at_work, "text_runner"):
        process.resume()
    assert soon(lambda: readiness(at_work).status_code == 200, 120)


def test_weights_that_are_damaged_are_named_until_they_are_whole_again(at_work):
    model = default_model("text-sentiment")
    weights = at_work.log.parent / "checkout" / "models" / model.file
    whole = weights.readlink()
    weights.unlink()
    weights.write_bytes(b"damaged")
    for process in workers(at_work, "text_runner"):
        process.kill()  # whoever comes next reads the file
    damaged = f"{weights.name} is not the file that models/registry.toml names for {model.identifier}"
    cause = f"The text model cannot be loaded: {damaged}."
    unready: list[httpx.Response] = []
    assert soon(lambda: unready.append(readiness(at_work)) or cause in unready[-1].text)
    problem(unready[-1], "not_ready")
    health = httpx.get(f"{at_work.address}/health", timeout=60).json()
    assert (health["status"], health["dependencies"]["runners"]["text"]) == ("degraded", "unhealthy")
    assert cause in health["problems"]
    weights.unlink()
    weights.symlink_to(whole)
    assert soon(lambda: readiness(at_work).status_code == 200)
    assert httpx.post(f"{at_work.address}/v1/text", json=TEXT, timeout=60).status_code == 200


def test_jobs_for_which_there_is_no_worker_are_told_of_until_they_are_gone(house):
    waiting_job(house)
    assert soon(lambda: "queue" in house.unwell())
    assert house.http.get("/readyz").status_code == 200
    for job in house.http.get("/v1/jobs").json()["jobs"]:
        house.http.delete(f"/v1/jobs/{job['id']}")
    assert soon(lambda: "queue" not in house.unwell())


def linked_checkout(folder: Path) -> Path:
    """A checkout of links, whose weights can be replaced."""
    checkout = folder / "checkout"
    for path in ("service", "pyproject.toml", *(f"models/{one.name}" for one in (CHECKOUT / "models").iterdir())):
        parts = [path] if path != "models/weights" else [f"{path}/{one.name}" for one in (CHECKOUT / path).iterdir()]
        for part in parts:
            (checkout / part).parent.mkdir(parents=True, exist_ok=True)
            (checkout / part).symlink_to(CHECKOUT / part)
    return checkout


def readiness(service: RunningService) -> httpx.Response:
    return httpx.get(f"{service.address}/readyz", timeout=60)


def test_internal(at_work):
    """Somebody removed the folder of uploads."""
    shutil.rmtree(at_work.temp_folder)
    response = httpx.post(f"{at_work.address}/v1/analyze", files={"text": (None, "I love it")}, timeout=30)
    told = problem(response, "internal")
    assert str(at_work.temp_folder) not in response.text
    assert told["request_id"] in at_work.log.read_text()


def test_shutting_down(at_work):
    """The last test of this service: afterwards there is none."""
    address = ("127.0.0.1", httpx.URL(at_work.address).port)
    client = httpx.Client(base_url=at_work.address, timeout=60)
    with client as http, socket.create_connection(address, timeout=60) as held:
        assert http.get("/livez").status_code == 200
        held.sendall(HEAD.encode() + b"Content-Length: 9\r\nExpect: 100-continue\r\n\r\n")
        assert held.recv(100).startswith(b"HTTP/1.1 100 ")  # its body is waited for
        at_work.process.terminate()
        answers: list[httpx.Response] = []
        assert soon(lambda: answers.append(http.post("/v1/text", json=TEXT)) or answers[-1].status_code != 200)
        problem(answers[-1], "shutting_down")


def test_every_code_is_produced_here():
    alone = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    assert set(PROBLEMS) <= {*ANSWERED, *alone, "model_unavailable", "not_ready"}


def access_lines(service: RunningService, request_id: str) -> list[dict]:
    """What the access log says of one request."""
    lines = [line for line in service.log.read_text().splitlines() if f'"{request_id}"' in line and line[-1] == "}"]
    return [line for line in map(json.loads, lines) if line["logger"] == "service.access"]


def soon(condition: Callable[[], object], seconds: float = 60) -> bool:
    """Whether it comes true in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.2)
    return False
