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
from tests.deployment.environments import unequal
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


Kong = dict[str, Any]


def route_of(path: str, kong: Kong) -> dict[str, Any]:
    """Kong's route of a path: regular expressions by priority, then the longest prefix."""
    found = []
    for service in kong["services"]:
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


def by_kong(path: str, kong: Kong) -> str:
    route = route_of(path, kong)
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


def led_elsewhere(kong: Kong) -> list[str]:
    """Paths that go elsewhere than nginx and Envoy send them."""
    return [path for path in PATHS if not by_kong(path, kong) == by_envoy(path) == by_nginx(path)]


def guarded_otherwise(kong: Kong) -> list[str]:
    """Paths that need a token here or at Envoy, and not at the other."""

    def fits(match: dict[str, Any], path: str) -> bool:
        regex = match.get("safe_regex", {}).get("regex")
        return (
            path == match.get("path")
            or bool(regex and re.fullmatch(regex, path))
            or ("prefix" in match and path.startswith(match["prefix"]))
        )

    rules = envoy.http_filter(ENVOY, "jwt_authn")["rules"]
    needed = {path: next((rule for rule in rules if fits(rule["match"], path)), {}) for path in PATHS}
    return [path for path in PATHS if bool(plugin(route_of(path, kong), "jwt")) != ("requires" in needed[path])]


def counted_otherwise(kong: Kong) -> list[str]:
    """Paths of the service that are counted here or at Envoy, and not at the other."""
    (limits,) = envoy.http_filter(ENVOY, "local_ratelimit")["rate_limits"]
    counted = limits["actions"][0]["header_value_match"]["headers"][0]["string_match"]["safe_regex"]["regex"]
    return [
        path
        for path in PATHS
        if by_envoy(path) == "service"
        and bool(plugin(route_of(path, kong), "rate-limiting")) != bool(re.fullmatch(counted, path))
    ]


def limited_otherwise(kong: Kong) -> list[str]:
    """Limits that are not those of Envoy, nginx and the facts."""
    (bucket,) = envoy.http_filter(ENVOY, "local_ratelimit")["descriptors"]
    every = [plugin(route, "rate-limiting") for service in kong["services"] for route in service["routes"]]
    sizes = [plugin(route_of(path, kong), "request-size-limiting") for path in ("/v1/video", "/v1/jobs")]
    seconds = {service[f"{way}_timeout"] for service in kong["services"] for way in ("read", "write")}
    return unequal(
        {
            "a minute": ({one["minute"] for one in every if one}, {bucket["token_bucket"]["max_tokens"]}),
            "as was asked for": (bucket["token_bucket"]["max_tokens"], 100),
            "bodies": (
                [size and size["allowed_payload_size"] for size in sizes],
                sorted(map(int, re.findall(r"client_max_body_size (\d+)m;", NGINX))),
            ),
            "time-outs": (seconds, {1000 * facts()["service"]["timeout_seconds"]}),
        }
    )


def other_upstreams(kong: Kong) -> list[str]:
    """Upstreams that are not those of nginx and Envoy, and how they are watched."""
    targets = {one["name"]: [target["target"] for target in one["targets"]] for one in kong["upstreams"]}
    ours = targets["service.upstream"] + targets["page.upstream"]
    addresses = [
        one["endpoint"]["address"]["socket_address"]
        for name in ("service", "page")
        for one in envoy.cluster(ENVOY, name)["load_assignment"]["endpoints"][0]["lb_endpoints"]
    ]
    service, page = kong["upstreams"]
    return unequal(
        {
            "nginx": (ours, re.findall(r"server (\S+) ", UPSTREAMS)),
            "Envoy": (ours, [f"{one['address']}:{one['port_value']}" for one in addresses]),
            "ready": (service["healthchecks"]["active"]["http_path"], facts()["service"]["ready"]),
            "page": (page["healthchecks"]["active"]["http_path"], facts()["ui"]["health"]),
            "balance": ((service["algorithm"], "least_conn;" in UPSTREAMS), ("least-connections", True)),
            "failures": (service["healthchecks"]["passive"]["unhealthy"]["tcp_failures"], 3),
        }
    )


def hidden_otherwise(kong: Kong) -> list[str]:
    """What is hidden is not answered by a problem of the service."""
    said = plugin(route_of("/metrics", kong), "request-termination")
    if said is None:
        return ["/metrics is not hidden"]
    problem, kind = json.loads(said["body"]), PROBLEMS["not_found"]
    told = (problem["code"], problem["title"], problem["status"])
    return unequal({"/metrics": (told, ("not_found", kind.title, said["status_code"]))})


COMPARED = (led_elsewhere, guarded_otherwise, counted_otherwise, limited_otherwise, other_upstreams, hidden_otherwise)


@pytest.mark.parametrize("compare", COMPARED)
def test_it_is_like_nginx_and_envoy(compare: Callable[[Kong], list[str]]) -> None:
    assert compare(KONG) == []


def without(kong: Kong, path: str, name: str) -> None:
    """Take a plugin from the route of a path."""
    route = route_of(path, kong)["plugins"]
    route[:] = [one for one in route if one["name"] != name]


def upstream(kong: Kong) -> dict[str, Any]:
    return kong["upstreams"][0]


def test_it_is_seen_where_it_is_not() -> None:
    changes: tuple[tuple[Callable[[Kong], list[str]], Callable[[Kong], Any]], ...] = (
        (led_elsewhere, lambda kong: without(kong, "/metrics", "request-termination")),
        (guarded_otherwise, lambda kong: without(kong, "/v1/text", "jwt")),
        (counted_otherwise, lambda kong: without(kong, "/v1/text", "rate-limiting")),
        (limited_otherwise, lambda kong: (plugin(route_of("/v1/text", kong), "rate-limiting") or {}).update(minute=99)),
        (limited_otherwise, lambda kong: kong["services"][0].update(read_timeout=60_000)),
        (other_upstreams, lambda kong: upstream(kong)["targets"].pop()),
        (other_upstreams, lambda kong: upstream(kong)["healthchecks"]["active"].update(http_path="/health")),
        (hidden_otherwise, lambda kong: without(kong, "/metrics", "request-termination")),
    )
    for compare, change in changes:
        kong = copy.deepcopy(KONG)
        change(kong)
        assert compare(kong), compare.__name__
    assert {compare for compare, _ in changes} == set(COMPARED)
