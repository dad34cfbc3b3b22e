"""`deployment/envoy`, run by the real Envoy in front of light stand-ins."""

from __future__ import annotations

import copy
import json
import socket
import ssl
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import yaml
from websockets.sync.client import connect

from deployment.facts import facts
from service.api.problems import PROBLEMS
from tests.deployment.certificates import Issuer, certificate
from tests.deployment.conformance.__main__ import main as conformance
from tests.deployment.conftest import Program, run
from tests.deployment.environments import unequal
from tests.deployment.envoy_running import (
    AUDIENCE,
    FILE,
    ISSUER,
    Gateway,
    Tree,
    cluster,
    http_filter,
    manager,
    running_envoy,
)
from tests.deployment.instances import Door, Instance, instances
from tests.deployment.nginx_running import wait_until
from tests.deployment.problems_seen import assert_problem
from tests.serving import free_port, running_service

Edit = Callable[[Tree], None]
House = tuple[Gateway, list[Instance], Instance]


@pytest.fixture
def envoy(program: Program) -> Path:
    return program("envoy")


@contextmanager
def house(
    envoy: Path, folder: Path, edit: Edit = lambda tree: None
) -> Iterator[tuple[Gateway, list[Instance], Instance]]:
    """Envoy before three instances and a page; nobody counts over several Envoys."""
    with instances("first", "second", "third", "page") as all_four:
        *services, page = all_four
        with running_envoy(envoy, folder, [one.port for one in services], page.port, edit=edit) as gateway:
            yield gateway, services, page


@pytest.fixture
def standing(envoy: Path, tmp_path: Path):
    with house(envoy, tmp_path) as things:
        yield things


def asked(services: list[Instance], path: str) -> int:
    return sum(one.asked.count(path) for one in services)


def test_a_good_token_is_let_in_and_nothing_else_is(standing) -> None:
    gateway, services, _ = standing
    with gateway.client() as client:
        answer = client.post("/v1/text", json={"text": "I love it"})
    assert answer.status_code == 200
    assert answer.json()["headers"]["authorization"].startswith("Bearer ey")  # the service looks at its scopes
    forged = Issuer(ISSUER, AUDIENCE).token()
    bad = [
        {},
        {"Authorization": "Bearer nonsense"},
        {"Authorization": f"Bearer {forged}"},
        {"Authorization": f"Bearer {gateway.issuer.token(expires_seconds=-60)}"},
        {"Authorization": f"Bearer {gateway.issuer.token(aud='others')}"},
        {"Authorization": f"Bearer {gateway.issuer.token(iss='https://others.example.org/')}"},
    ]
    with gateway.anonymous() as client:
        for headers in bad:
            assert_problem(client.post("/v1/text", json={}, headers=headers), "unauthenticated", "/v1/text")
    assert asked(services, "/v1/text") == 1


def test_what_is_open_needs_no_token(standing) -> None:
    gateway, _, _ = standing
    with gateway.anonymous() as client:
        for path in ("/v1/models", "/v1/models/text/calibration", "/docs", "/openapi.json", "/problems/internal"):
            assert client.get(path).status_code == 200
        assert client.get("/v1/models/../jobs").status_code == client.get("/v1//jobs").status_code == 401
        assert client.get("/v1%2fjobs").status_code == 422


def test_each_path_goes_to_the_service_or_to_the_page(standing) -> None:
    gateway, services, _ = standing
    names = {one.name for one in services}
    with gateway.client() as client:
        assert {client.get(path).json()["instance"] for path in ("/v1/jobs/x", "/docs.json", "/problems")} <= names
        looked = ("/", "/config", "/gradio_api/info", "/assets/x.js")
        assert {client.get(path).json()["instance"] for path in looked} == {"page"}
        assert_problem(client.get("/metrics"), "not_found", "/metrics")


def test_an_address_may_ask_a_hundred_times_a_minute(standing) -> None:
    gateway, services, _ = standing
    with gateway.client() as client:
        answers = [client.get("/v1/jobs") for _ in range(140)]
        assert {client.get("/assets/x.js").status_code for _ in range(20)} == {200}
        assert {client.get("/health").status_code for _ in range(20)} == {200}
    assert [answer.status_code for answer in answers[:100]] == [200] * 100
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused  # a few more than a hundred pass: the bucket fills while it is emptied
    for answer in refused:
        assert_problem(answer, "rate_limited", "/v1/jobs")
    assert asked(services, "/v1/jobs") == len(answers) - len(refused)


