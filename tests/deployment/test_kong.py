"""`deployment/kong` against a schema for the part that it uses, and against nginx and Envoy, which are run for real."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from deployment.facts import facts
from service.api.problems import PROBLEMS
from tests.deployment import envoy_running as envoy
from tests.deployment import nginx_running as nginx
from tests.serving import CHECKOUT

FOLDER = CHECKOUT / "deployment" / "kong"
KONG: dict[str, Any] = yaml.safe_load((FOLDER / "kong.yaml").read_text())
ENVOY = yaml.safe_load(envoy.FILE.read_text())
NGINX = (nginx.FOLDER / "nginx.conf").read_text()
UPSTREAMS = (nginx.FOLDER / "upstreams.conf").read_text()
PATHS = (
    "/",
    "/config",
    "/assets/a-12345678.js",
    "/gradio_api/info",
    "/login",
    "/docsx",
    "/healthz",
    "/v2/text",
    "/problems/internal/more",
    "/docs",
    "/docs.json",
    "/openapi.json",
    "/schema.json",
    "/problems",
    "/problems/too_large",
    "/health",
    "/livez",
    "/readyz",
    "/metrics",
    "/v1/text",
    "/v1/audio",
    "/v1/analyze",
    "/v1/stream",
    "/v1/jobs",
    "/v1/jobs/01/events",
    "/v1/history",
    "/v1/history/export",
    "/v1/models",
    "/v1/models/text/calibration",
    "/v1/models/text/else",
    "/v1/modelsx",
)

validator = Draft202012Validator(json.loads((FOLDER / "schema.json").read_text()))


def route_of(path: str) -> dict[str, Any]:
    """Kong's route of a path: regular expressions by priority, then the longest prefix."""
    found = []
    for service in KONG["services"]:
        for route in service["routes"]:
            for one in route["paths"]:
                if one.startswith("~") and re.match(one[1:], path):
                    found.append(((1, route.get("regex_priority", 0)), service, route))
                elif path.startswith(one):
                    found.append(((0, len(one)), service, route))
    _, service, route = max(found, key=lambda each: each[0])
    return {**route, "service": service["name"]}


def plugin(route: dict[str, Any], name: str) -> dict[str, Any] | None:
    """The configuration of a route's plugin."""
    return next((one["config"] for one in route.get("plugins", ()) if one["name"] == name), None)


def by_kong(path: str) -> str:
    route = route_of(path)
    return "hidden" if plugin(route, "request-termination") else route["service"]


def by_envoy(path: str) -> str:
    for route in envoy.manager(ENVOY)["route_config"]["virtual_hosts"][0]["routes"]:
        match = route["match"]
        fits = (
            path == match.get("path")
            or ("prefix" in match and path.startswith(match["prefix"]))
            or ("safe_regex" in match and re.fullmatch(match["safe_regex"]["regex"], path))
        )
        if fits and not match.get("headers"):
            return "hidden" if "direct_response" in route else route["route"]["cluster"]
    raise AssertionError(path)


def by_nginx(path: str) -> str:
    """nginx's choice: the same path, then the first regular expression, then the longest prefix."""
    blocks = re.findall(r"location (=|~|) ?(/\S*|\^\S*) \{(.*?)\n        \}", NGINX, re.DOTALL)
    assert len(blocks) == 10
    same = [body for how, text, body in blocks if how == "=" and text == path]
    fits = [body for how, text, body in blocks if how == "~" and re.search(text, path)]
    starts = [(len(text), body) for how, text, body in blocks if not how and path.startswith(text)]
    body = (same or fits or [max(starts)[1]])[0]
    return "hidden" if "return 404" in body else re.findall(r"proxy_pass http://(\w+);", body)[0]


def test_the_file_fits_the_schema() -> None:
    assert [error.message for error in validator.iter_errors(KONG)] == []


