"""The edge with a door in it: who is let in, what the others hear, and what is written about it."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from prometheus_client import REGISTRY
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from service.access.addresses import networks
from service.access.bursts import BURST
from service.access.caller import caller_of
from service.access.configured import build_door, origins
from service.access.door import Authentication, Door
from service.access.jwks import KeySet
from service.access.key_ring import KeyRing, new_key
from service.access.rates import Rates
from service.access.tokens import Tokens
from service.api.edge import Edge
from service.api.routes import Routes
from service.settings import Settings
from tests.access.issuer import AUDIENCE, ISSUER, token

ANALYZE, ANALYZE_RECORD = new_key("shop", ["analyze"])
HISTORY, HISTORY_RECORD = new_key("office", ["history"])
ADMIN, ADMIN_RECORD = new_key("operator", ["admin"])
FAST, FAST_RECORD = new_key("crawler", ["analyze"], rate="50/minute")
RING = KeyRing([ANALYZE_RECORD, HISTORY_RECORD, ADMIN_RECORD, FAST_RECORD])


async def who(request) -> JSONResponse:
    return JSONResponse({"caller": caller_of(request.scope).name, "peer": request.scope["client"][0]})


async def read(request) -> JSONResponse:
    return JSONResponse({"bytes": len(await request.body())})


async def page(request) -> HTMLResponse:
    return HTMLResponse("<p>", headers={"content-security-policy": "default-src 'self'"})


async def talk(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_json({"caller": caller_of(socket.scope).name, "offered": socket.scope["subprotocols"]})
    await socket.close()


async def leave_and_stumble(socket: WebSocket) -> None:
    await socket.accept()
    await socket.close(1000)
    raise ZeroDivisionError("a secret")


async def stumble(socket: WebSocket) -> None:
    await socket.accept()
    raise ZeroDivisionError("a secret")


def edge_of(settings: Settings, door: Door | None = None) -> Edge:
    found = ("/v1/who", "/v1/history", "/v1/models", "/metrics", "/livez")
    ours = Starlette(
        routes=[
            *(Route(path, who) for path in found),
            Route("/v1/read", read, methods=["POST"]),
            Route("/docs", page),
            WebSocketRoute("/v1/stream", talk),
            WebSocketRoute("/v1/stumble", stumble),
            WebSocketRoute("/v1/leave", leave_and_stumble),
        ]
    )
    ours.build_middleware_stack = lambda: ours.router
    rest = Starlette(routes=[Route("/schema.json", lambda _: PlainTextResponse("theirs"))])
    return Edge(Routes(ours, {}), rest, settings, door=door)


def keys_door(rate: str | None = None, **changed: Any) -> Door:
    return Door(Authentication(RING, None), Rates(rate), **changed)


def client_of(edge: Edge, peer: str = "198.51.100.7", **headers: str) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(edge, raise_app_exceptions=False, client=(peer, 4000))
    return httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers)


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def problem(response: httpx.Response, code: str) -> dict:
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["code"] == code, response.text
    assert response.headers["x-request-id"] == response.json()["request_id"]
    return response.json()


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


@pytest.fixture
async def speak(settings) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(edge_of(settings, keys_door())) as speaking:
        yield speaking


async def test_without_a_key_one_hears_what_to_send(speak):
    before = counted("auth_failures_total", reason="missing")
    response = await speak.get("/v1/who")
    assert "X-API-Key" in problem(response, "unauthenticated")["detail"]
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == 'Bearer realm="multimodal-sentiment"'
    assert counted("auth_failures_total", reason="missing") == before + 1


async def test_a_key_that_is_not_known_is_told_apart_from_none(speak):
    response = await speak.get("/v1/who", headers=bearer("ms_aaaaaaaaaa_bbbb"))
    problem(response, "unauthenticated")
    assert 'error="invalid_token"' in response.headers["www-authenticate"]


@pytest.mark.parametrize("headers", [bearer(ANALYZE), {"X-API-Key": ANALYZE}])
async def test_a_good_key_is_let_in_and_its_caller_is_known_inside(speak, headers):
    assert (await speak.get("/v1/who", headers=headers)).json()["caller"] == "key:shop"


async def test_a_scope_that_lacks_is_named(speak):
    response = await speak.get("/v1/history", headers=bearer(ANALYZE))
    assert "`history`" in problem(response, "forbidden")["detail"]
    assert response.status_code == 403
    assert 'scope="history"' in response.headers["www-authenticate"]
    assert (await speak.get("/v1/history", headers=bearer(HISTORY))).status_code == 200


async def test_admin_includes_every_scope(speak):
    for path in ("/v1/who", "/v1/history"):
        assert (await speak.get(path, headers=bearer(ADMIN))).status_code == 200


async def test_what_is_open_needs_no_key_and_knows_nobody(speak):
    for path in ("/v1/models", "/metrics", "/livez"):
        assert (await speak.get(path)).json()["caller"] == "nobody"
        assert (await speak.get(path, headers=bearer("nonsense"))).status_code == 200


async def test_metrics_can_be_kept_for_admin(settings):
    async with client_of(edge_of(settings, keys_door(protect_metrics=True))) as speak:
        problem(await speak.get("/metrics"), "unauthenticated")
        problem(await speak.get("/metrics", headers=bearer(ANALYZE)), "forbidden")
        assert (await speak.get("/metrics", headers=bearer(ADMIN))).status_code == 200
        assert (await speak.get("/livez")).status_code == 200


async def test_what_does_not_exist_is_told_to_known_callers_alone(speak):
    problem(await speak.get("/v1/nothing"), "unauthenticated")
    problem(await speak.get("/v1/nothing", headers=bearer(HISTORY)), "not_found")


async def test_what_the_framework_answers_lies_behind_the_same_door(speak):
    problem(await speak.get("/schema.json"), "unauthenticated")
    assert (await speak.get("/schema.json", headers=bearer(ANALYZE))).text == "theirs"


async def test_no_route_hears_of_somebody_unknown(settings):
    edge = edge_of(settings, keys_door())
    asked = []

    async def route(scope, receive, send):
        asked.append(caller_of(scope).name)
        await JSONResponse({})(scope, receive, send)

    edge._routes._hot["POST", "/v1/text"] = route
    async with client_of(edge) as speak:
        problem(await speak.post("/v1/text", content=b"x" * 100_000), "unauthenticated")
        assert asked == []
        assert (await speak.post("/v1/text", headers=bearer(ANALYZE))).status_code == 200
        assert asked == ["key:shop"]


async def test_keys_that_can_t_be_read_are_no_fault_of_the_token(settings):
    async def read() -> bytes:
        raise OSError("no route to host")

    door = Door(Authentication(None, Tokens(KeySet(read, 30), ISSUER, AUDIENCE, 10)))
    async with client_of(edge_of(settings, door)) as speak:
        response = await speak.get("/v1/who", headers=bearer(token("RS256", key_id="r")))
    problem(response, "not_ready")
    assert int(response.headers["retry-after"]) >= 1


async def test_the_budget_is_told_on_every_answer_and_then_refused(settings):
    before = counted("rate_limited_total")
    async with client_of(edge_of(settings, Door(rates=Rates("3/minute")))) as speak:
        answers = [await speak.get("/v1/who") for _ in range(2)] + [await speak.get("/v1/nothing")]
        assert [answer.headers["ratelimit-remaining"] for answer in answers] == ["2", "1", "0"]
        refused = await speak.get("/v1/who")
    assert problem(refused, "rate_limited")["status"] == 429
    assert refused.headers["ratelimit-limit"] == "3"
    assert refused.headers["ratelimit-policy"] == "3;w=60"
    assert 0 < int(refused.headers["retry-after"]) <= 60
    assert counted("rate_limited_total") == before + 1


async def test_probes_are_never_counted(settings):
    async with client_of(edge_of(settings, Door(rates=Rates("1/minute")))) as speak:
        for _ in range(5):
            answer = await speak.get("/livez")
            assert answer.status_code == 200
            assert "ratelimit-limit" not in answer.headers


async def test_callers_have_budgets_of_their_own_wherever_they_come_from(settings):
    edge = edge_of(settings, keys_door("1/minute"))
    async with client_of(edge) as here, client_of(edge, peer="203.0.113.9") as there:
        assert (await here.get("/v1/who", headers=bearer(ANALYZE))).status_code == 200
        problem(await there.get("/v1/who", headers=bearer(ANALYZE)), "rate_limited")
        assert (await here.get("/v1/who", headers=bearer(ADMIN))).status_code == 200
        fast = await here.get("/v1/who", headers=bearer(FAST))
        assert fast.headers["ratelimit-limit"] == "50"


async def test_trying_keys_out_has_a_limit_too(settings):
    async with client_of(edge_of(settings, keys_door("5/minute"))) as speak:
        answers = [await speak.get("/v1/who", headers=bearer(f"ms_{number}")) for number in range(8)]
    assert [answer.status_code for answer in answers] == [401] * 5 + [429] * 3


async def test_addresses_behind_a_trusted_proxy_are_told_apart_and_made_up_ones_are_not_believed(settings):
    door = Door(rates=Rates("1/minute"), trusted=networks("10.0.0.0/8"))
    edge = edge_of(settings, door)
    async with client_of(edge, peer="10.0.0.1") as proxy, client_of(edge, peer="198.51.100.7") as liar:
        for address in ("203.0.113.1", "203.0.113.2"):
            answer = await proxy.get("/v1/who", headers={"X-Forwarded-For": address})
            assert answer.json()["peer"] == address
        problem(await proxy.get("/v1/who", headers={"X-Forwarded-For": "9.9.9.9, 203.0.113.1"}), "rate_limited")
        assert (await liar.get("/v1/who", headers={"X-Forwarded-For": "203.0.113.7"})).status_code == 200
        problem(await liar.get("/v1/who", headers={"X-Forwarded-For": "203.0.113.8"}), "rate_limited")


async def test_every_answer_has_the_security_headers_and_pages_keep_their_policy(settings):
    async with client_of(edge_of(settings)) as speak:
        for path in ("/v1/who", "/v1/nothing", "/schema.json", "/docs"):
            headers = (await speak.get(path)).headers
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
            assert "strict-transport-security" not in headers
            page = path == "/docs"
            assert headers["content-security-policy"].startswith(
                "default-src 'self'" if page else "default-src 'none'; frame-ancestors 'none'"
            )


async def test_https_by_a_trusted_proxy_asks_for_https_from_now_on(settings):
    edge = edge_of(settings, Door(trusted=networks("10.0.0.0/8")))
    for peer, told in (("10.0.0.1", True), ("198.51.100.7", False)):
        async with client_of(edge, peer=peer) as speak:
            answer = await speak.get("/v1/who", headers={"X-Forwarded-Proto": "https"})
            assert ("strict-transport-security" in answer.headers) is told


PREFLIGHT = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}


async def test_pages_of_other_origins_may_not_ask_unless_they_are_listed(settings):
    async with client_of(edge_of(settings)) as speak:
        for answer in (
            await speak.get("/v1/who", headers=PREFLIGHT),
            await speak.options("/v1/who", headers=PREFLIGHT),
        ):
            assert not any(name.startswith("access-control") for name in answer.headers)
        problem(answer, "method_not_allowed")


async def test_listed_pages_may_ask_and_read_problems_too(settings):
    opened = settings.model_copy(update={"cors_origins": "https://app.example, https://other.example"})
    async with client_of(edge_of(opened, keys_door(origins=origins(opened)))) as speak:
        preflight = await speak.options(
            "/v1/read", headers={**PREFLIGHT, "Access-Control-Request-Headers": "authorization,content-type"}
        )
        assert preflight.status_code == 200
        assert preflight.headers["access-control-allow-origin"] == "https://app.example"
        assert preflight.headers["x-request-id"]
        refused = await speak.post("/v1/read", headers={"Origin": "https://app.example"})
        problem(refused, "unauthenticated")
        assert refused.headers["access-control-allow-origin"] == "https://app.example"
        assert "RateLimit-Remaining" in refused.headers["access-control-expose-headers"]
        assert "access-control-allow-credentials" not in refused.headers


ELSEWHERE = [
    {"Origin": "https://app.example"},
    {"Origin": "null"},
    {"Origin": "https://app.example", "Sec-Fetch-Site": "cross-site"},
    {"Origin": "http://test:9000", "Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site"},
]


@pytest.mark.parametrize("headers", ELSEWHERE)
async def test_a_page_of_another_origin_sends_nothing_and_only_reads_what_it_may_not_see(settings, headers):
    async with client_of(edge_of(settings)) as speak:
        refused = await speak.post("/v1/read", content=b"a", headers=headers)
        assert refused.status_code == 403 and "SENTIMENT_CORS_ORIGINS" in problem(refused, "forbidden")["detail"]
        problem(await speak.delete("/v1/history", headers=headers), "forbidden")
        assert (await speak.get("/v1/who", headers=headers)).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://test"},
        {"Origin": "https://public.example", "Sec-Fetch-Site": "same-origin"},  # a proxy in front sends another Host
        {"Sec-Fetch-Site": "none"},
    ],
)
async def test_programs_and_the_service_s_own_pages_may_send(settings, headers):
    async with client_of(edge_of(settings)) as speak:
        assert (await speak.post("/v1/read", content=b"a", headers=headers)).json() == {"bytes": 1}


async def test_a_listed_page_may_send(settings):
    opened = settings.model_copy(update={"cors_origins": "https://app.example"})
    async with client_of(edge_of(opened, build_door(opened))) as speak:
        headers = {"Origin": "https://app.example", "Sec-Fetch-Site": "cross-site"}
        assert (await speak.post("/v1/read", content=b"a", headers=headers)).status_code == 200
        problem(await speak.post("/v1/read", content=b"a", headers={"Origin": "https://b.example"}), "forbidden")


async def test_on_loopback_a_name_that_a_stranger_could_own_is_none_of_ours(settings):
    """DNS rebinding: the stranger's name leads to 127.0.0.1, and the browser takes the service for his page."""
    edge = edge_of(settings, build_door(settings))
    async with client_of(edge) as speak:
        for host in ("evil.example:8000", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "a.b."):
            refused = await speak.get("/v1/who", headers={"Host": host, "Origin": f"http://{host}"})
            assert "SENTIMENT_ALLOWED_HOSTS" in problem(refused, "forbidden")["detail"]
            assert (await Connection(host=host, origin=f"http://{host}").run(edge))[0]["status"] == 403
        for host in ("127.0.0.1:8000", "[::1]:8000", "localhost:8000", "LOCALHOST", "app.localhost", "instances", ""):
            assert (await speak.get("/v1/who", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize(
    "changed",
    [
        {"Origin": "https://app.example.evil"},
        {"Access-Control-Request-Method": "PUT"},
        {"Access-Control-Request-Headers": "x-odd"},
    ],
)
async def test_a_preflight_for_more_than_is_allowed_is_a_problem(settings, changed):
    opened = settings.model_copy(update={"cors_origins": "https://app.example"})
    async with client_of(edge_of(opened)) as speak:
        answer = await speak.options("/v1/who", headers={**PREFLIGHT, **changed})
    problem(answer, "method_not_allowed")


async def test_the_access_line_names_the_key_s_id_and_nothing_that_was_sent(speak, caplog):
    logger = logging.getLogger("service.access")
    with caplog.at_level(logging.INFO, "service.access"):
        logger.addHandler(caplog.handler)
        try:
            await speak.post("/v1/read?text=private-words", content=b"private-words", headers=bearer(ANALYZE))
            await speak.get("/v1/private-words", headers=bearer("private-words"))
        finally:
            logger.removeHandler(caplog.handler)
    lines = [record.fields for record in caplog.records if record.getMessage() == "request"]
    assert lines[0]["caller"] == f"key:{ANALYZE_RECORD.id}"
    assert lines[0]["endpoint"] == "/v1/read"
    assert lines[-1]["status"] == 401 and "caller" not in lines[-1]
    text = json.dumps(lines)
    for secret in ("private-words", ANALYZE, ANALYZE.split("_", 2)[2], "198.51.100.7"):
        assert secret not in text


async def test_a_burst_of_refusals_is_counted_once_without_a_client_s_name(speak):
    before = counted("client_anomalies_total", kind="unauthenticated")
    for _ in range(BURST + 3):
        await speak.get("/v1/who")
    assert counted("client_anomalies_total", kind="unauthenticated") == before + 1


class Connection:
    """A WebSocket as a server holds it."""

    def __init__(
        self, path: str = "/v1/stream", *, answers: bool = True, offered: tuple[str, ...] = (), **headers: str
    ):
        raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        self.scope: dict[str, Any] = {
            "type": "websocket",
            "path": path,
            "headers": [(b"host", b"test"), *raw],
            "query_string": b"",
            "client": ("198.51.100.7", 4000),
            "subprotocols": list(offered),
            "extensions": {"websocket.http.response": {}} if answers else {},
        }
        self.sent: list[dict[str, Any]] = []

    async def run(self, edge: Edge) -> list[dict[str, Any]]:
        """Everything that the edge sent."""
        await edge(self.scope, self._receive, self._send)
        return self.sent

    async def _receive(self) -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def _send(self, message: Any) -> None:
        self.sent.append(message)


async def test_a_websocket_without_a_key_is_refused_before_it_opens(settings):
    start, body = await Connection().run(edge_of(settings, keys_door()))
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 401)
    assert json.loads(body["body"])["code"] == "unauthenticated"
    assert b"www-authenticate" in dict(start["headers"])
    assert dict(start["headers"])[b"x-request-id"]


@pytest.mark.parametrize(("key", "code"), [("nonsense", 4401), (HISTORY, 4403)])
async def test_where_a_handshake_can_t_be_answered_a_code_says_it(settings, key, code):
    sent = await Connection(answers=False, authorization=f"Bearer {key}").run(edge_of(settings, keys_door()))
    assert [message["type"] for message in sent] == ["websocket.accept", "websocket.close"]
    assert sent[1]["code"] == code
    assert sent[1]["reason"]


async def test_websockets_count_too(settings):
    edge = edge_of(settings, Door(rates=Rates("1/minute")))
    assert (await Connection().run(edge))[0]["type"] == "websocket.accept"
    assert (await Connection().run(edge))[0]["status"] == 429
    assert (await Connection(answers=False).run(edge))[1]["code"] == 4429


async def test_a_header_lets_a_websocket_in(settings):
    sent = await Connection(x_api_key=ANALYZE).run(edge_of(settings, keys_door()))
    assert json.loads(sent[1]["text"]) == {"caller": "key:shop", "offered": []}


async def test_a_browser_sends_its_key_as_a_subprotocol_which_is_not_repeated(settings):
    connection = Connection(offered=("sentiment", f"bearer.{ANALYZE}"), origin="http://test")
    sent = await connection.run(edge_of(settings, keys_door()))
    assert sent[0]["subprotocol"] == "sentiment"
    assert json.loads(sent[1]["text"]) == {"caller": "key:shop", "offered": ["sentiment"]}


async def test_pages_of_other_origins_open_no_websocket_unless_they_are_listed(settings):
    for origin in ("https://app.example", "null", "", "http://[", "http://test.evil", "test"):
        refused = await Connection(origin=origin).run(edge_of(settings))
        assert refused[0]["status"] == 403
    door = build_door(settings.model_copy(update={"cors_origins": "https://app.example"}))
    assert (await Connection(origin="https://app.example").run(edge_of(settings, door)))[0][
        "type"
    ] == "websocket.accept"


async def test_an_error_in_an_open_websocket_closes_it_and_says_nothing(settings):
    sent = await Connection("/v1/stumble").run(edge_of(settings))
    assert sent[-1]["type"] == "websocket.close"
    assert sent[-1]["code"] == 1011
    assert "secret" not in str(sent)


async def test_an_error_after_the_end_ends_it_no_second_time(settings):
    sent = await Connection("/v1/leave").run(edge_of(settings))
    assert [message["type"] for message in sent] == ["websocket.accept", "websocket.close"]
    assert sent[-1]["code"] == 1000