def test_several_gateways_count_together(envoy: Path, tmp_path: Path) -> None:
    python, port = envoy.parent / "python", free_port()
    if run(python, "-c", "import grpc").returncode:
        pytest.skip("the stand-in of the rate limit service needs grpcio: python -m deployment.tools install envoy")
    file = yaml.safe_load((FILE.parent / "ratelimit" / "sentiment.yaml").read_text())
    (limit,) = file["descriptors"]
    assert limit["rate_limit"] == {"unit": "minute", "requests_per_unit": 100}
    script = Path(__file__).parent / "rate_limits.py"
    told = (port, limit["rate_limit"]["requests_per_unit"], file["domain"], limit["key"])
    with (
        instances("first", "second", "third", "page") as (*services, page),
        subprocess.Popen([str(word) for word in (python, script, *told)], stdout=subprocess.PIPE, text=True) as limits,
    ):
        try:
            assert limits.stdout is not None and limits.stdout.readline() == "ready\n"
            ports = [one.port for one in services]
            with (
                running_envoy(envoy, tmp_path / "one", ports, page.port, limits=port) as one,
                running_envoy(envoy, tmp_path / "other", ports, page.port, limits=port) as other,
                one.client() as here,
                other.client() as there,
            ):
                answers = [client.get("/v1/jobs") for _ in range(60) for client in (here, there)]
        finally:
            limits.terminate()
    assert Counter(answer.status_code for answer in answers) == {200: 100, 429: 20}
    for answer in answers[100:]:
        assert_problem(answer, "rate_limited", "/v1/jobs")


def test_three_instances_share_and_one_that_is_gone_fails_no_request(standing) -> None:
    gateway, services, _ = standing
    with gateway.client() as client:
        assert len({client.get("/v1/jobs").json()["instance"] for _ in range(30)}) == 3
        services[0].stop()
        answers = [client.post("/v1/text", json={"text": "I love it"}) for _ in range(30)]
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.json()["instance"] for answer in answers} == {"second", "third"}


def test_what_broke_off_is_asked_again_only_if_that_is_harmless(standing) -> None:
    gateway, services, _ = standing
    for one in services:
        one.stop()
    doors = [Door(one.port) for one in services]
    with gateway.client() as client:
        assert_problem(client.post("/v1/text", json={}), "not_ready", "/v1/text")
        posted = sum(door.knocks for door in doors)
        assert_problem(client.get("/v1/jobs"), "not_ready", "/v1/jobs")
        got = sum(door.knocks for door in doors) - posted
    for door in doors:
        door.close()
    assert (posted, got) == (1, 3)


def test_an_instance_that_fails_again_and_again_is_ejected_and_never_all(standing) -> None:
    gateway, _, _ = standing
    with gateway.client() as client:
        answers = [client.get("/v1/jobs?status=500") for _ in range(60)]
        assert gateway.count("cluster.service.outlier_detection.ejections_enforced_total") == 1
        assert gateway.count("cluster.service.outlier_detection.ejections_active") == 1
        left = {client.get("/v1/jobs").json()["instance"] for _ in range(20)}
    assert {answer.status_code for answer in answers} == {500}
    assert len(left) == 2


def often(tree: Tree) -> None:
    """Ask instances how they are every tenth of a second."""
    (check,) = cluster(tree, "service")["health_checks"]
    check["interval"] = check["no_traffic_interval"] = "0.1s"


def test_an_instance_that_says_it_is_not_ready_gets_nothing(envoy: Path, tmp_path: Path) -> None:
    with house(envoy, tmp_path, often) as (gateway, services, _), gateway.client() as client:
        services[0].ready = False
        wait_until(lambda: gateway.count("cluster.service.membership_healthy") == 2)
        assert {client.get("/v1/jobs").json()["instance"] for _ in range(20)} == {"second", "third"}
        services[0].ready = True
        wait_until(lambda: gateway.count("cluster.service.membership_healthy") == 3)


def test_a_request_that_takes_too_long_is_a_problem(envoy: Path, tmp_path: Path) -> None:
    def hurried(tree: Tree) -> None:
        for route in manager(tree)["route_config"]["virtual_hosts"][0]["routes"]:
            if route["name"] == "api":
                assert route["route"]["timeout"] == f"{facts()['service']['timeout_seconds']}s"
                route["route"]["timeout"] = "0.5s"

    with house(envoy, tmp_path, hurried) as (gateway, _, _), gateway.client() as client:
        assert_problem(client.post("/v1/text?seconds=20", json={}), "timed_out", "/v1/text")


def test_only_tls_1_3_is_spoken_and_browsers_remember_https(standing, tmp_path: Path) -> None:
    gateway, _, _ = standing
    host, port = gateway.address.removeprefix("https://").split(":")
    old = certificate(tmp_path / "other")
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with socket.create_connection((host, int(port))) as raw, pytest.raises(ssl.SSLError, match=r"(?i)protocol.version"):
        old.wrap_socket(raw)
    with gateway.client() as client:
        for path in ("/v1/jobs", "/", "/metrics"):
            kept = client.get(path).headers.get_list("strict-transport-security")
            assert kept == ["max-age=31536000; includeSubDomains"]
    assert httpx.get(f"{gateway.plain}/docs").headers["location"] == "https://127.0.0.1:443/docs"