@pytest.mark.parametrize(
    "wrong",
    [
        lambda kong: kong["upstreams"][0].update(algoritm="least-connections"),
        lambda kong: kong["upstreams"][0].update(algorithm="least_conn"),
        lambda kong: kong["services"][0].update(read_timeout="300s"),
        lambda kong: kong["services"][0]["routes"][1].update(path=["/docs"]),
        lambda kong: kong["services"][0]["routes"][2]["plugins"][0]["config"].update(minutes=100),
        lambda kong: kong["services"][0]["routes"][2]["plugins"][1].update(name="jwts"),
        lambda kong: kong["consumers"][0]["jwt_secrets"][0].pop("rsa_public_key"),
    ],
)
def test_a_misspelt_file_does_not(wrong: Callable[[dict[str, Any]], None]) -> None:
    kong = copy.deepcopy(KONG)
    wrong(kong)
    assert list(validator.iter_errors(kong))


@pytest.mark.parametrize("path", PATHS)
def test_each_path_goes_where_nginx_and_envoy_send_it(path: str) -> None:
    assert by_kong(path) == by_envoy(path) == by_nginx(path)


@pytest.mark.parametrize("path", PATHS)
def test_the_same_paths_need_a_token_as_at_envoy(path: str) -> None:
    def fits(match: dict[str, Any]) -> bool:
        regex = match.get("safe_regex", {}).get("regex")
        return (
            path == match.get("path")
            or bool(regex and re.fullmatch(regex, path))
            or ("prefix" in match and path.startswith(match["prefix"]))
        )

    rules = envoy.http_filter(ENVOY, "jwt_authn")["rules"]
    rule = next((rule for rule in rules if fits(rule["match"])), {})
    assert bool(plugin(route_of(path), "jwt")) == ("requires" in rule)


@pytest.mark.parametrize("path", PATHS)
def test_the_same_paths_are_counted_as_at_envoy(path: str) -> None:
    (limits,) = envoy.http_filter(ENVOY, "local_ratelimit")["rate_limits"]
    counted = limits["actions"][0]["header_value_match"]["headers"][0]["string_match"]["safe_regex"]["regex"]
    if by_envoy(path) == "service":
        assert bool(plugin(route_of(path), "rate-limiting")) == bool(re.fullmatch(counted, path))


def test_the_limits_are_those_of_envoy_and_nginx() -> None:
    (bucket,) = envoy.http_filter(ENVOY, "local_ratelimit")["descriptors"]
    every = [plugin(route, "rate-limiting") for service in KONG["services"] for route in service["routes"]]
    assert {one["minute"] for one in every if one} == {bucket["token_bucket"]["max_tokens"]} == {100}
    sizes = {path: plugin(route_of(path), "request-size-limiting") for path in ("/v1/video", "/v1/jobs")}
    assert [size and size["allowed_payload_size"] for size in sizes.values()] == [100, 4000]
    assert sorted(map(int, re.findall(r"client_max_body_size (\d+)m;", NGINX))) == [100, 4000]
    for service in KONG["services"]:
        assert service["read_timeout"] == service["write_timeout"] == 1000 * facts()["service"]["timeout_seconds"]


def test_the_upstreams_are_those_of_nginx_and_envoy() -> None:
    targets = {one["name"]: [target["target"] for target in one["targets"]] for one in KONG["upstreams"]}
    kong = targets["service.upstream"] + targets["page.upstream"]
    assert kong == re.findall(r"server (\S+) ", UPSTREAMS)
    addresses = [
        one["endpoint"]["address"]["socket_address"]
        for name in ("service", "page")
        for one in envoy.cluster(ENVOY, name)["load_assignment"]["endpoints"][0]["lb_endpoints"]
    ]
    assert kong == [f"{one['address']}:{one['port_value']}" for one in addresses]
    service, page = KONG["upstreams"]
    assert service["healthchecks"]["active"]["http_path"] == facts()["service"]["ready"]
    assert page["healthchecks"]["active"]["http_path"] == facts()["ui"]["health"]
    assert (service["algorithm"], "least_conn;" in UPSTREAMS) == ("least-connections", True)
    assert service["healthchecks"]["passive"]["unhealthy"]["tcp_failures"] == 3


def test_what_is_hidden_is_a_problem() -> None:
    said = plugin(route_of("/metrics"), "request-termination")
    assert said is not None
    problem, kind = json.loads(said["body"]), PROBLEMS["not_found"]
    assert (problem["code"], problem["title"], problem["status"]) == ("not_found", kind.title, said["status_code"])
