"""`deployment/nginx`, run by the real nginx in front of light stand-ins."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from websockets.sync.client import connect

from deployment.facts import facts
from service.api.problems import PROBLEMS
from tests.deployment.certificates import certificate
from tests.deployment.conformance.__main__ import main as conformance
from tests.deployment.conftest import Program, run
from tests.deployment.instances import FOR_EVER, Door, Instance, instances
from tests.deployment.manifests import Change, copy_with
from tests.deployment.nginx_running import AS_ROOT, FOLDER, Front, answers, running_nginx, wait_until, written
from tests.deployment.problems_seen import assert_problem
from tests.serving import free_port, running_service

BURST = 20


@pytest.fixture
def nginx(program: Program) -> Path:
    return program("nginx")


@contextmanager
def house(nginx: Path, folder: Path, edit=lambda text: text) -> Iterator[tuple[Front, list[Instance], Instance]]:
    """nginx before three instances and a page."""
    with instances("first", "second", "third", "page") as all_four:
        *services, page = all_four
        with running_nginx(nginx, folder, [one.port for one in services], page.port, edit) as front:
            yield front, services, page


@pytest.fixture
def standing(nginx: Path, tmp_path: Path):
    with house(nginx, tmp_path) as things:
        yield things


def unlimited(text: str) -> str:
    """Without rate limits, to ask more than they allow."""
    assert text.count("limit_req zone=") == 7
    return text.replace("limit_req zone=", "# limit_req zone=")


def test_three_instances_get_equal_shares(nginx: Path, tmp_path: Path) -> None:
    with house(nginx, tmp_path, unlimited) as (front, _, _), front.client() as client:
        seen = Counter(client.get("/v1/models").json()["instance"] for _ in range(30))
    assert set(seen) == {"first", "second", "third"}
    assert max(seen.values()) - min(seen.values()) <= 3


def test_who_is_busy_gets_less(nginx: Path, tmp_path: Path) -> None:
    with house(nginx, tmp_path, unlimited) as (front, services, _), front.client() as client:
        busy = threading.Thread(target=lambda: front.client().get("/v1/models?seconds=4"))
        busy.start()
        wait_until(lambda: any(one.asked for one in services))
        (held,) = (one.name for one in services if one.asked)
        seen = Counter(client.get("/v1/models").json()["instance"] for _ in range(12))
        assert busy.is_alive()
        busy.join()
    assert held not in seen


def test_an_address_that_asks_too_often_gets_a_problem(standing) -> None:
    front, services, _ = standing
    with front.client() as client:
        answers = [client.get("/v1/models") for _ in range(3 * BURST)]
    refused = [answer for answer in answers if answer.status_code != 200]
    assert len(answers) - len(refused) >= BURST
    assert refused
    for answer in refused:
        assert_problem(answer, "rate_limited", "/v1/models")
        assert "strict-transport-security" in answer.headers
    assert sum(len(one.asked) for one in services) == len(answers) - len(refused)


def test_probes_are_never_refused(standing) -> None:
    front, _, _ = standing
    with front.client() as client:
        assert {client.get("/health").status_code for _ in range(3 * BURST)} == {200}


def test_a_look_at_the_page_is_not_too_much(standing) -> None:
    front, _, page = standing
    with front.client() as client:
        assert {client.get(f"/assets/hashed-{number:08}.js").status_code for number in range(100)} == {200}
    assert len(page.asked) == 100


def test_only_tls_1_3_is_spoken(standing) -> None:
    front, _, _ = standing
    host, port = front.address.removeprefix("https://").split(":")
    old = certificate(front.folder / "other")
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with socket.create_connection((host, int(port))) as raw, pytest.raises(ssl.SSLError, match=r"(?i)protocol.version"):
        old.wrap_socket(raw)
    with socket.create_connection((host, int(port))) as raw, front.trust.wrap_socket(raw, server_hostname=host) as wire:
        assert wire.version() == "TLSv1.3"


def test_plain_http_is_sent_to_https_and_browsers_remember_it(standing) -> None:
    front, _, _ = standing
    answer = httpx.get(f"{front.plain}/docs?a=b")
    assert (answer.status_code, answer.headers["location"]) == (308, "https://127.0.0.1/docs?a=b")
    with front.client() as client:
        for path in ("/v1/models", "/", "/assets/hashed-00000000.js", "/metrics"):
            assert client.get(path).headers.get_list("strict-transport-security") == [
                "max-age=31536000; includeSubDomains"
            ]


def test_one_instance_that_is_gone_fails_no_request(nginx: Path, tmp_path: Path) -> None:
    with house(nginx, tmp_path, unlimited) as (front, services, _), front.client() as client:
        client.get("/v1/models")
        services[0].stop()
        answers = [client.post("/v1/text", json={"text": "I love it"}) for _ in range(40)]
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.json()["instance"] for answer in answers} == {"second", "third"}


def test_an_instance_that_fails_three_times_is_left_alone(nginx: Path, tmp_path: Path) -> None:
    with house(nginx, tmp_path, unlimited) as (front, services, _), front.client() as client:
        services[0].stop()
        door = Door(services[0].port)
        answers = [client.get("/v1/models") for _ in range(40)]
        door.close()
    assert {answer.status_code for answer in answers} == {200}
    assert door.knocks == 3


def test_when_nobody_is_there_a_problem_says_when_to_come_again(standing) -> None:
    front, services, page = standing
    for one in (*services, page):
        one.stop()
    with front.client() as client:
        assert_problem(client.post("/v1/text", json={}, headers={"X-Request-ID": "mine-1"}), "not_ready", "/v1/text")
        assert_problem(client.get("/"), "not_ready", "/")


def test_what_the_service_says_of_an_error_passes_unchanged(standing) -> None:
    front, _, _ = standing
    with front.client() as client:
        answer = client.get("/v1/models?status=503")
    assert answer.status_code == 503
    assert answer.json()["path"] == "/v1/models"


def test_a_body_over_the_limit_is_refused_and_one_of_a_job_is_not(standing) -> None:
    front, services, _ = standing
    too_much = facts()["service"]["body_bytes"] + 6_000_000
    refused = announced(front, "/v1/video", too_much)
    assert refused is not None
    assert_problem(refused, "too_large", "/v1/video")
    assert announced(front, "/v1/jobs", too_much) is None  # the body is waited for
    assert [path for one in services for path in one.asked] == ["/v1/jobs"]


def announced(front: Front, path: str, length: int) -> httpx.Response | None:
    """What is answered to the head of a request with so long a body; None if nothing is within a second."""
    host, port = front.address.removeprefix("https://").split(":")
    with socket.create_connection((host, int(port))) as raw, front.trust.wrap_socket(raw, server_hostname=host) as wire:
        wire.sendall(f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n".encode())
        wire.settimeout(1)
        answer = HTTPResponse(wire)
        try:
            answer.begin()
        except TimeoutError:
            return None
        wire.settimeout(None)
        return httpx.Response(answer.status, headers=answer.getheaders(), content=answer.read())


def test_a_header_without_end_and_a_hidden_path_are_problems(standing) -> None:
    front, services, _ = standing
    with front.client() as client:
        assert_problem(client.get("/v1/models?q=" + "x" * 20_000), "too_large")
        assert_problem(client.get("/v1/models", headers={"X-Long": "x" * 20_000}), "too_large")
        assert_problem(client.get("/metrics"), "not_found", "/metrics")
        odd = client.get("/metrics", headers={"X-Request-ID": 'a"b'})
        assert_problem(odd, "not_found")
        assert odd.json()["request_id"] != 'a"b'
    assert not any(one.asked for one in services)


def test_an_instance_that_does_not_answer_in_time_is_a_problem(nginx: Path, tmp_path: Path) -> None:
    with house(nginx, tmp_path) as (front, _, _):
        text = (tmp_path / "proxy.conf").read_text()
        assert text.count("300s") == 2
        (tmp_path / "proxy.conf").write_text(text.replace("300s", "1s"))
        front.reload()
        with front.client() as client:
            assert_problem(client.get("/docs?seconds=20"), "timed_out", "/docs")


def test_a_websocket_passes_both_ways(standing) -> None:
    front, _, _ = standing
    with connect(front.address.replace("https", "wss") + "/v1/stream", ssl=front.trust, open_timeout=120) as stream:
        met = json.loads(stream.recv())
        assert met["headers"]["x-forwarded-proto"] == "https"
        stream.send("hello")
        assert stream.recv() == "hello"


def test_the_client_is_named_by_its_address_and_not_by_itself(standing) -> None:
    front, _, _ = standing
    with front.client() as client:
        seen = client.get("/v1/models", headers={"X-Forwarded-For": "6.6.6.6", "X-Request-ID": "mine-1"})
    headers = seen.json()["headers"]
    assert headers["x-forwarded-for"] == "127.0.0.1"
    assert headers["x-request-id"] == seen.headers["x-request-id"] == "mine-1"
    assert headers["host"] == front.address.removeprefix("https://")


def test_each_path_goes_to_the_service_or_to_the_page(standing) -> None:
    front, services, _ = standing
    names = {one.name for one in services}
    asked = ("/v1/models", "/v1/jobs/x", "/docs", "/docs.json", "/openapi.json", "/problems", "/problems/internal")
    with front.client() as client:
        assert {client.get(path).json()["instance"] for path in asked} <= names
        looked = ("/", "/config", "/gradio_api/info", "/theme.css", "/assets/x.js", "/login")
        assert {client.get(path).json()["instance"] for path in looked} == {"page"}


def test_what_never_changes_is_fetched_once_and_the_rest_each_time(standing) -> None:
    front, _, page = standing
    with front.client() as client:
        answers = [client.get("/assets/hashed-00000000.js") for _ in range(3)]
        assert {answer.headers["cache-control"] for answer in answers} == {FOR_EVER}
        client.get("/assets/plain.js")
        assert client.get("/assets/plain.js").headers["cache-control"] == "no-store"
    assert Counter(page.asked) == {"/assets/hashed-00000000.js": 1, "/assets/plain.js": 2}


def test_the_log_names_routes_and_neither_health_nor_anybody(standing) -> None:
    front, _, _ = standing
    with front.client() as client:
        client.get("/health")
        client.get("/v1/jobs/01secret?key=secret")
    log = front.folder / "access.log"
    wait_until(lambda: "/v1/" in log.read_text())
    *_, line = map(json.loads, log.read_text().splitlines())
    assert "/health" not in log.read_text()
    assert (line["route"], line["status"], line["method"]) == ("/v1/jobs", 200, "GET")
    assert "secret" not in log.read_text()
    assert "127.0.0.1" not in log.read_text().replace(line["instance"], "")


async def test_a_reload_under_load_fails_no_new_connection(nginx: Path, tmp_path: Path) -> None:
    with house(nginx, tmp_path, unlimited) as (front, _, _):
        stop, statuses = asyncio.Event(), Counter[int]()

        async def ask() -> None:
            while not stop.is_set():
                async with httpx.AsyncClient(base_url=front.address, verify=front.trust) as client:
                    statuses[(await client.post("/v1/text", json={})).status_code] += 1

        asking = [asyncio.create_task(ask()) for _ in range(4)]
        for _ in range(3):
            enough = statuses.total() + 20
            await asyncio.to_thread(front.reload)
            while statuses.total() < enough and not any(task.done() for task in asking):
                await asyncio.sleep(0.01)
        stop.set()
        await asyncio.gather(*asking)
    assert set(statuses) == {200}


def test_the_problems_are_those_of_the_service() -> None:
    told = [json.loads(text) for text in re.findall(r"'(\{.*\})'", (FOLDER / "problems.conf").read_text())]
    assert len(told) == 9
    for problem in told:
        kind = PROBLEMS[problem["code"]]
        assert (problem["status"], problem["title"], problem["type"]) == (
            kind.status,
            kind.title,
            f"/problems/{kind.code}",
        )


def missing(folder: Path) -> list[str]:
    """What the facts, and what was asked of nginx, want to stand in the files and does not."""
    service = facts()["service"]
    upstream = f":{service['port']} max_fails=3 fail_timeout=30s;"
    wanted = {
        "upstreams.conf": (
            *(f"server 10.0.0.{number}{upstream}" for number in (11, 12, 13)),
            f":{facts()['ui']['port']} ",
            "least_conn;",
            "keepalive 32;",
            f"keepalive_timeout {service['keep_alive_seconds'] - 5}s;",
        ),
        "nginx.conf": (
            "zone=asking:10m rate=10r/s;",
            f"limit_req zone=asking burst={BURST} nodelay;",
            f"client_max_body_size {service['body_bytes'] // 1_000_000}m;",
            "ssl_protocols TLSv1.3;",
            "max-age=31536000",
            "proxy_pass http://service;",
            f"location = {service['health']} {{\n            access_log off;",
        ),
        "proxy.conf": tuple(f"proxy_{way}_timeout {service['timeout_seconds']}s;" for way in ("read", "send")),
    }
    return [line for name, lines in wanted.items() for line in lines if line not in (folder / name).read_text()]


def test_the_numbers_are_those_of_the_facts() -> None:
    assert missing(FOLDER) == []


@pytest.mark.parametrize(
    ("file", "right", "wrong"),
    [
        ("upstreams.conf", "13:8000 max_fails=3", "13:8000 max_fails=1"),
        ("upstreams.conf", "least_conn;", "random;"),
        ("upstreams.conf", "keepalive_timeout 60s", "keepalive_timeout 70s"),
        ("nginx.conf", "rate=10r/s", "rate=100r/s"),
        ("nginx.conf", "client_max_body_size 100m", "client_max_body_size 10m"),
        ("nginx.conf", "ssl_protocols TLSv1.3", "ssl_protocols TLSv1.2 TLSv1.3"),
        ("nginx.conf", "location = /health {\n            access_log off;", "location = /health {"),
        ("proxy.conf", "proxy_read_timeout 300s", "proxy_read_timeout 60s"),
    ],
)
def test_other_numbers_are_noticed(tmp_path: Path, file: str, right: str, wrong: str) -> None:
    assert missing(copy_with(FOLDER, tmp_path / "nginx", Change(file, right, wrong))) != []


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("least_conn;", "least_con;"), ("keepalive 32;", "keepalive many;"), ("max_fails=3", "max_fail=3")],
)
def test_nginx_refuses_a_misspelt_file(nginx: Path, tmp_path: Path, right: str, wrong: str) -> None:
    certificate(tmp_path / "tls")
    file = written(tmp_path, [free_port(), free_port(), free_port()], free_port())
    check = (nginx, "-t", "-c", file, "-g", AS_ROOT)
    assert run(*check).returncode == 0, run(*check).stderr
    upstreams = (tmp_path / "upstreams.conf").read_text()
    assert right in upstreams
    (tmp_path / "upstreams.conf").write_text(upstreams.replace(right, wrong))
    assert run(*check).returncode != 0


@pytest.mark.long
def test_the_real_service_does_all_behind_it_that_it_must(nginx: Path, tmp_path: Path) -> None:
    with (
        instances("page") as (page,),
        running_service(tmp_path, trusted_proxies="127.0.0.1") as service,
        running_nginx(nginx, tmp_path, [urlsplit(service.address).port or 0], page.port) as front,
    ):
        ca = str(tmp_path / "tls" / "tls.crt")
        assert conformance([front.address, "--ca", ca, "--without", "operations", "alone", "pages", "jobs"]) == 0


def test_in_a_container_nginx_follows_who_is_ready(nginx: Path, tmp_path: Path) -> None:
    """The script that containers run; only the answers of the name server are made up."""
    port = free_port()
    first, second = (Instance(host, port, host=host) for host in ("127.0.0.2", "127.0.0.3"))
    names = tmp_path / "names"
    names.mkdir()
    (names / "getent").write_text(f"#!/bin/sh\ncat {names}/$2\n")
    (names / "getent").chmod(0o755)
    (names / "page").write_text("")
    (names / "service").write_text("127.0.0.2 STREAM service\n127.0.0.2 DGRAM\n")
    first.start()
    with followed(nginx, tmp_path, names, port) as front, front.client() as client:

        def answering() -> set[str]:
            return {allowed() for _ in range(6)}

        def allowed() -> str:
            """Who answers once the limit of an address allows it."""
            while (answer := client.get("/v1/models")).status_code == 429:
                time.sleep(0.1)
            assert answer.status_code == 200
            return answer.json()["instance"]

        wait_until(lambda: answering() == {"127.0.0.2"})
        (names / "service").write_text("127.0.0.2 STREAM service\n127.0.0.3 STREAM service\n")
        second.start()
        wait_until(lambda: answering() == {"127.0.0.2", "127.0.0.3"})
        first.ready = False  # it was told to stop, and still answers
        wait_until(lambda: answering() == {"127.0.0.3"})
        first.stop()
        assert answering() <= {"127.0.0.3"}
        second.ready = False  # the last one stays
        assert answering() <= {"127.0.0.3"}
    second.stop()


@contextmanager
def followed(nginx: Path, folder: Path, names: Path, port: int) -> Iterator[Front]:
    """`follow.sh` as a container runs it, with `names` before the PATH."""
    secure, plain = free_port(), free_port()
    trust = certificate(folder / "secrets")
    here = folder / "here"
    here.mkdir()
    file = written(here, [1, 2, 3], 4)
    text = file.read_text().replace("listen 443 ", f"listen 127.0.0.1:{secure} ")
    file.write_text(f"{AS_ROOT}\n" + text.replace("listen 80;", f"listen 127.0.0.1:{plain};"))
    shutil.copy(FOLDER / "follow.sh", here)
    for one in here.iterdir():
        one.chmod(0o444)  # as Swarm gives them
    own = {"PATH": f"{names}:{nginx.parent}:{os.environ['PATH']}", "CONF": str(folder / "conf")}
    told = {"SERVICE_PORT": str(port), "PAGE": "page", "SECRETS": str(folder / "secrets")}
    process = subprocess.Popen(["sh", here / "follow.sh"], env={**os.environ, **own, **told})
    front = Front(f"https://127.0.0.1:{secure}", f"http://127.0.0.1:{plain}", folder, trust, process)
    try:
        wait_until(lambda: answers(front))
        yield front
    finally:
        process.terminate()
        assert process.wait(20) == 0