def test_a_websocket_passes_with_its_token_in_a_header_or_a_subprotocol(standing) -> None:
    gateway, _, _ = standing
    address, token = gateway.address.replace("https", "wss") + "/v1/stream", gateway.issuer.token()
    for offered in ({"Authorization": f"Bearer {token}"}, {"Sec-WebSocket-Protocol": f"sentiment, bearer.{token}"}):
        with connect(address, ssl=gateway.trust, open_timeout=120, additional_headers=offered) as stream:
            assert json.loads(stream.recv())["headers"]["x-forwarded-proto"] == "https"
            stream.send("hello")
            assert stream.recv() == "hello"


@pytest.mark.long
def test_the_real_service_does_all_behind_it_that_it_must(envoy: Path, tmp_path: Path) -> None:
    with (
        instances("page") as (page,),
        running_service(tmp_path, trusted_proxies="127.0.0.1") as service,
        running_envoy(envoy, tmp_path, [urlsplit(service.address).port or 0] * 3, page.port) as gateway,
    ):
        ca, key = str(tmp_path / "tls" / "tls.crt"), gateway.issuer.token(expires_seconds=3600)
        without = ("operations", "alone", "pages", "jobs")
        assert conformance([gateway.address, "--ca", ca, "--key", key, "--without", *without]) == 0


def unlike_the_service_and_the_facts(tree: Tree) -> list[str]:
    """Problems and numbers that are not those of the service and of the facts."""
    return _problems(tree) + _numbers(tree)


def _problems(tree: Tree) -> list[str]:
    mappers = manager(tree)["local_reply_config"]["mappers"]
    pairs: dict[str, tuple[object, object]] = {"problems": (len(mappers), 7)}
    for mapper in mappers:
        problem = mapper["body_format_override"]["json_format"]
        kind = PROBLEMS[problem["code"]]
        told = (problem["status"], problem["title"], problem["type"], mapper.get("status_code", kind.status))
        pairs[kind.code] = (told, (kind.status, kind.title, f"/problems/{kind.code}", kind.status))
    return unequal(pairs)


def _numbers(tree: Tree) -> list[str]:
    service = facts()["service"]
    endpoints = cluster(tree, "service")["load_assignment"]["endpoints"][0]["lb_endpoints"]
    ports = [one["endpoint"]["address"]["socket_address"]["port_value"] for one in endpoints]
    (check,) = cluster(tree, "service")["health_checks"]
    routes = manager(tree)["route_config"]["virtual_hosts"][0]["routes"]
    slow = {route["name"]: route["route"]["timeout"] for route in routes if "route" in route}
    (limit,) = http_filter(tree, "local_ratelimit")["descriptors"]
    bucket = limit["token_bucket"]
    return unequal(
        {
            "ports": (ports, [service["port"]] * 3),
            "health check": (check["http_health_check"]["path"], service["ready"]),
            "time-outs": ({slow["api"], slow["api_again"]}, {f"{service['timeout_seconds']}s"}),
            "limit": ((bucket["max_tokens"], bucket["fill_interval"]), (100, "60s")),
        }
    )


def test_problems_and_numbers_are_those_of_the_service_and_the_facts() -> None:
    assert unlike_the_service_and_the_facts(yaml.safe_load(FILE.read_text())) == []


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("port_value: 8000", "port_value: 8080", "ports"),
        ("path: /readyz", "path: /livez", "health check"),
        (" timeout: 300s", " timeout: 30s", "time-outs"),
        ("max_tokens: 100,", "max_tokens: 1000,", "limit"),
        ("Too many requests", "Slow down", "rate_limited"),
    ],
)
def test_other_problems_and_numbers_are_noticed(right: str, wrong: str, said: str) -> None:
    text = FILE.read_text()
    assert right in text
    found = unlike_the_service_and_the_facts(yaml.safe_load(text.replace(right, wrong, 1)))
    assert [line.partition(":")[0] for line in found] == [said]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda tree: cluster(tree, "service").update(lb_policy="LEAST_REQUESTS"),
        lambda tree: cluster(tree, "service")["outlier_detection"].update(consecutive_5x=3),
        lambda tree: http_filter(tree, "jwt_authn")["rules"][1]["requires"].update(provider_name="nobody"),
    ],
    ids=["a value", "a name", "a reference"],
)
def test_envoy_refuses_a_misspelt_file(envoy: Path, tmp_path: Path, wrong: Edit) -> None:
    certificate(tmp_path)
    right = yaml.safe_load(FILE.read_text().replace("/etc/envoy/tls", str(tmp_path)))
    broken = copy.deepcopy(right)
    wrong(broken)
    for tree, code in ((right, 0), (broken, 1)):
        (tmp_path / "envoy.yaml").write_text(yaml.safe_dump(tree))
        found = run(envoy, "--mode", "validate", "-c", tmp_path / "envoy.yaml")
        assert found.returncode == code, found.stderr
