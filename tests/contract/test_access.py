"""Access control of really started services: two replicas that share keys, and rate limits through a real Redis.

One takes tokens of an issuer whose keys it reads over HTTP, the other tokens of a shared secret; both take API keys.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import websockets.sync.client
from websockets.exceptions import InvalidStatus

from tests.access.issuer import AUDIENCE, ED_KEY, ISSUER, RSA_KEY, SECRET, Issuer, jwk, running_issuer, token
from tests.contract.conftest import problem
from tests.jobs_running import until
from tests.redis_running import RunningRedis, running_redis
from tests.serving import CHECKOUT, RunningService, running_service

pytestmark = [pytest.mark.server, pytest.mark.redis]

TEXT = {"text": "I love it"}
ALONE, SHARED = "rate limits are counted by each process", "rate limits are shared again"
"""What a replica logs when Redis does not answer, and when it does again."""


@dataclass(frozen=True)
class House:
    """Two replicas, and what they share."""

    first: RunningService
    second: RunningService
    redis: RunningRedis
    issuer: Issuer
    keys: Path

    def command(self, *arguments: str) -> str:
        """What the command for keys prints."""
        program = (sys.executable, "-m", "service.access.keys", "--file", str(self.keys), *arguments)
        return subprocess.run(program, check=True, capture_output=True, text=True, cwd=CHECKOUT).stdout.strip()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    keys = tmp_path_factory.mktemp("keys") / "keys.json"
    with running_redis() as redis, running_issuer() as issuer:
        issuer.keys = [jwk(RSA_KEY, "rsa"), jwk(ED_KEY, "ed")]
        shared = {
            "auth": "both",
            "api_keys_file": keys,
            "limits_url": redis.url,
            "jwt_issuer": ISSUER,
            "jwt_audience": AUDIENCE,
            "protect_metrics": True,
            "cors_origins": "https://app.example",
            "transcript_model": "off",
        }
        with (
            running_service(tmp_path_factory.mktemp("first"), jwt_jwks=issuer.address, **shared) as first,
            running_service(tmp_path_factory.mktemp("second"), jwt_secret=SECRET, **shared) as second,
        ):
            # It reads the issuer's keys when it needs them first, for which it takes little time.
            until(lambda: ask(first, token("RS256", key_id="rsa")).status_code == httpx.codes.OK)
            yield House(first, second, redis, issuer, keys)


def ask(service: RunningService, credential: str | None = None, path: str = "/v1/text", **headers: str):
    if credential is not None:
        headers["Authorization"] = f"Bearer {credential}"
    if path == "/v1/text":
        return httpx.post(service.address + path, json=TEXT, headers=headers, timeout=60)
    return httpx.get(service.address + path, headers=headers, timeout=60)


def wait_for(service: RunningService, key: str, status: int) -> None:
    """The file of keys is looked at every second."""
    deadline = time.monotonic() + 60
    while ask(service, key).status_code != status:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_a_key_lets_in_until_it_is_revoked(house):
    key = house.command("create", "shop")
    wait_for(house.first, key, 200)
    problem(ask(house.first), "unauthenticated")
    problem(ask(house.first, key, "/metrics"), "forbidden")
    problem(ask(house.first, key[:-1] + "?"), "unauthenticated")
    house.command("revoke", "shop")
    wait_for(house.first, key, 401)


def test_probes_pages_and_models_are_open(house):
    for path in ("/livez", "/readyz", "/docs", "/docs.json", "/", "/problems/forbidden", "/v1/models"):
        assert ask(house.first, path=path).status_code == 200, path


def test_what_bentoml_answers_lies_behind_the_door_too(house):
    problem(ask(house.first, path="/schema.json"), "unauthenticated")
    for path in ("/predict", "/text/predict", "/static_content/x", "/v1/nothing"):
        problem(ask(house.first, path=path), "unauthenticated")


@pytest.mark.parametrize(("algorithm", "key_id"), [("RS256", "rsa"), ("EdDSA", "ed")])
def test_tokens_of_the_issuer_let_in(house, algorithm, key_id):
    assert ask(house.first, token(algorithm, key_id=key_id)).status_code == 200
    problem(ask(house.first, token(algorithm, key_id=key_id, exp=1)), "unauthenticated")
    problem(ask(house.first, token(algorithm, key_id=key_id, scope="history")), "forbidden")
    problem(ask(house.second, token(algorithm, key_id=key_id)), "unauthenticated")


def test_tokens_of_the_shared_secret_let_in_where_it_is_shared(house):
    assert ask(house.second, token("HS256")).status_code == 200
    problem(ask(house.first, token("HS256")), "unauthenticated")


def test_an_issuer_that_fails_costs_known_keys_nothing(house):
    assert ask(house.first, token("RS256", key_id="rsa")).status_code == 200
    house.issuer.status = 500
    try:
        assert ask(house.first, token("RS256", key_id="rsa")).status_code == 200
    finally:
        house.issuer.status = 200


def test_two_replicas_share_one_budget(house):
    """Where Redis was too slow meanwhile, as on a busy machine, each counted for itself, and it is tried again."""
    for name in (f"counted-{turn}" for turn in range(20)):
        shared(house)
        key, before = house.command("create", name, "--rate", "6/minute"), store_failures(house)
        for service in (house.first, house.second):
            wait_for_key(service, key)
        answers = [ask(service, key) for service in (house.first, house.second) * 4]
        if store_failures(house) == before:
            break
    assert [answer.status_code for answer in answers] == [200] * 6 + [429] * 2
    assert [answer.headers["ratelimit-remaining"] for answer in answers[:6]] == list("543210")
    for refused in answers[6:]:
        problem(refused, "rate_limited")
        assert 0 < int(refused.headers["retry-after"]) <= 60


def shared(house: House) -> None:
    """Wait until both replicas count in Redis."""
    key = house.command("create", f"patient-{time.time_ns()}", "--rate", "1000/minute")
    for service in (house.first, house.second):
        wait_for_key(service, key)
        deadline = time.monotonic() + 60
        while (log := service.log.read_text()).count(ALONE) > log.count(SHARED):
            assert time.monotonic() < deadline
            ask(service, key)
            time.sleep(0.3)


def store_failures(house: House) -> int:
    """How often a replica found Redis wanting, as both tell."""
    return sum(service.log.read_text().count(ALONE) for service in (house.first, house.second))


def wait_for_key(service: RunningService, key: str) -> None:
    """Until a replica knows the key, without spending any of its budget: a scope that it lacks is looked at first."""
    deadline = time.monotonic() + 60
    while ask(service, key, "/metrics").status_code != 403:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_requests_are_answered_while_redis_is_away_and_shared_again_when_it_is_back(house):
    shared(house)
    key = house.command("create", "patient", "--rate", "50/minute")
    wait_for_key(house.first, key)
    assert ask(house.first, key).headers["ratelimit-remaining"] == "49"
    with house.redis.frozen():
        for _ in range(5):
            answer = ask(house.first, key)
            assert answer.status_code == 200
        assert answer.headers["ratelimit-limit"] == "50"  # each replica counts for itself now
    house.redis.stop()
    assert ask(house.first, key).status_code == 200
    admin = token("RS256", key_id="rsa", scope="admin")
    assert "Redis of rate limits" in ask(house.first, admin, "/health").text
    assert ask(house.first, path="/readyz").status_code == 200
    house.redis.start()
    shared(house)
    metrics = ask(house.first, admin, "/metrics").text
    failures = [line for line in metrics.splitlines() if line.startswith("rate_limit_store_failures_total")]
    assert float(failures[0].split()[1]) >= 1


def test_metrics_and_health_are_for_the_operator(house):
    admin = token("RS256", key_id="rsa", scope="admin")
    problem(ask(house.first, path="/health"), "unauthenticated")
    assert ask(house.first, admin, "/health").json()["status"]
    assert 'auth_failures_total{reason="missing"}' in ask(house.first, admin, "/metrics").text


def test_what_this_machine_s_processes_forward_is_not_believed(house):
    answer = ask(house.first, path="/docs", **{"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.1"})
    assert "strict-transport-security" not in answer.headers
    home = ask(house.first, path="/", **{"X-Forwarded-Proto": "https"})
    assert "https://127.0.0.1" not in home.text


def test_a_listed_page_may_ask(house):
    preflight = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    answer = httpx.options(house.first.address + "/v1/text", headers=preflight, timeout=60)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "https://app.example")
    refused = ask(house.first, Origin="https://app.example")
    problem(refused, "unauthenticated")
    assert refused.headers["access-control-allow-origin"] == "https://app.example"


def stream_address(service: RunningService) -> str:
    return service.address.replace("http", "ws") + "/v1/stream"


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({}, 401),
        ({"subprotocols": ["bearer.nonsense"]}, 401),
        ({"additional_headers": {"Authorization": "Bearer nonsense"}}, 401),
        ({"origin": "https://elsewhere.example"}, 403),
    ],
)
def test_a_websocket_that_may_not_open_hears_why(house, options, status):
    with pytest.raises(InvalidStatus) as refused:
        websockets.sync.client.connect(stream_address(house.first), proxy=None, **options)
    response = refused.value.response
    assert response.status_code == status
    assert json.loads(response.body)["code"] in ("unauthenticated", "forbidden")
    assert response.headers["x-request-id"]


def test_a_browser_s_websocket_opens_with_its_token_as_a_subprotocol(house):
    offered = ["sentiment", f"bearer.{token('EdDSA', key_id='ed')}"]
    with websockets.sync.client.connect(stream_address(house.first), subprotocols=offered, proxy=None) as socket:
        assert socket.subprotocol == "sentiment"


def test_nothing_that_was_sent_is_in_the_log(house):
    log = house.first.log.read_text(errors="replace") + house.second.log.read_text(errors="replace")
    assert "ms_" not in log
    assert "eyJ" not in log  # how every token begins
    assert TEXT["text"] not in log
    assert SECRET not in log
    lines = [json.loads(line) for line in log.splitlines() if '"message":"request"' in line]
    known = {line["caller"].split(":")[0] for line in lines if "caller" in line}
    assert known == {"key", "jwt"}
    assert "alice" not in json.dumps(lines)
